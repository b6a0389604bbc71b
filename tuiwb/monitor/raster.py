"""Columns of minimum and maximum to dots: bars, joined to their neighbours, broken at gaps."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tuiwb.monitor.pyramid import ABOVE, BELOW, NAN

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DASH, PAUSE = 5, 3


@dataclass(frozen=True)
class Columns:
    """Per column of dots the lowest and highest value (NaN: none) and what else it holds (the
    pyramid's flags); `before` and `after` are the points next to the view: (column, value)."""

    low: Floats
    high: Floats
    flags: NDArray[np.uint8]
    before: tuple[float, float] | None = None
    after: tuple[float, float] | None = None

    @cached_property
    def filled(self) -> NDArray[np.bool_]:
        """Columns with at least one value."""
        filled: NDArray[np.bool_] = ~(np.isnan(self.low) | np.isnan(self.high))
        return filled

    @cached_property
    def entering(self) -> list[float]:
        """The values at which the line enters and leaves the view on its way to the points beside
        it; a view between two points has no others."""
        at = np.flatnonzero(self.filled)
        count = len(self.low)
        inside = (
            [(float(n), float(self.low[n] / 2 + self.high[n] / 2)) for n in at[[0, -1]]]
            if (len(at))
            else []
        )
        points = [p for p in (self.before, *inside, self.after) if p is not None]
        points = [p for p in points if np.isfinite(p[1])]
        if len(points) < 2:
            return []
        places, values = zip(*points, strict=True)
        return [
            float(np.interp(edge, places, values))
            for edge in (0.0, count - 1.0)
            if places[0] <= edge <= places[-1]
        ]


def spans(columns: Columns, y_range: tuple[float, float], rows: int) -> tuple[Ints, Ints]:
    """First and last row of dots of each column's bar; meaningless where it isn't filled."""
    both = _rows(np.concatenate([columns.high, columns.low]), y_range, rows).astype(np.int64)
    count = len(columns.low)
    return both[:count], both[count:]


def bars(
    columns: Columns,
    y_range: tuple[float, float],
    rows: int,
    *,
    faint: bool = False,
    dashed: bool = False,
) -> NDArray[np.bool_]:
    """The dots of one line: `rows` x columns.

    A column without values between two that have some lies on the straight line between them,
    unless a value there is not finite. A faint line is every other dot, its extremes aside.
    """
    count = len(columns.low)
    dots = np.zeros((rows, count), np.bool_)
    first, last = spans(columns, y_range, rows)
    top, bottom, drawn = _joined(columns, first, last, y_range, rows)
    if not drawn.any():
        return dots
    line = np.arange(rows)[:, None]
    np.logical_and(line >= top, line <= bottom, out=dots)
    dots &= drawn
    if faint:
        kept = (line + np.arange(count)) % 2 == 0
        ends = (line == first) | (line == last)
        dots &= kept | (ends & columns.filled)
    if dashed:
        dots &= np.arange(count) % (DASH + PAUSE) < DASH
    return dots


def _rows(values: Floats, y_range: tuple[float, float], rows: int) -> Floats:
    """The row of each value, 0 at the top of the range; beyond it the nearest row."""
    low, high = y_range
    # Halves, so that a range of twice the largest float is still a number.
    with np.errstate(invalid="ignore", over="ignore"):
        share: Floats = (high / 2 - values / 2) / (high / 2 - low / 2)
        np.minimum(share, 1, out=share)
        np.maximum(share, 0, out=share)
        share *= rows - 1
        np.rint(share, out=share)
    share[np.isnan(share)] = 0.0
    return share


def _beside(
    side: tuple[float, float] | None, y_range: tuple[float, float], rows: int
) -> tuple[Floats, Floats]:
    """The (column, row) of a point beside the view, each in an array: empty where there is none."""
    if side is None or not np.isfinite(side[1]):
        return np.empty(0), np.empty(0)
    return np.array([side[0]]), _rows(np.array([side[1]]), y_range, rows)


def _joined(
    columns: Columns, top: Ints, bottom: Ints, y_range: tuple[float, float], rows: int
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """First and last row per column, after empty columns are bridged and steps are filled."""
    count = len(columns.low)
    drawn = columns.filled.copy()
    (before, row_before), (after, row_after) = (
        _beside(side, y_range, rows) for side in (columns.before, columns.after)
    )
    places = np.concatenate([before, np.flatnonzero(drawn), after])
    middles = np.concatenate([row_before, (top + bottom)[drawn] / 2, row_after])
    top, bottom = top.copy(), bottom.copy()
    empty = np.flatnonzero(~drawn)
    if len(places) >= 2 and len(empty):
        empty = empty[(empty > places[0]) & (empty < places[-1])]
        wrong = np.cumsum(np.concatenate([[0], (columns.flags & (NAN | ABOVE | BELOW)) > 0]))
        right = np.searchsorted(places, empty)
        start = np.clip(np.ceil(places[right - 1]), 0, count).astype(np.int64)
        end = np.clip(np.floor(places[right]) + 1, 0, count).astype(np.int64)
        # What is wrong in a column that also has values is marked, but breaks no line.
        start += places[right - 1] >= 0
        end -= places[right] < count
        empty = empty[wrong[np.maximum(end, start)] == wrong[start]]
        bridged = np.rint(np.interp(empty, places, middles)).astype(np.int64)
        top[empty] = bottom[empty] = bridged
        drawn[empty] = True
    if count > 1:
        both = drawn[:-1] & drawn[1:]
        down = both & (top[1:] > bottom[:-1] + 1)
        up = both & (bottom[1:] < top[:-1] - 1)
        first, last = top.copy(), bottom.copy()
        half = (bottom[:-1] + top[1:]) // 2
        last[:-1][down] = np.maximum(last[:-1], half)[down]
        first[1:][down] = np.minimum(first[1:], half + 1)[down]
        half = (top[:-1] + bottom[1:]) // 2
        first[:-1][up] = np.minimum(first[:-1], half + 1)[up]
        last[1:][up] = np.maximum(last[1:], half)[up]
        top, bottom = first, last
    return top, bottom, drawn
