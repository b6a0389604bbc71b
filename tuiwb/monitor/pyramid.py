"""Minimum and maximum of any slices of a series, at a cost that hardly grows with its length.

Level 0 is the series itself; an entry of level k sums up 16**k points. Appends only add entries, so
a series that grows is never read again from its start.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BRANCH = 16
# Up to so many entries are reduced in one sweep; above that, the next level does the middle.
SWEEP = 1 << 16
CHUNK = 1 << 15  # entries summed up at a time; what fits the processor's cache

# What a slice holds beside finite values.
NAN, ABOVE, BELOW, NOT_POSITIVE = 1, 2, 4, 8


@dataclass(frozen=True)
class Slices:
    """Per slice: `low` and `high` of its values (NaN where there is none), and `flags` of NAN,
    ABOVE (inf), BELOW (-inf), NOT_POSITIVE for what it holds beside them."""

    low: Floats
    high: Floats
    flags: NDArray[np.uint8]


def _summary(y: Floats, positive: bool) -> tuple[Floats, NDArray[np.uint8]]:
    """Entries of level 0: rows of value and negated value, inf where there is none, so that both
    are reduced by their minimum; and the flags. With `positive`, only values above zero count."""
    out = np.empty((2, *y.shape))
    np.copyto(out[0], y)
    np.negative(y, out=out[1])
    flags = np.zeros(y.shape, np.uint8)
    finite = np.isfinite(y)
    if not finite.all():
        out[:, ~finite] = np.inf
        flags[np.isnan(y)] = NAN
        flags[y == np.inf] = ABOVE
        flags[y == -np.inf] = BELOW
    if positive:
        not_positive = finite & (y <= 0)
        out[:, not_positive] = np.inf
        flags[not_positive] = NOT_POSITIVE
    return out, flags


def _plain(y: Floats, positive: bool) -> bool:
    """Whether all of it counts: finite, and above zero where only that does."""
    return bool(np.isfinite(y).all() and not (positive and (y <= 0).any()))


def _halved(y: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """Entries of level 1 of values that all count, halved four times: far quicker than by rows."""
    low = high = y
    for _ in range(4):
        low, high = np.minimum(low[::2], low[1::2]), np.maximum(high[::2], high[1::2])
    return np.stack([low, -high]), np.zeros(len(low), np.uint8)


class _Level:
    """Whole blocks of 16 entries of the level below."""

    def __init__(self) -> None:
        self.count = 0
        self._rows = np.empty((2, 16))
        self._flags = np.empty(16, np.uint8)

    def add(self, rows: Floats, flags: NDArray[np.uint8]) -> None:
        """Append entries."""
        end = self.count + rows.shape[1]
        if end > self._rows.shape[1]:
            # Room that isn't written to costs no memory.
            size = end * 3 // 2
            grown, grown_flags = np.empty((2, size)), np.empty(size, np.uint8)
            grown[:, : self.count] = self._rows[:, : self.count]
            grown_flags[: self.count] = self._flags[: self.count]
            self._rows, self._flags = grown, grown_flags
        self._rows[:, self.count : end] = rows
        self._flags[self.count : end] = flags
        self.count = end

    @property
    def entries(self) -> tuple[Floats, NDArray[np.uint8]]:
        """All entries and their flags."""
        return self._rows[:, : self.count], self._flags[: self.count]


class Pyramid:
    """Levels over a series that its owner keeps: `extend(y)` after it grew, then `slices()`.

    `positive` leaves values of zero and below out, as a logarithmic scale has to.
    """

    def __init__(self, positive: bool = False) -> None:
        self._positive = positive
        self._levels: list[_Level] = []

    def extend(self, y: Floats) -> None:
        """Take in what was appended to `y`, the whole series."""
        below = len(y)
        number = 0
        while below // BRANCH:
            if number == len(self._levels):
                self._levels.append(_Level())
            level = self._levels[number]
            start, whole = level.count * BRANCH, below // BRANCH * BRANCH
            for at in range(start, whole, CHUNK):
                end = min(whole, at + CHUNK)
                if number == 0 and _plain(y[at:end], self._positive):
                    level.add(*_halved(y[at:end]))
                    continue
                if number == 0:
                    rows, flags = _summary(y[at:end], self._positive)
                else:
                    all_rows, all_flags = self._levels[number - 1].entries
                    rows, flags = all_rows[:, at:end], all_flags[at:end]
                level.add(
                    rows.reshape(2, -1, BRANCH).min(axis=2),
                    np.bitwise_or.reduce(flags.reshape(-1, BRANCH), axis=1),
                )
            below = level.count
            number += 1

    def slices(self, y: Floats, edges: Ints) -> Slices:
        """What y[edges[i]:edges[i + 1]] holds, for each i; edges ascend within 0..len(y)."""
        starts, ends = edges[:-1].copy(), edges[1:].copy()
        best = np.full((2, len(starts)), np.inf)
        flags = np.zeros(len(starts), np.uint8)
        number = 0
        while len(starts):
            low, high = int(starts.min()), int(ends.max())
            if high <= low:
                break
            if high - low <= SWEEP or number >= len(self._levels):
                rows, marks = self._read(y, number, slice(low, high))
                _sweep(rows, marks, starts - low, ends - low, best, flags)
                break
            up_starts, up_ends = -(-starts // BRANCH), ends // BRANCH
            inner = up_starts < up_ends
            head = np.where(inner, up_starts * BRANCH, ends) - starts
            tail = np.where(inner, up_ends * BRANCH, ends)
            count = head + (ends - tail)
            lane = np.arange(2 * BRANCH)
            index = np.where(
                lane < head[:, None],
                starts[:, None] + lane,
                tail[:, None] + lane - head[:, None],
            )
            inside = lane < count[:, None]
            rows, marks = self._read(y, number, np.where(inside, index, 0))
            np.minimum(best, np.where(inside, rows, np.inf).min(axis=2), out=best)
            flags |= np.bitwise_or.reduce(np.where(inside, marks, 0).astype(np.uint8), axis=1)
            starts = np.where(inner, up_starts, 0)
            ends = np.where(inner, up_ends, 0)
            # Slices that are done take the place of an empty one beside those that are not.
            if inner.any():
                starts[~inner] = ends[~inner] = starts[inner][0]
            number += 1
        best[np.isinf(best)] = np.nan
        return Slices(best[0], -best[1], flags)

    def _read(
        self, y: Floats, number: int, which: "slice | Ints"
    ) -> tuple[Floats, NDArray[np.uint8]]:
        if number == 0:
            return _summary(y[which], self._positive)
        rows, flags = self._levels[number - 1].entries
        return rows[:, which], flags[which]


def _sweep(
    rows: Floats,
    marks: NDArray[np.uint8],
    starts: Ints,
    ends: Ints,
    best: Floats,
    flags: NDArray[np.uint8],
) -> None:
    """Reduce rows[:, starts[i]:ends[i]] into best[:, i] and flags[i]."""
    full = np.flatnonzero(starts < ends)
    if not len(full):
        return
    pairs = np.empty(2 * len(full), np.int64)
    pairs[::2], pairs[1::2] = starts[full], ends[full]
    if pairs[-1] == len(marks):
        # One past the last entry is no index; the last slice ends there by itself.
        pairs = pairs[:-1]
    best[:, full] = np.minimum(best[:, full], np.minimum.reduceat(rows, pairs, axis=1)[:, ::2])
    flags[full] |= np.bitwise_or.reduceat(marks, pairs)[::2]
