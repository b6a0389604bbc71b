"""Rows to findings: each span of each text of a row. A secret is never given in clear."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.pii.find import finder
from tuiwb.data.checks.pii.span import KINDS, Span
from tuiwb.data.rows import Row

_SHOWN = 4


class PersonalData:
    """The check over batches of rows; `audit` counts findings by kind and rows that have any."""

    def __init__(self) -> None:
        self._find = finder().spans
        self._kinds: Counter[str] = Counter()
        self._rows = 0

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """The findings of a batch, row by row."""
        for row in rows:
            some = False
            for field, _role, text in row.fields():
                for span in self._find(text):
                    self._kinds[span.kind] += 1
                    some = True
                    yield _finding(row, field, text, span)
            self._rows += some

    def end(self) -> Iterable[Finding]:
        """Nothing: no finding waits for another row."""
        return ()

    def audit(self) -> dict[str, Any]:
        """How many findings of each kind, and how many rows have one."""
        return {"kinds": dict(self._kinds.most_common()), "rows": self._rows}


def pii(row: Row) -> Iterator[Finding]:
    """The findings of one row."""
    return PersonalData().add((row,))


def masked(value: str) -> str:
    """A secret for a report: at most its first 4 characters (a quarter of it) and its length."""
    return f"{value[: min(_SHOWN, len(value) // 4)]}… ({len(value)} characters)"


def _finding(row: Row, field: str, text: str, span: Span) -> Finding:
    said = text[span.start : span.end]
    secret = span.kind == "secret"
    shown = KINDS[span.kind]
    what = f"{span.note} ({shown})" if span.note else shown
    return found(
        row,
        "pii",
        f"{field} holds {what}" + ("" if secret else f": {quote(said)}"),
        field=field,
        kind=span.kind,
        start=span.start,
        end=span.end,
        text=masked(said) if secret else said,
        severity="error" if secret else "warning",
    )
