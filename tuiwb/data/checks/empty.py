"""Turns with nothing in them."""

from collections.abc import Iterator

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.rows import Row

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def blank(text: str) -> bool:
    """Whether a text shows nothing: white space and zero-width characters only."""
    return not text.strip().strip(INVISIBLE).strip()


def empty(row: Row) -> Iterator[Finding]:
    """Empty or blank turns that call no tool; a blank answer teaches the model to say nothing."""
    if row.shape == "text" and blank(row.text or ""):
        yield found(row, "empty", "the text is blank", severity="error", field="text")
    if row.shape in ("text", "broken"):
        return
    for part in ("messages", "prompt", "completion", "chosen", "rejected"):
        value = getattr(row, part)
        if isinstance(value, str):
            if blank(value):
                yield _blank(row, part, part)
            continue
        for i, message in enumerate(value or []):
            if blank(message.content) and not message.tool_calls:
                yield _blank(row, f"{part}[{i}].content", f"the {message.role}'s turn {i}")


def _blank(row: Row, field: str, what: str) -> Finding:
    return found(row, "empty", f"{what} is blank", severity="error", field=field)
