"""What a check is: it sees every row of a dataset once, in order, and says what it found.

A check of single rows is a function from a row to findings, made a check by `EachRow`. One that
needs the whole dataset, or is faster in batches, is a class with `add` and `end`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from tuiwb.data.checks.finding import Finding
from tuiwb.data.rows import Row

MAX_LENGTH = 1024  # TRL's default
RowCheck = Callable[[Row], Iterator[Finding]]


class Check(Protocol):
    """Sees a dataset in batches; may find things at once, or when it has seen all of it."""

    def add(self, rows: Sequence[Row]) -> Iterable[Finding]:
        """Look at the next rows."""
        ...

    def end(self) -> Iterable[Finding]:
        """What only the whole dataset shows; called once, after the last batch."""
        ...


@runtime_checkable
class Audited(Protocol):
    """A check that also counts over the whole dataset."""

    def audit(self) -> dict[str, Any]:
        """Counts and shares for the report, read after `end`."""
        ...


class EachRow:
    """Row checks as one check: every function sees every row."""

    def __init__(self, checks: Sequence[RowCheck]) -> None:
        self._checks = checks

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """What the functions say of these rows."""
        for row in rows:
            for check in self._checks:
                yield from check(row)

    def end(self) -> Iterator[Finding]:
        """Nothing: each row was looked at by itself."""
        return iter(())
