"""From one decoded record to a typed row: the row formats people really have.

messages (OpenAI chat), ShareGPT (`conversations` of from/value), Alpaca (instruction, input,
output), prompt/completion, text, preference (chosen/rejected) and KTO (label or kto_tag).
"""

import json
from typing import Any

import msgspec

from tuiwb.data.rows import Message, Row, Turns

EXPECTED = (
    "messages, conversations, instruction and output, prompt and completion, "
    "chosen and rejected, or text"
)
SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
}
RAW_KEPT = 4000
_ALPACA = frozenset(("instruction", "input", "history"))
_READ = {
    "messages": frozenset(("messages", "system", "tools")),
    "sharegpt": frozenset(("conversations", "system", "tools")),
    "alpaca": _ALPACA | {"output", "system", "tools"},
    "prompt_completion": frozenset(("prompt", "completion", "system", "tools")),
    "text": frozenset(("text", "tools")),
    "preference": frozenset(("prompt", "chosen", "rejected", "system", "tools")),
    "kto": frozenset(("prompt", "completion", "label", "kto_tag", "system", "tools")),
}


class Unreadable(Exception):
    """Why a record is not a row; the message becomes the row's problem."""


def to_row(record: Any, file: str, index: int, line: int) -> Row:
    """The typed row of a decoded record; shape 'broken' with a problem where it is none."""
    try:
        if not isinstance(record, dict):
            raise Unreadable(f"is {_kind(record)}, not an object with fields")
        fields = {key: value for key, value in record.items() if value is not None}
        format_, parts = _parts(fields)
        read = _READ[format_] | _asked_in(format_, fields)
        tags = {k: v for k, v in fields.items() if k not in read}
        return Row(file=file, index=index, line=line, format=format_, tags=tags, **parts)
    except Unreadable as reason:
        return broken(file, index, line, str(reason), record)


def chat_of(
    turns: list[Message], fields: dict[str, Any], format_: str, file: str, index: int, line: int
) -> Row:
    """The row of a chat whose turns are read already, from the record's other non-null fields.

    Unreadable when the turns' calls, the tools or the system prompt are not what they should be.
    """
    key = "messages" if format_ == "messages" else "conversations"
    for i, turn in enumerate(turns):
        if turn.tool_calls is not None:
            calls = turn.tool_calls or None
            turn.tool_calls = calls and _calls(calls, f"{key}[{i}].tool_calls")
    if not fields:
        return Row(file=file, index=index, line=line, format=format_, shape="chat", messages=turns)
    tools = _tools(fields["tools"]) if fields.get("tools") else None
    tags = {k: v for k, v in fields.items() if k not in _READ[format_]}
    return Row(
        file=file,
        index=index,
        line=line,
        format=format_,
        shape="chat",
        messages=_with_system(fields, turns),
        tools=tools,
        tags=tags,
    )


def broken(file: str, index: int, line: int, problem: str, raw: Any = "") -> Row:
    """A row that can't be read, with why, and the beginning of what stands there."""
    if not isinstance(raw, str):
        try:
            raw = json.dumps(raw, ensure_ascii=False, default=str)
        except (ValueError, RecursionError):
            raw = ""
    return Row(
        file=file,
        index=index,
        line=line,
        format="unknown",
        shape="broken",
        text=raw[:RAW_KEPT],
        problem=problem,
    )


