"""Fixes of a row's form, each a named operation: a row in, the row or a mended copy out.

A fix that would leave no row behind (an empty conversation, no answer) leaves the row as it is.
Texts of turns and of columns that are trained on are mended; tool calls and other columns are not.
"""

import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tuiwb.data.rows import Message, Row, Turns
from tuiwb.errors import BadInput

Fix = Callable[[Row], Row]

# C0 and C1 controls but tab, line feed, carriage return and NEL; DEL; BOM, zero-width space and
# word joiner. Joiners U+200C/D and direction marks U+200E/F spell words in Persian, Hindi, Hebrew.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff]")
# ECMA-48 5.4: CSI, parameters, intermediates, final byte; and OSC up to BEL or ST.
_ESCAPE = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\\\)")
_LINE_END = re.compile("\r\n?|\x85")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PARTS = ("messages", "prompt", "completion", "chosen", "rejected")
_MERGED = frozenset(("system", "user", "assistant"))


def invisible(row: Row) -> Row:
    """Without BOM, zero-width spaces, control characters and terminal escapes."""
    return _texts(row, _visible)


def line_ends(row: Row) -> Row:
    """Every line end as a line feed."""
    return _texts(row, _with_line_feeds)


def trailing_space(row: Row) -> Row:
    """Without white space at the end of each text; a bare prompt string keeps what parts it from
    its completion."""
    mended = _texts(row, str.rstrip)
    if isinstance(row.prompt, str) and mended is not row:
        mended = replace(mended, prompt=row.prompt)
    return row if mended == row else mended


def surrogates(row: Row) -> Row:
    """Lone surrogates, which no tokenizer takes, as U+FFFD."""
    return _texts(row, lambda text: text if text.isascii() else _SURROGATE.sub("\ufffd", text))


def merge_turns(row: Row) -> Row:
    """Consecutive turns of one role as one, a blank line between; turns with tool calls stay."""
    return _turns(row, _merged)


def empty_system(row: Row) -> Row:
    """Without system turns that say nothing."""

    def without(turns: list[Message]) -> list[Message]:
        return [turn for turn in turns if turn.role != "system" or turn.content.strip()]

    return _turns(row, without)


def trailing_user(row: Row) -> Row:
    """Without what the user says after the last answer: nothing is learned from it."""
    if row.messages is None:
        return row
    turns = list(row.messages)
    while turns and turns[-1].role == "user":
        turns.pop()
    if len(turns) == len(row.messages) or all(turn.role != "assistant" for turn in turns):
        return row
    return replace(row, messages=turns)


FIXES: dict[str, Fix] = {
    "invisible": invisible,
    "line_ends": line_ends,
    "trailing_space": trailing_space,
    "surrogates": surrogates,
    "empty_system": empty_system,
    "merge_turns": merge_turns,
    "trailing_user": trailing_user,
}


def fixes_named(names: Sequence[str]) -> list[str]:
    """The names in the order they are applied, each once; BadInput for one that is no fix."""
    for name in names:
        if name not in FIXES:
            raise BadInput(f"{name!r} is no fix: one of {', '.join(FIXES)}")
    return [name for name in FIXES if name in names]


def _visible(text: str) -> str:
    # Most texts are printable but for their line ends, which is far quicker to see.
    if text.replace("\n", "").isprintable():
        return text
    return _INVISIBLE.sub("", _ESCAPE.sub("", text) if "\x1b" in text else text)


def _with_line_feeds(text: str) -> str:
    return _LINE_END.sub("\n", text) if "\r" in text or "\x85" in text else text


def _texts(row: Row, change: Callable[[str], str]) -> Row:
    """The row with every text changed; the very same row when nothing changes."""
    changed: dict[str, str | Turns] = {}
    if row.text is not None and row.shape != "broken":
        text = change(row.text)
        changed |= {"text": text} if text != row.text else {}
    for name in _PARTS:
        part: Turns | None = getattr(row, name)
        if isinstance(part, str):
            text = change(part)
            changed |= {name: text} if text != part else {}
        elif part is not None:
            texts = [change(turn.content) for turn in part]
            if texts != [turn.content for turn in part]:
                changed[name] = [
                    replace(turn, content=text) for text, turn in zip(texts, part, strict=True)
                ]
    return replace(row, **changed) if changed else row


def _turns(row: Row, change: Callable[[list[Message]], list[Message]]) -> Row:
    """The row with its lists of turns changed; a list that would be left empty stays."""
    changed: dict[str, list[Message]] = {}
    for name in _PARTS:
        part: Turns | None = getattr(row, name)
        if isinstance(part, list) and part:
            turns = change(part)
            if turns and len(turns) != len(part):
                changed[name] = turns
    return replace(row, **changed) if changed else row


def _merged(turns: list[Message]) -> list[Message]:
    merged: list[Message] = []
    for turn in turns:
        before = merged[-1] if merged else None
        plain = turn.role in _MERGED and not turn.tool_calls
        if before and plain and before.role == turn.role and not before.tool_calls \
                and before.name == turn.name:  # fmt: skip
            both = (before.content, turn.content)
            text = "\n\n".join(part for part in both if part.strip())
            merged[-1] = replace(before, content=text)
        else:
            merged.append(turn)
    return merged
