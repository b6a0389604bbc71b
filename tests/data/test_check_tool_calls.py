"""tool_calls: calls, results, ids and arguments that do not fit each other."""

from pathlib import Path
from typing import Any

import pytest

from tests.data.some_rows import findings, places
from tuiwb.data.checks.check import EachRow
from tuiwb.data.checks.tool_calls import tool_calls
from tuiwb.data.read import open_dataset

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "box": {
                    "type": "object",
                    "properties": {"north": {"type": "number"}},
                    "required": ["north"],
                },
                "note": {"type": ["string", "null"]},
            },
            "required": ["city"],
        },
    },
}


def call(arguments: Any, name: str = "weather", id_: str | None = None) -> dict[str, Any]:
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if id_ is None else {"id": id_, **made}


def row(*turns: dict[str, Any], tools: list[Any] | None = None) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": "hi"}, *turns],
        **({"tools": tools} if tools else {}),
    }


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": list(calls)}


def result(id_: str | None = None) -> dict[str, Any]:
    return {"role": "tool", "content": "{}"} | ({} if id_ is None else {"tool_call_id": id_})


DONE = {"role": "assistant", "content": "done"}


def kinds(*records: dict[str, Any]) -> list[str]:
    return [kind for _, kind in places(findings(EachRow([tool_calls]), records))]


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "Ulm"},
        {"city": "Ulm", "days": 3, "unit": "C", "tags": ["a"], "box": {"north": 1}},
        {"city": "Ulm", "days": 3.0, "note": None},
        '{"city": "Ulm"}',
    ],
)
def test_arguments_that_fit_are_left_alone(arguments: Any) -> None:
    assert kinds(row(calling(call(arguments)), result(), DONE, tools=[WEATHER])) == []


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({}, "missing_argument", "city"),
        ({"city": "Ulm", "town": "Ulm"}, "unknown_argument", "town"),
        ({"city": 5}, "wrong_type", "city"),
        ({"city": "Ulm", "days": "3"}, "wrong_type", "days"),
        ({"city": "Ulm", "days": 2.5}, "wrong_type", "days"),
        ({"city": "Ulm", "days": True}, "wrong_type", "days"),
        ({"city": "Ulm", "unit": "K"}, "not_in_enum", "unit"),
        ({"city": "Ulm", "tags": ["a", 1]}, "wrong_type", "tags[1]"),
        ({"city": "Ulm", "box": {}}, "missing_argument", "box.north"),
        ("{city: Ulm", "not_json", "{city: Ulm"),
        ("[1]", "not_json", "[1]"),
    ],
)
def test_arguments_that_the_tool_does_not_take_are_found(
    arguments: Any, kind: str, text: str
) -> None:
    record = row(calling(call(arguments)), result(), DONE, tools=[WEATHER])
    found = findings(EachRow([tool_calls]), [record])
    assert [(f.kind, f.text) for f in found] == [(kind, text)]
    assert found[0].field == "messages[1].tool_calls[0]"


def test_tools_without_a_list_of_parameters_take_any() -> None:
    bare: list[dict[str, Any]] = [
        {"name": "weather"},
        {"name": "weather", "parameters": {"type": "object", "properties": {}}},
        {"name": "weather", "parameters": {"properties": {"a": {"type": "thing"}},
                                           "additionalProperties": True}},
    ]  # fmt: skip
    for tool in bare:
        record = row(calling(call({"a": 1, "b": 2})), result(), DONE, tools=[tool])
        assert kinds(record) == []


def test_parallel_calls_are_answered_each_by_its_id() -> None:
    two = calling(call({}, id_="a"), call({}, id_="b"))
    assert kinds(row(two, result("b"), result("a"), DONE)) == []
    assert kinds(row(two, result("a"), DONE)) == ["no_answer"]
    assert kinds(row(two, result("a"), result("c"), DONE)) == ["no_answer", "unmatched_id"]
    assert kinds(row(two, result("a"), result("b"), result("b"), DONE)) == ["count"]


def test_without_ids_one_result_may_answer_several_calls_and_no_more_than_that() -> None:
    two = calling(call({}), call({}))
    assert kinds(row(two, result(), DONE)) == []
    assert kinds(row(two, result(), result(), DONE)) == []
    assert kinds(row(two, result(), result(), result(), DONE)) == ["count"]
    assert kinds(row(two, DONE)) == ["no_answer"]


def test_an_id_used_twice_is_found_and_a_last_call_needs_no_answer() -> None:
    again = [calling(call({}, id_="a")), result("a")] * 2
    assert kinds(row(*again, DONE)) == ["duplicate_id"]
    assert kinds(row(calling(call({})))) == []


def test_calls_in_pairs_are_looked_at_too() -> None:
    record = {
        "prompt": [{"role": "user", "content": "hi"}],
        "chosen": [calling(call({"city": 1}))],
        "rejected": [calling(call({"city": "x"}))],
        "tools": [WEATHER],
    }
    found = findings(EachRow([tool_calls]), [record])
    assert [(f.field, f.kind) for f in found] == [("chosen[0].tool_calls[0]", "wrong_type")]


def test_real_function_calls_raise_one_alarm_and_it_is_real(real_data: Path) -> None:
    rows = list(open_dataset(real_data / "glaive_toolcall_en_demo.json"))
    found = [finding for one in rows for finding in tool_calls(one)]
    assert [(f.row, f.kind, f.text) for f in found] == [(259, "wrong_type", "calories_per_item")]
