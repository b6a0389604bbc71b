"""sizing: enough rows for the use, and nothing that outweighs the rest."""

from typing import Any

import pytest

from tests.data.some_rows import chat, findings, pair, places
from tuiwb.data.audit_text import audit_lines
from tuiwb.data.checks.sizing import Sizing, uses
from tuiwb.errors import BadInput


def chats(count: int) -> list[dict[str, Any]]:
    return [chat(f"q{n}", f"a{n}") for n in range(count)]


def test_the_table_is_that_of_the_field() -> None:
    assert {name: (need["least"], need["most"]) for name, need in uses().items()} == {
        "format": (500, 1500),
        "domain": (2000, 5000),
        "new_capability": (5000, 50000),
        "preference": (1000, 10000),
    }


@pytest.mark.parametrize(("use", "rows", "found"), [("format", 499, 1), ("format", 500, 0),
                                                    ("domain", 500, 1)])  # fmt: skip
def test_a_set_is_measured_against_its_use(use: str, rows: int, found: int) -> None:
    said = findings(Sizing(use), chats(rows), batch=200)
    assert places(said) == [(0, "too_small")] * found


def test_without_a_use_the_audit_says_what_the_size_suits() -> None:
    for records, suits, use in (
        (chats(100), [], None),
        (chats(2000), ["format", "domain"], None),
        ([pair(f"q{n}", "a", "b") for n in range(1000)], ["preference"], "preference"),
        ([pair(f"q{n}", "a", "b") for n in range(999)], [], "preference"),
    ):
        check = Sizing()
        assert [f for f in findings(check, records, 200) if f.kind == "too_small"] == []
        audit = check.audit()
        assert (audit["suits"], audit["use"]) == (suits, use)
        assert ("note" in audit) is (suits == [])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (1, "1 row is fewer than the 500 examples that a fixed output format or style takes"),
        (80, "80 rows are fewer than the 500 examples that a fixed output format or style takes"),
        (500, "500 rows are enough for: format"),
    ],
)
def test_the_size_is_told_once_in_words_that_fit_the_number(rows: int, said: str) -> None:
    check = Sizing()
    findings(check, chats(rows))
    overview = {"formats": {}, "turns": {}, "characters": {"median": 1, "p95": 2, "longest": 3}}
    lines = [line.text for line in audit_lines(overview | {"sizing": check.audit()})]
    assert lines[lines.index("Size") + 1 : -1] == [said]
    one = Sizing("format")
    (finding,) = (f for f in findings(one, chats(1)) if f.kind == "too_small")
    assert finding.sentence.startswith("1 row is few for")


def test_an_unknown_use_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="format, domain, new_capability, preference"):
        Sizing("styling")


def test_broken_rows_do_not_count() -> None:
    check = Sizing("format")
    findings(check, [*chats(3), 7, {"messages": []}])
    assert check.rows == 3


@pytest.mark.parametrize(("good", "found"), [(80, 0), (81, 1), (19, 1), (20, 0)])
def test_thumbs_of_one_side_are_found_over_four_in_five(good: int, found: int) -> None:
    records = [{"prompt": f"q{n}", "completion": f"a{n}", "label": n < good} for n in range(100)]
    assert places(findings(Sizing(), records)) == [(0, "one_sided")] * found


def test_one_answer_for_a_third_of_the_rows_is_found_where_it_first_stands() -> None:
    records = chats(70)
    for n in range(5, 70, 3):
        records[n] = chat(f"q{n}", " Other ")
    (found,) = findings(Sizing(), records)
    assert (found.row, found.kind) == (5, "one_answer")
    assert "22 of 70 answers" in found.sentence
    assert findings(Sizing(), records[:40]) == []


def test_the_audit_says_which_tools_are_never_called() -> None:
    tools = [{"name": "walk"}, {"name": "fly"}]
    call = {"type": "function", "function": {"name": "walk", "arguments": {}}}
    turns = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    check = Sizing()
    findings(check, [{"messages": turns, "tools": tools}, *chats(3)])
    assert check.audit()["tools"] == {
        "rows_that_offer": 1, "rows_that_call": 1, "offered": 2, "never_called": ["fly"],
        "most_called": {"walk": 1},
    }  # fmt: skip
    assert check.audit()["single_turn_share"] == 1.0
