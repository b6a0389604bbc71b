"""empty: blank turns and answers that only hold a place."""

import pytest

from tests.data.some_rows import chat, findings, pair, places
from tuiwb.data.checks.empty import Empty


@pytest.mark.parametrize("text", ["", "  \n\t", "\u200b\ufeff", " \u200d \u00ad ", "\u3000"])
def test_a_turn_with_nothing_to_see_is_blank(text: str) -> None:
    found = findings(Empty(), [chat("hi", text)])
    assert [(f.field, f.severity) for f in found] == [("messages[1].content", "error")]
    assert found[0].sentence == "turn 2 (assistant) is blank"


@pytest.mark.parametrize("text", ["...", "TODO", " n/a ", "[removed]", "<noinput>", "Lorem ipsum"])
def test_an_answer_that_only_holds_a_place_is_found(text: str) -> None:
    assert places(findings(Empty(), [chat("hi", text)])) == [(0, "placeholder")]


@pytest.mark.parametrize("text", ["None", "null", "-", "?", "No.", "0", "TODO: buy milk", "😀"])
def test_short_answers_that_say_something_are_left_alone(text: str) -> None:
    assert findings(Empty(), [chat("hi", text)]) == []


def test_a_placeholder_of_the_user_is_a_question() -> None:
    assert findings(Empty(), [chat("...", "What do you mean?")]) == []


def test_a_call_without_words_is_not_blank_in_any_part() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    asked = {"role": "user", "content": "hi"}
    records = [
        {"messages": [asked, turn]},
        {"prompt": [asked], "chosen": [turn], "rejected": [{"role": "assistant", "content": ""}]},
    ]
    assert [(f.row, f.field) for f in findings(Empty(), records)] == [(1, "rejected[0].content")]


def test_bare_strings_and_plain_texts_can_be_blank() -> None:
    records = [{"text": " "}, {"prompt": "", "completion": "x"}, pair("p", "c", "\n")]
    assert [(f.row, f.sentence) for f in findings(Empty(), records)] == [
        (0, "the text is blank"), (1, "prompt is blank"), (2, "rejected is blank"),
    ]  # fmt: skip
