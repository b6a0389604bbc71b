"""Rows that can't be read or tokenized as they stand."""

from collections.abc import Iterator, Sequence

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.texts import texts_of
from tuiwb.data.examples import lone_surrogate
from tuiwb.data.rows import Row


class Malformed:
    """Broken rows, and texts with a lone surrogate, which no tokenizer takes."""

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """What can't be read or tokenized in a batch."""
        for row in rows:
            if row.shape == "broken":
                text = (row.text or "")[:200]
                yield found(row, "malformed", f"the row {row.problem}", severity="error", text=text)
        for row, field, _role, text in texts_of(rows).beyond_ascii.entries:
            if (at := lone_surrogate(text)) is not None:
                sentence = f"{field} has a lone surrogate at character {at}: no tokenizer takes it"
                more = {"field": field, "start": at, "end": at + 1}
                yield found(row, "malformed", sentence, severity="error", **more)

    def end(self) -> Iterator[Finding]:
        """Nothing: each row was looked at by itself."""
        return iter(())


def malformed(row: Row) -> Iterator[Finding]:
    """What can't be read or tokenized in one row."""
    return Malformed().add([row])
