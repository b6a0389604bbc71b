"""role_order: who speaks when, in chats, prompts and answers."""

from typing import Any

import pytest

from tests.data.some_rows import chat, findings
from tuiwb.data.checks.role_order import RoleOrder

CALL = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
NAMES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "C": "assistant",
         "t": "tool", "x": "moderator"}  # fmt: skip


def turns(letters: str) -> list[dict[str, Any]]:
    return [
        {"role": NAMES[letter], "content": f"text {i}"}
        | ({"tool_calls": CALL} if letter == "C" else {})
        for i, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("letters", "field"),
    [
        ("sua", None),
        ("dsua", None),
        ("uCta", None),
        ("uC", None),
        ("uCtCtaua", None),
        ("usa", "messages[1]"),
        ("au", "messages[0]"),
        ("uaa", "messages[2]"),
        ("uxa", "messages[1]"),
        ("uta", "messages[1]"),
        ("uCua", "messages[2]"),
        ("sau", "messages[1]"),
    ],
)
def test_the_first_turn_out_of_order_is_named(letters: str, field: str | None) -> None:
    found = findings(RoleOrder(), [chat("first", "row"), {"messages": turns(letters)}])
    assert [f.field for f in found] == ([] if field is None else [field])


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "fields"),
    [
        ("su", "a", "a", []),
        ("uau", "a", "Cta", []),
        ("ua", "a", "a", ["prompt[1]"]),
        ("u", "a", "ua", ["rejected[0]"]),
        ("u", "aa", "u", ["chosen[1]", "rejected[0]"]),
    ],
)
def test_pairs_go_on_where_their_prompt_ends(
    prompt: str, chosen: str, rejected: str, fields: list[str]
) -> None:
    record = {"prompt": turns(prompt), "chosen": turns(chosen), "rejected": turns(rejected)}
    assert [f.field for f in findings(RoleOrder(), [record])] == fields


def test_a_set_of_prompts_is_said_once() -> None:
    found = findings(RoleOrder(), [{"messages": turns("su")} for _ in range(20)])
    assert [(f.row, f.kind) for f in found] == [(0, "no_answer")]
    assert "no row has an answer (20 like this one)" in found[0].sentence


def test_rows_without_answer_among_others_are_found_each_wherever_they_stand() -> None:
    bare = [{"messages": turns("u")} for _ in range(4)]
    found = findings(RoleOrder(), [*bare, chat("hi"), *bare])
    assert sorted(f.row for f in found) == [0, 1, 2, 3, 5, 6, 7, 8]
