"""Turns with nothing in them, and answers that only hold a place."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.texts import Entry, texts_of
from tuiwb.data.rows import Message, Row

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
LONGEST = 40


def blank(text: str) -> bool:
    """Whether a text shows nothing: white space and zero-width characters only."""
    return not text[:1].isalnum() and not text.strip().strip(INVISIBLE).strip()


class Empty:
    """Blank turns that call no tool, and answers such as "TODO": both teach to say nothing."""

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """The turns of a batch with nothing in them."""
        for entry in texts_of(rows).entries:
            row, field, role, text = entry
            if len(text) > LONGEST and text[0].isalnum():
                continue
            if blank(text):
                if not _calls(entry):
                    words = f"{_what(entry)} is blank"
                    yield found(row, "empty", words, severity="error", field=field)
            elif role == "assistant" and text.strip().lower() in placeholders():
                yield found(
                    row, "empty", f"{_what(entry)} only holds a place: “{quote(text)}”",
                    field=field, start=0, end=len(text), kind="placeholder", text=text,
                )  # fmt: skip

    def end(self) -> Iterator[Finding]:
        """Nothing: each row was looked at by itself."""
        return iter(())


def empty(row: Row) -> Iterator[Finding]:
    """The turns of one row with nothing in them."""
    return Empty().add([row])


def _calls(entry: Entry) -> bool:
    """Whether the turn calls a tool instead of speaking."""
    row, field, _role, _text = entry
    part, _, rest = field.partition("[")
    if not rest:
        return False
    turns: list[Message] = getattr(row, part)
    return bool(turns[int(rest.partition("]")[0])].tool_calls)


def _what(entry: Entry) -> str:
    _row, field, role, _text = entry
    if field == "text":
        return "the text"
    part, _, rest = field.partition("[")
    if not rest:
        return field
    of = "" if part == "messages" else f" of {part}"
    return f"turn {int(rest.partition(']')[0]) + 1}{of} ({quote(role)})"


@cache
def placeholders() -> frozenset[str]:
    """Texts that stand where an answer should be, from empty.toml."""
    data = tomllib.loads((Path(__file__).parent / "empty.toml").read_text("utf-8"))
    return frozenset(data["placeholders"])
