"""Findings by row, read from disk as they are asked for: a screen holds a few bytes of each.

In: findings in the order of their rows. Out: findings.jsonl, one a line, and found.npz, which says
where each row's lines are; a mapping from row numbers to findings over both.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tuiwb.data.checks.finding import Finding
from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FINDINGS = "findings.jsonl"
FOUND = "found.npz"
ERROR_WEIGHT = 1000


class FoundRows(Mapping[int, Sequence[Finding]]):
    """Rows with findings, ascending. `weights` are what rows are ordered by: an error counts
    ERROR_WEIGHT, a warning 1."""

    def __init__(
        self,
        path: Path,
        rows: "NDArray[np.int64]",
        starts: "NDArray[np.int64]",
        weights: "NDArray[np.int64]",
    ) -> None:
        self._path, self._rows, self._starts, self._weights = path, rows, starts, weights
        self._read = lru_cache(maxsize=1024)(self._read_row)

    def __getitem__(self, row: int) -> Sequence[Finding]:
        at = int(self._rows.searchsorted(row))
        if at == len(self._rows) or self._rows[at] != row:
            raise KeyError(row)
        return self._read(at)

    def __contains__(self, row: object) -> bool:
        at = int(self._rows.searchsorted(row)) if isinstance(row, int) else len(self._rows)
        return at < len(self._rows) and bool(self._rows[at] == row)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows.tolist())

    def __len__(self) -> int:
        return len(self._rows)

    def numbers(self, total: int) -> "NDArray[np.int64]":
        """The rows below `total`, ascending."""
        return self._rows[: self._rows.searchsorted(total)]

    def weight_of(self, total: int) -> "NDArray[np.int64]":
        """A weight for each of `total` rows, 0 where nothing was found."""
        import numpy as np

        weights = np.zeros(total, np.int64)
        known = self.numbers(total)
        weights[known] = self._weights[: len(known)]
        return weights

    def _read_row(self, at: int) -> Sequence[Finding]:
        start, end = int(self._starts[at]), int(self._starts[at + 1])
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                lines = file.read(end - start).split(b"\n")
            return [msgspec.json.decode(line, type=prepared(Finding)) for line in lines if line]
        except (OSError, msgspec.MsgspecError):
            return []


def weight(findings: Sequence[Finding]) -> int:
    """What a row's findings weigh in an order by findings."""
    return sum(ERROR_WEIGHT if f.severity == "error" else 1 for f in findings)


def keep_findings(folder: Path, findings: Iterable[Finding]) -> None:
    """Write both files; `findings` are ordered by row."""
    import io

    import numpy as np

    rows: list[int] = []
    starts: list[int] = []
    weights: list[int] = []
    at = 0
    lines = []
    for finding in findings:
        if not rows or rows[-1] != finding.row:
            rows.append(finding.row)
            starts.append(at)
            weights.append(0)
        weights[-1] += weight([finding])
        lines.append(msgspec.json.encode(finding) + b"\n")
        at += len(lines[-1])
    write_atomically(folder / FINDINGS, b"".join(lines))
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        rows=np.array(rows, np.int64),
        starts=np.array([*starts, at], np.int64),
        weights=np.array(weights, np.int64),
    )
    write_atomically(folder / FOUND, packed.getvalue())


def found_rows(folder: Path) -> FoundRows | None:
    """The findings a check left in its folder; None when they can't be read."""
    import numpy as np

    try:
        with np.load(folder / FOUND, allow_pickle=False) as kept:
            parts = kept["rows"], kept["starts"], kept["weights"]
        return FoundRows(folder / FINDINGS, *parts)
    except Exception:  # a damaged archive raises a dozen kinds of errors
        return None


def found_in(findings: Iterable[Finding], folder: Path) -> FoundRows:
    """Findings in memory as rows of findings, through files in `folder`."""
    keep_findings(folder, findings)
    rows = found_rows(folder)
    assert rows is not None
    return rows
