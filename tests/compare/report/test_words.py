"""What a report's words claim: no more than its figures, and nothing that acts."""

import re

import msgspec
import pytest

from tests.compare.builders import make_run
from tests.compare.report.test_report import SPEC, completion, good_run, judged
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, read_completions, summarise
from tuiwb.compare.gate.evidence import Evidence, people_and_judges
from tuiwb.compare.judge.protocol import VERDICTS, VerdictRecord, read_verdicts
from tuiwb.compare.report.figure_text import p_value
from tuiwb.compare.report.html import PAIR_STYLE, as_html
from tuiwb.compare.report.markdown import markdown
from tuiwb.compare.report.page import Agreed, agreement_line, page_of
from tuiwb.compare.rescore import page, rescore
from tuiwb.compare.stats.counts import cohens_kappa
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.jobs.lines import append_lines
from tuiwb.monitor.html_page import PAGE_STYLE


def test_what_is_shown_by_one_test_of_many_only_is_said_so():
    # 21 against 9 by itself has p .043; the other metrics counted in, nothing is shown.
    rows = [completion(i, *(("no", "yes") if i < 21 else ("yes", "no")), "yes") for i in range(30)]
    said = page_of(SPEC, summarise(rows, 30), rows).conclusion
    assert said.startswith(
        "By normalised match alone a difference is shown, with all metrics counted in none is"
    )
    assert "p 0.043" in said
    assert "need 21-9" not in said


def test_agreement_is_told_where_nobody_preferred_anything():
    rows = good_run()
    agreed = Agreed("judge a", "judge b", cohens_kappa([[3, 1], [1, 3]]))
    said = page_of(SPEC, summarise(rows, 20), rows, agreements=[agreed])
    assert "judge a and judge b agree" in as_html(said)


def test_agreement_that_has_no_kappa_says_why_and_not_that_it_is_on_few():
    many = agreement_line(Agreed("ann", "bob", cohens_kappa([[40, 0], [0, 0]])))
    assert many == (
        "ann and bob agree on 100.0% of 40 pairs, "
        "kappa not defined, as both gave one answer to all."
    )
    assert agreement_line(Agreed("ann", "bob", cohens_kappa([[4, 0], [0, 0]]))).endswith(
        "Fewer than 30: unreliable."
    )


def test_addresses_in_foreign_text_make_no_links_in_markdown():
    rows = [completion(0, "a", "b", "c")]
    spec = {**SPEC, "system": "see https://evil.example, www.evil.example or a@evil.example"}
    text = markdown(page_of(spec, summarise(rows, 1), rows))
    assert "https\\://evil" in text
    assert "www\\.evil" in text
    assert "a\\@evil" in text


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "-"), (0.0, "<.001"), (0.0496, "0.0496"), (0.05, "0.050"), (0.05001, "0.05001"),
     (0.04999999, "0.04999999"), (0.0625, "0.062"), (1.0, "1.000")],
)  # fmt: skip
def test_a_p_beside_the_limit_tells_on_which_side_it_is(p, text):
    assert p_value(p) == text


def turned(record: VerdictRecord) -> VerdictRecord:
    """The opposite verdict, on other texts: another key."""
    winner = {"1": "2", "2": "1"}[record.verdict.winner]
    said = msgspec.structs.replace(record.verdict, winner=winner)
    return msgspec.structs.replace(record, key=f"earlier {record.key}", verdict=said)


def test_pairs_that_look_alike_are_no_agreement_of_people_with_a_judge(project):
    folder = make_run(project, "support-v2", "some/base", None) / "compare"
    jobs.create(folder, "compare", {"run": str(folder.parent)})
    rows = [completion(i, "a", "a " if i < 3 else "b", "b") for i in range(8)]
    append_lines(folder / COMPLETIONS, rows)
    judged(folder.parent, "one", "judge", lambda pair: "adapter")
    # What the judge said of earlier answers to the same prompts stands in its file too.
    verdicts = folder.parent / "judge" / VERDICTS
    append_lines(verdicts, [turned(record) for record in read_verdicts(verdicts)[0].values()])
    ballot = Ballot(folder, read_completions(folder), rater="ann", seed=1)
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == "adapter" else "right")
    ballot.reveal()
    (agreed,) = page(rescore(project, "support-v2")).agreements
    assert (agreed.kappa.n, agreed.kappa.agreement) == (5, 1.0)
    evidence = Evidence(run="support-v2", compare=summarise(rows, 8))
    people_and_judges(folder.parent, evidence)
    assert (evidence.votes.counts.wins, evidence.votes.counts.ties) == (5, 3)
    (judge,) = evidence.judges
    assert (judge.human.n, judge.human.agreement) == (5, 1.0)


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2)."""
    digits = colour.lstrip("#")
    pairs = [c * 2 for c in digits] if len(digits) == 3 else re.findall("..", digits)
    parts = [int(pair, 16) / 255 for pair in pairs]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_text_on_the_page_is_readable_in_both_looks(look):
    css = PAGE_STYLE + PAIR_STYLE
    # A later rule of the same name is the dark one; both parts write light first.
    place = 0 if look == "light" else -1
    colours = {n: re.findall(rf"--{n}:(#\w+)", css)[place] for n in ("ground", "ink", "dim", "box")}
    words = {n: re.findall(rf"\.{n}{{color:(#\w+)", css)[place] for n in ("better", "worse")}
    for text in ("ink", "dim"):
        for ground in ("ground", "box"):
            assert contrast(colours[text], colours[ground]) >= 4.5
    for colour in words.values():
        assert contrast(colour, colours["ground"]) >= 4.5
    edge = re.findall(r"\.critical{border-left(?:-color)?:(?:4px solid )?(#\w+)", css)[place]
    assert contrast(edge, colours["ground"]) >= 3