def _parts(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tools = {"tools": _tools(fields["tools"])} if fields.get("tools") else {}
    if "chosen" in fields and "rejected" in fields:
        return "preference", {"shape": "preference", **_preference(fields), **tools}
    label = _label(fields)
    if label is not None:
        prompt, completion = _prompt_and_answer(fields)
        answer = {"prompt": prompt, "completion": completion, "label": label}
        return "kto", {"shape": "kto", **answer, **tools}
    for name, key in (("messages", "messages"), ("sharegpt", "conversations")):
        if key in fields:
            messages = _with_system(fields, _messages(fields[key], key))
            return name, {"shape": "chat", "messages": messages, **tools}
    if "instruction" in fields and "output" in fields:
        answer_turn = Message("assistant", _text(fields["output"], "output"))
        return "alpaca", {"shape": "chat", "messages": [*_alpaca(fields), answer_turn], **tools}
    if "prompt" in fields and "completion" in fields:
        prompt, completion = _prompt_and_answer(fields)
        parts = {"shape": "prompt_completion", "prompt": prompt, "completion": completion}
        return "prompt_completion", {**parts, **tools}
    if "text" in fields:
        return "text", {"shape": "text", "text": _text(fields["text"], "text")}
    have = ", ".join(map(str, list(fields)[:8])) or "nothing"
    raise Unreadable(f"has {have}, but no fields that can be trained on ({EXPECTED})")


def _asked_in(format_: str, fields: dict[str, Any]) -> frozenset[str]:
    """Where else the prompt of a pair, or a thumb's prompt and answer, were read from.

    The same order as in `_prompt` and `_prompt_and_answer`; what they pass over is a tag.
    """
    if format_ == "preference" and "prompt" not in fields:
        keys, alpaca = ("conversations", "messages"), "instruction" in fields
    elif format_ == "kto" and not ("prompt" in fields and "completion" in fields):
        if "instruction" in fields and "output" in fields:
            return _ALPACA | {"output"}
        keys, alpaca = ("messages", "conversations"), False
    else:
        return frozenset()
    found = next((key for key in keys if key in fields), None)
    return frozenset((found,)) if found else _ALPACA if alpaca else frozenset()


def _label(fields: dict[str, Any]) -> bool | None:
    """The thumb of a KTO row; None for a row that has none (a class label is a tag)."""
    answered = "prompt" in fields and "completion" in fields
    value = fields.get("kto_tag", fields.get("label"))
    if isinstance(value, bool):
        return value
    if answered or "kto_tag" in fields:
        spelled = {"true": True, "false": False, "1": True, "0": False}
        return spelled.get(str(value).strip().lower())
    return None


def _preference(fields: dict[str, Any]) -> dict[str, Turns | None]:
    chosen = _answer(fields["chosen"], "chosen")
    rejected = _answer(fields["rejected"], "rejected")
    prompt = _prompt(fields)
    if prompt is None and isinstance(chosen, list) and isinstance(rejected, list):
        shared = 0
        most = min(len(chosen), len(rejected)) - 1
        while shared < most and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    if any(isinstance(part, list) for part in (prompt, chosen, rejected)):
        prompt = _as_turns(prompt, "user")
        return {
            "prompt": _with_system(fields, prompt or []),
            "chosen": _as_turns(chosen, "assistant"),
            "rejected": _as_turns(rejected, "assistant"),
        }
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _prompt_and_answer(fields: dict[str, Any]) -> tuple[Turns, Turns]:
    if "prompt" in fields and "completion" in fields:
        prompt = _answer(fields["prompt"], "prompt")
        completion = _answer(fields["completion"], "completion")
        if isinstance(prompt, str) and isinstance(completion, str):
            return prompt, completion
        turns = _with_system(fields, _as_turns(prompt, "user") or [])
        return turns, _as_turns(completion, "assistant") or []
    if "instruction" in fields and "output" in fields:
        return _alpaca(fields), [Message("assistant", _text(fields["output"], "output"))]
    key = "messages" if "messages" in fields else "conversations"
    if key not in fields:
        raise Unreadable("has a label but neither prompt and completion nor messages")
    messages = _with_system(fields, _messages(fields[key], key))
    if messages[-1].role != "assistant":
        raise Unreadable(f"has a label but its last turn is {messages[-1].role}'s, not assistant's")
    return messages[:-1], messages[-1:]


def _prompt(fields: dict[str, Any]) -> Turns | None:
    """What a preference pair answers, wherever it stands; None when it is inside the pair."""
    if "prompt" in fields:
        return _answer(fields["prompt"], "prompt")
    for key in ("conversations", "messages"):
        if key in fields:
            return _messages(fields[key], key)
    return _alpaca(fields, system=False) if "instruction" in fields else None


def _answer(value: Any, field: str) -> Turns:
    if isinstance(value, dict):
        return [_message(value, field)]
    if isinstance(value, list):
        return _messages(value, field)
    return _text(value, field)


def _as_turns(part: Turns | None, role: str) -> list[Message] | None:
    return [Message(role, part)] if isinstance(part, str) else part


def _alpaca(fields: dict[str, Any], system: bool = True) -> list[Message]:
    turns: list[Message] = []
    history = fields.get("history") or []
    if not isinstance(history, list):
        raise Unreadable(f"history is {_kind(history)}, not a list of [question, answer]")
    for i, pair in enumerate(history):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Unreadable(f"history[{i}] is not a [question, answer] pair")
        turns.append(Message("user", _text(pair[0], f"history[{i}][0]")))
        turns.append(Message("assistant", _text(pair[1], f"history[{i}][1]")))
    asked = _text(fields["instruction"], "instruction")
    if extra := _text(fields.get("input", ""), "input"):
        asked = f"{asked}\n{extra}" if asked else extra
    turns.append(Message("user", asked))
    return _with_system(fields, turns) if system else turns


def _with_system(fields: dict[str, Any], turns: list[Message]) -> list[Message]:
    system = _text(fields.get("system", ""), "system")
    if system and not (turns and turns[0].role == "system"):
        return [Message("system", system), *turns]
    return turns


def _messages(value: Any, field: str) -> list[Message]:
    if isinstance(value, str):
        raise Unreadable(f"{field} is a string, not a list of messages")
    if isinstance(value, dict):
        value = _turned(value)
    if not isinstance(value, list):
        raise Unreadable(f"{field} is {_kind(value)}, not a list of messages")
    if not value:
        raise Unreadable(f"{field} is an empty list")
    return [_message(item, f"{field}[{i}]") for i, item in enumerate(value)]


def _turned(columns: dict[str, Any]) -> Any:
    """A list of dicts from a dict of lists, as older `datasets` kept lists of dicts."""
    lists = list(columns.values())
    if not lists or not all(isinstance(c, list) and len(c) == len(lists[0]) for c in lists):
        return columns
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


def _message(value: Any, field: str) -> Message:
    if not isinstance(value, dict):
        raise Unreadable(f"{field} is {_kind(value)}, not a message")
    role = value.get("role", value.get("from"))
    if not isinstance(role, str):
        raise Unreadable(f"{field} has no role")
    if "from" in value and "role" not in value:
        return _sharegpt(value, role, field)
    calls = value.get("tool_calls") or None
    content = value.get("content", value.get("value"))
    if content is None and calls is None:
        raise Unreadable(f"{field}.content is {'null' if 'content' in value else 'missing'}")
    return Message(
        role=role,
        content="" if content is None else _content(content, f"{field}.content"),
        name=value["name"] if isinstance(value.get("name"), str) else None,
        tool_calls=None if calls is None else _calls(calls, f"{field}.tool_calls"),
        tool_call_id=value["tool_call_id"] if isinstance(value.get("tool_call_id"), str) else None,
    )


def _sharegpt(value: dict[str, Any], role: str, field: str) -> Message:
    content = value.get("value", value.get("content"))
    if content is None:
        raise Unreadable(f"{field}.value is {'null' if 'value' in value else 'missing'}")
    text = _content(content, f"{field}.value")
    if role == "function_call":
        called = _decode(text)
        if isinstance(called, (dict, list)):
            return Message("assistant", "", tool_calls=_calls(called, f"{field}.value"))
        raise Unreadable(f"{field}.value is a function_call that is not JSON")
    return Message(SHAREGPT_ROLES.get(role.lower(), role), text)


def _calls(value: Any, field: str) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's shape, arguments as a dict where they are JSON."""
    calls = []
    for i, call in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(call, dict):
            raise Unreadable(f"{field}[{i}] is {_kind(call)}, not a tool call")
        call = {k: v for k, v in call.items() if v is not None}
        function = call.get("function", call)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Unreadable(f"{field}[{i}] names no function")
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            decoded = _decode(arguments)
            arguments = decoded if isinstance(decoded, dict) else arguments
        plain = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
        if isinstance(call.get("id"), str):
            plain = {"id": call["id"], **plain}
        calls.append(plain)
    return calls


def _tools(value: Any) -> list[dict[str, Any]] | None:
    """The tools a row offers, as a list in OpenAI's shape; None when it offers none."""
    tools = _decode(value) if isinstance(value, str) else value
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(tools, dict):
        tools = [tools]
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Unreadable("tools is not a list of tool descriptions (or JSON of one)")
    shaped = [t if "function" in t else {"type": "function", "function": t} for t in tools]
    return shaped or None


def _content(value: Any, field: str) -> str:
    if isinstance(value, list):
        texts = []
        for i, block in enumerate(value):
            if isinstance(block, str):
                texts.append(block)
            elif isinstance(block, dict) and block.get("type", "text") == "text":
                texts.append(_text(block.get("text"), f"{field}[{i}].text"))
            else:
                kind = block.get("type") if isinstance(block, dict) else _kind(block)
                raise Unreadable(f"{field}[{i}] is {kind}: only text can be trained on here")
        return "".join(texts)
    return _text(value, field)


def _text(value: Any, field: str) -> str:
    if isinstance(value, str):
        return value
    raise Unreadable(f"{field} is {_kind(value)}, not text")


def _decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            return None


def _kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
        type(None): "null",
    }
    return names.get(type(value), f"a {type(value).__name__}")
