"""A typed row as the plain dict TRL's trainers take, and why a row can't be one."""

from typing import Any

from tuiwb.data.rows import Message, Row, Turns
from tuiwb.errors import BadInput

NEEDED = {
    "sft": ("chat", "prompt_completion", "text"),
    "kto": ("kto",),
    **dict.fromkeys(("dpo", "ipo", "orpo", "cpo", "reward"), ("preference",)),
}
_WANTS = {
    "chat": "messages",
    "prompt_completion": "prompt and completion",
    "text": "text",
    "kto": "prompt, completion and label",
    "preference": "prompt, chosen and rejected",
}


def fits(row: Row, method: str) -> str | None:
    """Why `row` can't train `method`, as the end of a sentence that names it; None if it can."""
    if method not in NEEDED:
        raise BadInput(f"unknown method {method!r}: one of {', '.join(sorted(NEEDED))}")
    if row.shape == "broken":
        return row.problem
    if row.shape not in NEEDED[method]:
        want = " or ".join(_WANTS[shape] for shape in NEEDED[method])
        return f"is a {row.format} row, and {method} needs {want}"
    for field, _role, text in row.fields():
        if (at := lone_surrogate(text)) is not None:
            return f"has a lone surrogate at character {at} of {field}, which no tokenizer takes"
    if row.messages is not None and all(m.role != "assistant" for m in row.messages):
        return "has no assistant turn to learn from"
    return None


def example_of(row: Row, method: str, as_chat: bool = False) -> dict[str, Any]:
    """The dict TRL takes for `method`; with `as_chat`, prompt and completion become messages."""
    example: dict[str, Any]
    if row.shape == "text":
        return {"text": row.text}
    if row.shape == "chat":
        example = {"messages": [message.as_dict() for message in row.messages or []]}
    elif row.shape == "prompt_completion" and as_chat:
        turns = [*_turns(row.prompt, "user"), *_turns(row.completion, "assistant")]
        example = {"messages": [message.as_dict() for message in turns]}
    else:
        names = ("chosen", "rejected") if row.shape == "preference" else ("completion",)
        example = {} if row.prompt is None else {"prompt": _plain(row.prompt, "user", as_chat)}
        for name in names:
            example[name] = _plain(getattr(row, name), "assistant", as_chat)
        if row.shape == "kto":
            example["label"] = row.label
    if row.tools:
        example["tools"] = row.tools
    return example


def lone_surrogate(text: str) -> int | None:
    """Where `text` first holds a lone surrogate; None when UTF-8 can write it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def _turns(part: Turns | None, role: str) -> list[Message]:
    return [Message(role, part)] if isinstance(part, str) else (part or [])


def _plain(part: Turns | None, role: str, as_chat: bool) -> Any:
    if isinstance(part, str) and not as_chat:
        return part
    return [message.as_dict() for message in _turns(part, role)]
