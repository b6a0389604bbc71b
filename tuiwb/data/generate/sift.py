"""Which generated rows are new: none that repeats a known row or another, none that leaks.

In: generated rows, the datasets they must not repeat, the held-out set. Out: a rejection or
nothing for each. The checks of a dataset decide, so what passes here passes `tuiwb data check`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.similarity import FAST_FROM
from tuiwb.data.rows import Row

BATCH = 2000


class Rows(Protocol):
    """A dataset as far as it is needed here."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...


class Rejection(msgspec.Struct, kw_only=True):
    """Why a row is not new: row `of` of `file` ('generated': an earlier one) says or asks it."""

    reason: str
    file: str
    of: int
    score: float


def sift(
    generated: Sequence[Row],
    known: Sequence[tuple[str, Rows]],
    held_out: tuple[str, Rows] | None = None,
) -> list[Rejection | None]:
    """A rejection for each generated row that repeats a known or an earlier kept one, or leaks.

    Of rows that repeat each other the first stays. `known` are files and their rows.
    """
    if not generated:
        return []
    starts, total = [], 0
    for _file, rows in known:
        starts.append(total)
        total += len(rows)
    fast = total + len(generated) >= FAST_FROM
    verdicts = _leaks(generated, held_out, fast)
    duplicates = Duplicates(fast=fast)
    for start, (_file, rows) in zip(starts, known, strict=True):
        for batch in _batches(rows):
            duplicates.add([_numbered(row, start + row.index) for row in batch])
    for batch in _batches([_numbered(row, total + i) for i, row in enumerate(generated)]):
        duplicates.add(batch)
    for _ in duplicates.end():
        pass
    copies = set(duplicates.copies())
    # Sorted by the later row, so that an earlier one's fate is known.
    for later, earlier, score in duplicates.edges():
        at, of = later - total, earlier - total
        if at < 0 or verdicts[at] is not None or (of >= 0 and verdicts[of] is not None):
            continue
        place = bisect_right(starts, earlier) - 1
        file, row = ("generated", of) if of >= 0 else (known[place][0], earlier - starts[place])
        reason = "exact_duplicate" if (later, earlier) in copies else "near_duplicate"
        verdicts[at] = Rejection(reason=reason, file=file, of=row, score=round(score, 4))
    return verdicts


def _leaks(
    generated: Sequence[Row], held_out: tuple[str, Rows] | None, fast: bool
) -> list[Rejection | None]:
    verdicts: list[Rejection | None] = [None] * len(generated)
    if held_out is None:
        return verdicts
    file, held = held_out
    leakage = Leakage(held, file, fast=fast)
    findings = []
    for batch in _batches([_numbered(row, i) for i, row in enumerate(generated)]):
        findings.extend(leakage.add(batch))
    for finding in (*findings, *leakage.end()):
        verdicts[finding.row] = Rejection(
            reason="leakage", file=file, of=finding.of or 0, score=finding.score or 1.0
        )
    return verdicts


def _numbered(row: Row, index: int) -> Row:
    return msgspec.structs.replace(row, index=index)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch
