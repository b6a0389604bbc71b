"""Rows to findings: each span of each text of a row. A secret is never given in clear."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.pii.find import finder
from tuiwb.data.checks.pii.span import KINDS, Span
from tuiwb.data.json_text import as_shown
from tuiwb.data.rows import Row, Turns

_SHOWN = 4


class PersonalData:
    """The check over batches of rows; `audit` counts findings by kind and rows that have any."""

    def __init__(self) -> None:
        self._find = finder().spans_of
        self._kinds: Counter[str] = Counter()
        self._rows = 0

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """The findings of a batch, row by row."""
        fields = [(row, field, text) for row in rows for field, text in _texts(row)]
        last: Row | None = None
        for (row, field, text), some in zip(
            fields, self._find([text for _row, _field, text in fields]), strict=True
        ):
            for span in some:
                self._kinds[span.kind] += 1
                yield _finding(row, field, text, span)
            if some and row is not last:
                self._rows += 1
                last = row

    def end(self) -> Iterable[Finding]:
        """Nothing: no finding waits for another row."""
        return ()

    def audit(self) -> dict[str, Any]:
        """How many findings of each kind, and how many rows have one."""
        return {"kinds": dict(self._kinds.most_common()), "rows": self._rows}


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    """The texts of a row by their fields, then the arguments of its tool calls."""
    for field, _role, text in row.fields():
        yield field, text
    for part in ("messages", "prompt", "completion", "chosen", "rejected"):
        turns: Turns | None = getattr(row, part)
        if turns is None or isinstance(turns, str):
            continue
        for i, turn in enumerate(turns):
            for n, call in enumerate(turn.tool_calls or ()):
                arguments = call["function"].get("arguments")
                yield f"{part}[{i}].tool_calls[{n}].arguments", as_shown(arguments)


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
