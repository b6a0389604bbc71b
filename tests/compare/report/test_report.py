"""The report of a comparison: what it says, and that nothing in it can act or break out."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from tests.compare.builders import make_run
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, Answer, Completion, read_completions, summarise
from tuiwb.compare.judge.plan import all_questions
from tuiwb.compare.judge.protocol import VERDICTS, Usage, Verdict, VerdictRecord
from tuiwb.compare.judge.summary import JUDGE_SUMMARY, summarise_verdicts
from tuiwb.compare.report.figure_text import figure_rows, number
from tuiwb.compare.report.html import as_html, write_report
from tuiwb.compare.report.interval_plot import LEFT, RIGHT, WIDTH, IntervalRow, interval_plot
from tuiwb.compare.report.markdown import markdown
from tuiwb.compare.report.page import Agreed, page_of, preferred
from tuiwb.compare.rescore import page, rescore
from tuiwb.compare.stats.counts import PairedCounts, cohens_kappa
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines

SPEC = {"run": "/p/runs/support-v1", "base": "/m/tiny", "prompts": "/d/h.jsonl"}
NASTY = [
    "</pre><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg><svg onload=alert(1)>",
    "<style>*{display:none}</style>",
    "\x1b]8;;http://evil\x07link\x1b[2J",
    "\u202edetrever",
    "nul\x00 lone\ud800 \ufffe ]]>",
    "| a | `b` ```\n# heading\n````",
    "javascript:alert(1) {{7*7}} ${7*7}",
]


def completion(i, base, adapter, reference=None, **more):
    return Completion(
        id=f"id{i}",
        index=i,
        line=i + 1,
        prompt=[{"role": "user", "content": more.pop("prompt", f"question {i}")}],
        reference=reference,
        base=base,
        adapter=adapter,
        base_tokens=3,
        adapter_tokens=4,
        base_seconds=0.1,
        adapter_seconds=0.1,
        **more,
    )


def good_run():
    """Twenty prompts: the fine-tune right on all but one, which the base had right."""
    rows = [completion(i, "wrong", "right", "right", tags={"kind": "ab"[i % 2]}) for i in range(19)]
    return [*rows, completion(19, "right", "wrong <b>", "right", tags={"kind": "a"})]


def hostile():
    """Nasty text in every place that text can come from."""
    rows = [
        completion(
            i,
            text,
            text * 2,
            '{"' + re.sub(r'[\\"\x00-\x1f\ud800]', "_", text) + '": 1}',
            prompt=text,
            tags={text: text[: 1 + i % 2], "kind": text},
            others={text: Answer(text=text)},
        )
        for i, text in enumerate(NASTY * 2)
    ]
    spec = SPEC | {
        "run": "/p/runs/" + NASTY[0].replace("/", "_"),
        "system": NASTY[1],
        "sides": [
            {"name": "base", "kind": "base", "label": NASTY[0]},
            {"name": "adapter", "kind": "adapter", "label": NASTY[1]},
        ],
    }
    summary = summarise(rows, 20)
    summary.device, summary.engine, summary.adapter_applied = NASTY[4], NASTY[3], False
    summary.not_run = {NASTY[0]: NASTY[5]}
    counts = PairedCounts(wins=12, losses=3, ties=2)
    return page_of(
        spec,
        summary,
        rows,
        preferences=[preferred(text, counts, (NASTY[0], NASTY[1]), [text]) for text in NASTY],
        agreements=[Agreed(text, text, cohens_kappa([[20, 1], [2, 20]])) for text in NASTY],
        doubts=NASTY,
    )


class Tags(HTMLParser):
    """Every element with its attributes, and the text outside of style."""

    def __init__(self, html):
        super().__init__()
        self.found, self.words, self.inside = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if "style" not in self.inside:
            self.words.append(data)


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "h4", "p", "div", "pre"),
    *("table", "tr", "th", "td", "svg", "rect", "text", "line", "path"),
}


def test_hostile_text_is_shown_in_html_and_does_nothing():
    html = as_html(hostile())
    tags = Tags(html)
    assert {tag for tag, _ in tags.found} <= ALLOWED
    for _, attributes in tags.found:
        assert not any(name.startswith("on") for name in attributes)
        assert not {"href", "src", "srcset", "action"} & set(attributes)
    text = "".join(tags.words)
    assert "</pre><script>alert(1)</script>" in text
    assert "<style>*{display:none}</style>" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", html)
    html.encode("utf-8")


def test_every_plot_of_hostile_names_is_well_formed_by_itself():
    html = as_html(hostile())
    drawn = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(drawn) >= 3
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg")
    alone = interval_plot(NASTY[2], [IntervalRow(text, 1.0, 0.0, 2.0, text) for text in NASTY])
    assert "prefers-color-scheme:dark" in alone
    assert {element.tag.split("}")[1] for element in ElementTree.fromstring(alone).iter()} <= {
        *("svg", "style", "rect", "text", "line", "path")
    }


def test_hostile_text_is_shown_in_markdown_and_does_nothing():
    text = markdown(hostile())
    outside = re.sub(r"(?sm)^(`{3,})text\n.*?^\1$", "", text)
    assert not re.search(r"(?<!\\)<", outside)
    assert not re.search(r"(?m)^# heading", outside)
    # Every row of a table has as many cells as its head.
    tables = re.findall(r"(?:^\|.*\|$\n?)+", outside, re.M)
    assert len(tables) >= 4
    for table in tables:
        rows = [len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().split("\n")]
        assert len(set(rows)) == 1
    text.encode("utf-8")


def test_the_page_needs_no_network_and_has_a_light_and_a_dark_look():
    html = as_html(page_of(SPEC, summarise(good_run(), 20), good_run()))
    without_names = html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "http" not in without_names
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert html.count("prefers-color-scheme:dark") >= 2


def test_the_report_says_the_conclusion_with_its_figures_first():
    rows = good_run()
    said = page_of(SPEC, summarise(rows, 20), rows)
    assert said.title == "support-v1: base against fine-tune"
    assert said.conclusion.startswith(
        "By normalised match, fine-tune is better than base: 19/20 against 1/20, a difference of "
        "+90.0 ["
    )
    assert "with all metrics counted in" in said.conclusion
    for text in (markdown(said), as_html(said)):
        assert "19/20 against 1/20" in text


def test_no_difference_is_said_as_none_shown():
    rows = [completion(i, "right" if i % 2 else "x", "right", "right") for i in range(6)]
    said = page_of(SPEC, summarise(rows, 6), rows)
    assert said.conclusion.startswith(
        "By normalised match, no difference is shown: 6/6 against 3/6"
    )


def test_losses_come_first_among_the_examples_and_say_so():
    rows = good_run()
    said = page_of(SPEC, summarise(rows, 20), rows)
    assert [e.line for e in said.examples] == [20, 1, 2, 3]
    assert said.examples[0].remark == "fine-tune worse by normalised match"
    assert said.examples[1].remark == "fine-tune better by normalised match"
    html = as_html(said)
    assert "<h4>base</h4><pre>right</pre>" in html
    assert "<h4>fine-tune</h4><pre>wrong &lt;b&gt;</pre>" in html


def test_what_should_alarm_stands_on_top():
    rows = [completion(i, "same", "same", base_stop="length") for i in range(4)]
    summary = summarise(rows, 9)
    summary.adapter_applied, summary.max_logit_difference = False, 0.0
    said = page_of(SPEC | {"seen_in_training": True}, summary, rows, doubts=["judge j is odd"])
    assert said.alarms == [
        "adapter NOT APPLIED: 4 of 4 answers are identical, largest logit difference 0",
        "the prompts were trained on: figures on them flatter the fine-tune",
        "4 of 4 answers of base were cut at the length limit",
        "only 4 of 9 prompts were answered",
        "judge j is odd",
    ]
    assert as_html(said).count('class="alert critical"') == 5


def test_without_references_the_votes_are_the_conclusion():
    rows = [completion(i, "x", "y") for i in range(10)]
    counts = PairedCounts(wins=10)
    said = page_of(
        SPEC,
        summarise(rows, 10),
        rows,
        preferences=[preferred("votes of ann", counts, ("base", "fine-tune"))],
    )
    assert said.conclusion == (
        "By votes of ann: the fine-tune is preferred over the base (exact sign test p = 0.00195)."
    )
    text = markdown(said)
    assert "nothing to measure against" in text
    assert "10 decisive pairs need 9-1" in text


def test_a_plot_puts_dot_interval_and_reference_where_the_figures_are():
    svg = interval_plot(
        "t",
        [
            IntervalRow("half", 50.0, 25.0, 75.0, "words", "worse"),
            IntervalRow("off", 100.0, 0.0, 250.0, verdict="better"),
        ],
        reference=50.0,
        within=(0.0, 100.0),
    )
    wide = WIDTH - LEFT - RIGHT
    middle = LEFT + wide / 2
    assert f"M{middle - 5:.1f}" in svg
    assert f"M{LEFT + wide / 4:.1f}" in svg
    assert f"H{LEFT + wide * 3 / 4:.1f}" in svg
    # What lies beyond the range is cut at its edge.
    assert f"H{WIDTH - RIGHT:.1f}" in svg
    # Better points up, worse points down: the colour says nothing that the shape does not.
    shapes = re.findall(r'<path class="f(\d)" d="([^"]+)"', svg)
    assert [(colour, shape[-9:]) for colour, shape in shapes] == [
        ("1", "h10l-5 9z"),
        ("2", "10l-5 -9z"),
    ]


def test_the_text_chart_shows_an_interval_around_its_dot():
    rows = good_run()
    text = markdown(page_of(SPEC, summarise(rows, 20), rows))
    line = next(line for line in text.split("\n") if line.startswith("exact match  "))
    assert re.search("├─*●─*┤", line)
    assert line.index("│") < line.index("├")


def test_rows_of_the_figures_table_are_plain_text():
    rows = good_run()
    exact, *_ = figure_rows(summarise(rows, 20).metrics)
    assert exact.cells[:4] == ("exact match", "20", "1/20", "19/20")
    assert exact.difference.startswith("+90.0 [")
    assert (exact.counts, exact.p, exact.verdict) == ("19/1", "<.001", "better")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (4.567, "4.57"),
        (99.96, "100.0"),
        (12345.6, "12,346"),
        (1e9, "1.00e+09"),
        (-2.5, "-2.50"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert number(value) == text


def test_a_report_is_made_of_kept_answers_and_of_revealed_votes_only(project, answered):
    completions = read_completions(answered)
    ballot = Ballot(answered, completions, rater="ann", seed=1)
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == "adapter" else "right")
    said = page(rescore(project, "support-v1"))
    assert said.preferences == []
    assert "ann" not in markdown(said) + as_html(said)
    ballot.reveal()
    said = page(rescore(project, "support-v1"))
    (votes,) = said.preferences
    assert (votes.source, votes.said.counts) == ("votes of ann", PairedCounts(wins=6, ties=2))
    written = write_report(answered, said)
    assert [path.name for path in written] == ["report.md", "report.html"]
    for path in written:
        assert "fine-tune won 6, lost 0, tied 2" in path.read_text("utf-8")


def judged(run, label, folder, winner_of, swayed=()):
    """A judge job that ended: its verdicts on the answers that are there, and its summary;
    `swayed` are pairs in which the base tried to sway it."""
    spec = {
        "compare": str(run / "compare"),
        "model": "m",
        "label": label,
        "folder": folder,
        "base_url": "u",
        "seed": 0,
        "rubric": {"name": "tone", "role": "a", "criteria": "b", "tie": "c"},
    }
    completions = read_completions(run / "compare")
    prints = {COMPLETIONS: jobs.fingerprint(run / "compare" / COMPLETIONS)}
    jobs.create(run / folder, "judge", spec, name=label, fingerprints=prints)
    records = [
        VerdictRecord(
            key=q.key,
            pair=q.pair,
            first=q.first,
            second=q.second,
            verdict=Verdict(
                reasoning="r",
                attempted_manipulation=("1" if q.first == "base" else "2")
                if q.pair in swayed
                else "none",
                winner="1" if q.first == winner_of(q.pair) else "2",
                strength="clear",
            ),
            raw="",
            model="m",
            mode="schema",
            usage=Usage(),
        )
        for q in all_questions(spec, completions)
    ]
    append_lines(run / folder / VERDICTS, records)
    summary = summarise_verdicts(completions, records, [], model="m", rubric="tone")
    (run / folder / JUDGE_SUMMARY).write_bytes(msgspec.json.encode(summary))


def test_judges_stand_in_the_report_with_their_agreement_and_their_doubts(project, answered):
    judged(answered.parent, "one", "judge", lambda pair: "adapter")
    judged(
        answered.parent,
        "two",
        "judge-two",
        lambda pair: "base" if pair == "id00" else "adapter",
        swayed=["id00"],
    )
    completions = read_completions(answered)
    ballot = Ballot(answered, completions, rater="ann", seed=1)
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == "adapter" else "right")
    ballot.reveal()
    said = page(rescore(project, "support-v1"))
    counts = {one.source: one.said.counts for one in said.preferences}
    assert counts == {
        "votes of ann": PairedCounts(wins=6, ties=2),
        "judge one": PairedCounts(wins=6, ties=2),
        "judge two": PairedCounts(wins=5, losses=1, ties=2),
    }
    text = markdown(said)
    assert "the votes and judge two agree on 83.3% of 6 pairs" in text
    assert "Fewer than 30: unreliable." in text
    # Neither judged a planted control: whoever reads this must know.
    assert any(alarm.startswith("judge one is not trusted") for alarm in said.alarms)
    assert "judge two" in as_html(said)
    assert "Manipulation reported by base in 1 of 6 pairs." in as_html(said)
    assert any("judge two is not trusted: manipulation" in alarm for alarm in said.alarms)


def test_a_very_long_answer_is_cut_in_the_examples_and_says_so():
    rows = [completion(0, "a" * 30_000, "b")]
    html = as_html(page_of(SPEC, summarise(rows, 1), rows))
    assert "(cut: 10,000 more characters)" in html
    assert len(html) < 60_000


def test_further_sides_are_measured_as_the_two_are(project, answered):
    rows = [c for c in read_completions(answered) if not c.identical]
    for c in rows:
        c.others = {"old": Answer(text=c.reference if c.index < 3 else "no")}
    folder = make_run(project, "support-v2", "some/base", None) / "compare"
    sides = [{"name": "base"}, {"name": "adapter"}, {"name": "old", "label": "last week's"}]
    jobs.create(folder, "compare", {"run": str(folder.parent), "sides": sides})
    append_lines(folder / COMPLETIONS, rows)
    found = rescore(project, "support-v2", sides=("old", "adapter"))
    exact = found.summary.metric("exact_match")
    assert (exact.n, exact.base_right, exact.adapter_right) == (6, 3, 6)
    # A side is found by what it is called before people, too.
    assert rescore(project, "support-v2", sides=("last week's", "fine-tune")).sides == found.sides
    assert found.labels == ("last week's", "fine-tune")
    assert page(found).title == "support-v2: last week's against fine-tune"


@pytest.mark.parametrize(
    ("run", "sides", "said"),
    [
        ("support-v1", ("base", "older"), "has no side 'older': there are base, adapter"),
        ("support-v2", ("base", "adapter"), "support-v2 has not been compared yet"),
        ("support-v3", ("base", "adapter"), "nothing is answered yet"),
    ],
)
def test_what_can_not_be_measured_again_is_said_in_a_sentence(project, answered, run, sides, said):
    make_run(project, "support-v2", "some/base", None)
    folder = make_run(project, "support-v3", "some/base", None) / "compare"
    jobs.create(folder, "compare", {})
    with pytest.raises(BadInput, match=said):
        rescore(project, run, sides=sides)
