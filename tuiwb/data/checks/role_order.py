"""Who speaks when: the order chat templates and trainers rely on."""

from collections.abc import Iterator

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.rows import Message, Row

KNOWN = frozenset(("system", "developer", "user", "assistant", "tool", "function", "ipython"))
TOOLS = frozenset(("tool", "function", "ipython"))


def role_order(row: Row) -> Iterator[Finding]:
    """The first turn that is out of order: system first, user and assistant in turn, an answer
    last, tools only after a call."""
    turns: list[tuple[str, Message]] = []
    for part in ("messages", "prompt"):
        value = getattr(row, part)
        if isinstance(value, list):
            turns = [(f"{part}[{i}]", message) for i, message in enumerate(value)]
    if not turns:
        return
    problem = _first_problem([m for _, m in turns], ends_with_answer=row.shape == "chat")
    if problem is not None:
        at, why = problem
        field = turns[min(at, len(turns) - 1)][0]
        yield found(row, "role_order", f"{field}: {why}", severity="error", field=field)


def tool_calls(row: Row) -> Iterator[Finding]:
    """Calls that no tool answered, and calls of tools the row does not offer."""
    offered = {str(tool.get("function", tool).get("name")) for tool in row.tools or []}
    messages = row.messages or []
    for i, message in enumerate(messages):
        if not message.tool_calls:
            continue
        field = f"messages[{i}].tool_calls"
        if i + 1 < len(messages) and messages[i + 1].role not in TOOLS:
            yield found(row, "tool_calls", f"{field}: no tool answers the call", field=field)
        for call in message.tool_calls:
            name = str(call.get("function", call).get("name"))
            if offered and name not in offered:
                sentence = f"{field} calls a tool that the row does not offer"
                yield found(row, "tool_calls", sentence, field=field, text=name)


def _first_problem(messages: list[Message], ends_with_answer: bool) -> tuple[int, str] | None:
    before = ""
    called = False
    for i, message in enumerate(messages):
        role = message.role
        if role not in KNOWN:
            return i, f"{role!r} is no role a chat template knows"
        if role in ("system", "developer"):
            if before not in ("", "system", "developer"):
                return i, f"a {role} turn after the {before}'s"
        elif role in TOOLS:
            if not called and before not in TOOLS:
                return i, f"a tool answers, but the {before or 'first'} turn before calls none"
        elif before in ("", "system", "developer") and role != "user":
            return i, f"the first turn is the {role}'s, not the user's"
        elif role == before and not called:
            return i, f"two {role} turns in a row"
        elif role == "user" and called:
            return i, "the user speaks before the called tool answered"
        called = role == "assistant" and bool(message.tool_calls)
        before = role
    if ends_with_answer and before != "assistant":
        return len(messages), f"ends with the {before}'s turn: there is no answer to learn"
    if not ends_with_answer and before == "assistant":
        return len(messages), "the prompt ends with the assistant's own turn"
    return None
