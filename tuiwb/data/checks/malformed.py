"""Rows that can't be read or tokenized as they stand."""

from collections.abc import Iterator

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.examples import lone_surrogate
from tuiwb.data.rows import Row


def malformed(row: Row) -> Iterator[Finding]:
    """Broken rows, and texts with a lone surrogate, which no tokenizer takes."""
    if row.shape == "broken":
        text = (row.text or "")[:200]
        yield found(row, "malformed", f"the row {row.problem}", severity="error", text=text)
        return
    for field, _role, text in row.fields():
        if (at := lone_surrogate(text)) is not None:
            sentence = f"{field} has a lone surrogate at character {at}: no tokenizer takes it"
            more = {"field": field, "start": at, "end": at + 1}
            yield found(row, "malformed", sentence, severity="error", **more)
