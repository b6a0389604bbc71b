"""Tool calls: answered, by the right result, of a tool that is offered, with its arguments."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.schema import misfits
from tuiwb.data.rows import Message, Row, Turns

TOOLS = frozenset(("tool", "function", "ipython"))


def tool_calls(row: Row) -> Iterator[Finding]:
    """Calls and results of a row that do not fit each other or the tools it offers."""
    offered = _offered(row.tools) if row.tools else {}
    for part in ("messages", "prompt", "completion", "chosen", "rejected"):
        value: Turns | None = getattr(row, part)
        if value is None or isinstance(value, str):
            continue
        for message in value:
            if message.tool_calls or message.role in TOOLS:
                yield from _look(row, part, value, offered)
                break


def _look(row: Row, part: str, turns: list[Message], offered: dict[str, Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    about: list[Finding] = []
    asked = 0
    for i, message in enumerate(turns):
        if message.role in TOOLS:
            results.append(message)
            known = message.tool_call_id is None or message.tool_call_id in seen
            if calls and not known:
                field = f"{part}[{i}].tool_call_id"
                about.append(_finding(row, field, "unmatched_id", "answers no call of this id"))
            continue
        yield from _answered(row, f"{part}[{asked}].tool_calls", calls, results)
        yield from about
        calls, results, about = [], [], []
        if message.tool_calls:
            calls, asked = message.tool_calls, i
            about.extend(_called(row, f"{part}[{i}].tool_calls", calls, seen, offered))
    # A call at the very end is what the row teaches: nothing has to answer it.
    if results:
        yield from _answered(row, f"{part}[{asked}].tool_calls", calls, results)
    yield from about


def _called(
    row: Row, field: str, calls: list[dict[str, Any]], seen: set[str], offered: dict[str, Any]
) -> Iterator[Finding]:
    for n, call in enumerate(calls):
        where = f"{field}[{n}]"
        if (name_of_call := call.get("id")) is not None:
            if name_of_call in seen:
                yield _finding(row, where, "duplicate_id", "repeats the id of an earlier call")
            seen.add(name_of_call)
        function = call.get("function", call)
        name, arguments = str(function.get("name")), function.get("arguments")
        if offered and name not in offered:
            words = "calls a tool that the row does not offer"
            yield _finding(row, field, "unknown_tool", words, name)
        if not isinstance(arguments, dict):
            words = "has arguments that are not a JSON object"
            yield _finding(row, where, "not_json", words, quote(str(arguments)))
            continue
        for kind, key, words in misfits(arguments, offered.get(name)):
            yield _finding(row, where, kind, words, key)


def _answered(
    row: Row, field: str, calls: list[dict[str, Any]], results: list[Message]
) -> Iterator[Finding]:
    if not calls:
        return
    if not results:
        yield found(
            row, "tool_calls", f"{field}: no tool answers the call", field=field, kind="no_answer"
        )
        return
    answered = Counter(message.tool_call_id for message in results)
    if None in answered:
        # Without ids one result may hold what several calls returned.
        if len(results) > len(calls):
            words = f"{len(results)} results for {_count(len(calls))}"
            yield _finding(row, field, "count", words)
        elif 1 < len(results) < len(calls):
            words = f"only {len(results)} results for {_count(len(calls))}"
            yield _finding(row, field, "no_answer", words)
        return
    for call in calls:
        if (name := call.get("id")) is not None and name not in answered:
            yield _finding(row, field, "no_answer", f"no tool answers the call {quote(name)}")
    for name, count in answered.items():
        if count > 1:
            words = f"the call {quote(str(name))} is answered {count} times"
            yield _finding(row, field, "count", words)


def _count(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"


def _offered(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The parameters' schema of each tool, by its name."""
    schemas: dict[str, Any] = {}
    for tool in tools:
        function = tool.get("function", tool)
        if isinstance(function, dict):
            schema = function.get("parameters", function.get("input_schema"))
            schemas[str(function.get("name"))] = schema
    return schemas


def _finding(row: Row, field: str, kind: str, words: str, text: str = "") -> Finding:
    return found(row, "tool_calls", f"{field} {words}", field=field, kind=kind, text=text)
