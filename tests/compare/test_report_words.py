"""What a report's words claim: no more than its figures, and nothing that acts."""

from tests.compare.test_compare_report import SPEC, completion, good_run
from tuiwb.compare.completions import summarise
from tuiwb.compare.html import as_html
from tuiwb.compare.page import Agreed, page_of
from tuiwb.compare.report import markdown
from tuiwb.compare.stats import cohens_kappa


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


def test_addresses_in_foreign_text_make_no_links_in_markdown():
    rows = [completion(0, "a", "b", "c")]
    spec = {**SPEC, "system": "see https://evil.example, www.evil.example or a@evil.example"}
    text = markdown(page_of(spec, summarise(rows, 1), rows))
    assert "https\\://evil" in text
    assert "www\\.evil" in text
    assert "a\\@evil" in text
