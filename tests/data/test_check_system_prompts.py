"""system_prompt: variants, and rows whose prompt is not quite the others'."""

import pytest

from tests.data.some_rows import chat, findings, places
from tuiwb.data.checks.system_prompts import KEPT, SystemPrompts, alike

USUAL = "You are the support desk of a shop. Handle the customer's message."


def test_a_near_copy_and_a_rare_prompt_beside_one_that_dominates_are_found() -> None:
    records = [chat(f"q{n}", system=USUAL) for n in range(300)]
    records[7] = chat("q", system=USUAL.replace("customer's", "custommer's"))
    records[9] = chat("q", system="Answer as a pirate would.")
    found = findings(SystemPrompts(), records)
    assert places(found) == [(7, "near_copy"), (9, "rare")]
    assert {f.field for f in found} == {"messages[0].content"}
    assert "298 have “You are the support desk" in found[0].sentence


def test_several_prompts_side_by_side_are_as_they_should_be() -> None:
    records = [chat(f"q{n}", system=f"You are expert number {n % 4}.") for n in range(300)]
    records[5] = chat("q", system="Answer as a pirate would.")
    assert findings(SystemPrompts(), records) == []


def test_a_near_copy_is_found_beside_several_usual_ones() -> None:
    kinds = ("Translate the text into plain words.", "You are a poet of few words.")
    records = [chat(f"q{n}", system=kinds[n % 2]) for n in range(300)]
    records[5] = chat("q", system="Translate the text into plain word.")
    assert places(findings(SystemPrompts(), records)) == [(5, "near_copy")]


def test_prompts_made_for_each_row_are_counted_without_being_kept() -> None:
    check = SystemPrompts()
    records = [chat(f"q{n}", system=f"Tools of row {n}: {n * 7919}") for n in range(KEPT + 200)]
    assert findings(check, records, 500) == []
    assert check.audit()["distinct"] == KEPT
    assert check.audit()["rows_beyond_those_counted"] == 200


def test_the_audit_shows_the_most_frequent_and_the_share_without() -> None:
    check = SystemPrompts()
    findings(check, [chat("q"), *(chat("q", system=USUAL) for _ in range(3)), {"text": "x"}])
    audit = check.audit()
    assert (audit["distinct"], audit["without_share"]) == (1, 0.25)
    assert audit["top"] == [{"rows": 3, "text": USUAL}]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (USUAL + " ", True),
        (USUAL.lower(), True),
        (USUAL.replace("shop", "store"), True),
        ("You are the sales desk of a bank. Refuse the caller's message.", False),
        (USUAL * 2, False),
    ],
)
def test_prompts_alike_differ_by_a_typo_a_word_or_white_space(other: str, found: bool) -> None:
    assert alike(USUAL, other) is found
