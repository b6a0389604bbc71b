"""repetition: answers that go round in a loop."""

import pytest

from tests.data.some_rows import chat, findings
from tuiwb.data.checks.repetition import Repetition

PROSE = (
    "The parcel with the blue tent came on Monday and one of its poles was bent. We have sent "
    "another one by the evening post, so it should reach you before you leave on Friday. "
)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (PROSE + "I hope this helps. " * 12, 12),
        (PROSE + "ha" * 100, 100),
        (PROSE * 6, 6),
        (PROSE + "\n".join(["- buy some milk"] * 30), 29),
        ("好的,没问题。" * 40, 40),
        (PROSE + "and then, " * 40 + PROSE, 40),
    ],
)
def test_a_loop_is_found_with_what_it_says(text: str, times: int) -> None:
    (found,) = findings(Repetition(), [chat("hi", text)])
    assert found.score is not None
    assert abs(found.score - times) <= 1
    assert found.field == "messages[1].content"


def test_a_sentence_said_far_too_often_is_found_though_others_stand_between() -> None:
    lines = [f"Item {n} is here. I am not able to say more about it now." for n in range(12)]
    (found,) = findings(Repetition(), [chat("hi", " ".join(lines))])
    assert found.text == "I am not able to say more about it now"


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE + "-" * 300,
        "| a | b |\n" + "|---|---|\n" + "|   |   |\n" * 40,
        "\n".join(f"{n}. step number {n} of the plan" for n in range(60)),
        "0" * 400,
        "x" * 100,
        "a, b, c, d, e, f, g, h\n" * 3 + PROSE,
        "la la la",
        " " * 5000,
    ],
)
def test_rules_tables_lists_and_numbers_are_no_loops(text: str) -> None:
    assert findings(Repetition(), [chat("hi", text)]) == []


def test_what_a_user_repeats_is_not_learned() -> None:
    assert findings(Repetition(), [chat("help me " * 50, "Of course.")]) == []
    assert [f.field for f in findings(Repetition(), [{"text": "help me " * 50}])] == ["text"]


def test_a_long_text_without_a_loop_is_passed_quickly_and_one_with_it_is_found() -> None:
    long = " ".join(f"word{n}" for n in range(200_000))
    assert findings(Repetition(), [chat("hi", long)]) == []
    assert len(findings(Repetition(), [chat("hi", long + " and so on" * 50)])) == 1


def test_a_loop_of_megabytes_is_measured_to_its_end() -> None:
    text = PROSE + "no more of it. " * 300_000 + "Then it ended."
    (found,) = findings(Repetition(), [chat("hi", text)])
    assert found.score is not None
    assert abs(found.score - 300_000) <= 1
    assert found.end is not None
    assert len(text) - 20 <= found.end < len(text)
