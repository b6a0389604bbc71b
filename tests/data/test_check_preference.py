"""preference: pairs and thumbs that say nothing, or say both."""

import pytest

from tests.data.some_rows import findings, pair, places
from tuiwb.data.checks.check import EachRow
from tuiwb.data.checks.preference import BothLabels, Pairs, same_answers


@pytest.mark.parametrize(
    ("chosen", "rejected", "kind"),
    [
        ("Yes.", "Yes. ", "same_answers"),
        ("Yes, it is.", "yes it is", "nearly_same"),
        ("**Yes**\n\nIt is!", "Yes it is", "nearly_same"),
        ("It costs 3.5", "It costs 35", None),
        ("It is -5", "It is 5", None),
        ("a < b", "a > b", None),
        ("Yes it is", "No it is", None),
        ("...", "!!!", None),
        ("Yes", "Yes and a lot more that the other one does not say at all", None),
    ],
)
def test_answers_that_say_the_same_are_found(chosen: str, rejected: str, kind: str | None) -> None:
    found = findings(EachRow([same_answers]), [pair("q", chosen, rejected)])
    assert [f.kind for f in found] == ([] if kind is None else [kind])


def test_a_pair_turned_round_is_found_wherever_it_stands() -> None:
    records = [pair("q", "a", "b")] + [pair(f"q{n}", "a", "b") for n in range(20)]
    records += [pair("q", "a", "b"), pair("q", "b", "a"), pair("q", "c", "c")]
    found = findings(Pairs(), records)
    assert [(f.row, f.kind, f.of) for f in found] == [(22, "reversed", 0)]


def test_the_audit_counts_how_often_the_chosen_answer_is_longer() -> None:
    check = Pairs()
    answers = [("long enough", "short"), ("tiny", "quite a bit longer"), ("same", "size")]
    findings(check, [pair(f"q{n}", *both) for n, both in enumerate(answers * 4)])
    audit = check.audit()
    assert audit["pairs"] == 12
    assert audit["chosen_longer_share"] == audit["rejected_much_longer_share"] == 0.3333


def test_thumbs_that_differ_on_the_same_answer_are_found_in_the_later_row() -> None:
    def thumb(completion: str, label: bool) -> dict[str, object]:
        return {"prompt": "q", "completion": completion, "label": label}

    records = [thumb("a", False), thumb("b", True), thumb("a", False), thumb("a ", True)]
    found = findings(BothLabels(), records, batch=1)
    assert places(found) == [(3, "both_labels")]
    assert (found[0].of, found[0].sentence) == (0, "marked good here and bad in row 0")
