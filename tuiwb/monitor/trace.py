"""One curve as the chart asks for it: x ascending, its pyramid, its smoothed twin, kept up to date.

In: the arrays of a series as they grow. Out: minimum and maximum per column of a view.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuiwb.monitor.pyramid import Pyramid, Slices
from tuiwb.monitor.smoothing import Smoother

Floats = NDArray[np.float64]
_NONE: Floats = np.empty(0)


class Trace:
    """`update()` with a series' arrays before drawing, `release()` after it.

    What is kept between the two are the pyramids and the smoothed values; the series' own arrays
    are not, unless its x is out of order or partly unknown.
    """

    def __init__(self) -> None:
        self._x = _NONE
        self._y = _NONE
        self._taken = 0
        self._generation: object = None
        self._ends = (math.nan, math.nan)
        self._own: tuple[Floats, Floats] | None = None
        self._pyramid = Pyramid()
        self._smoother = Smoother(0)
        self._smoothed = _NONE
        self._smoothed_count = 0
        self._smooth_pyramid = Pyramid()

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, weight: float = 0.0) -> "Trace":
        """A trace of arrays that don't grow."""
        trace = cls()
        trace.update(np.asarray(x, np.float64), np.asarray(y, np.float64), weight=weight)
        return trace

    def update(self, x: Floats, y: Floats, generation: object = 0, weight: float = 0.0) -> None:
        """Take in what was appended since the last time, or all when it is another series.

        `weight` above 0 keeps the smoothed values as well. x and y may differ in length while
        they are being written: what both have counts.
        """
        count = min(len(x), len(y))
        x, y = x[:count], y[:count]
        if not self._goes_on(x, count, generation):
            self._start_over(generation)
        fresh = x[self._taken :]
        if self._own is None and not _ascends(fresh, self._ends[1] if self._taken else -math.inf):
            self._own = (x[: self._taken].copy(), y[: self._taken].copy())
        if self._own is not None:
            self._take_own(fresh, y[self._taken :])
            self._x, self._y = self._own
        else:
            self._x, self._y = x, y
        self._taken = count
        self._ends = (float(x[0]), float(x[-1])) if count else (math.nan, math.nan)
        self._pyramid.extend(self._y)
        self._smooth(weight)

    def release(self) -> None:
        """Let go of the series' arrays."""
        self._x = self._y = _NONE

    def __len__(self) -> int:
        return len(self._x)

    @property
    def extent(self) -> tuple[float, float] | None:
        """First and last x, None without points."""
        return (float(self._x[0]), float(self._x[-1])) if len(self._x) else None

    def columns(self, low: float, high: float, count: int, smoothed: bool = False) -> Slices:
        """Each of `count` equal slices of [low, high], the last one with its end."""
        shares = np.arange(count + 1) / max(1, count)
        edges = np.searchsorted(self._x, low + (high - low) * shares)
        edges[-1] = np.searchsorted(self._x, high, side="right")
        np.maximum.accumulate(edges, out=edges)
        if smoothed and self._smoothed_count == len(self._y):
            return self._smooth_pyramid.slices(self._values(True), edges)
        return self._pyramid.slices(self._y, edges)

    def beside(
        self, low: float, high: float, smoothed: bool = False
    ) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """The points (x, y) next to [low, high] on both sides, None where there is none."""
        y = self._values(smoothed)
        left = int(np.searchsorted(self._x, low)) - 1
        right = int(np.searchsorted(self._x, high, side="right"))
        return (
            (float(self._x[left]), float(y[left])) if left >= 0 else None,
            (float(self._x[right]), float(y[right])) if right < len(self._x) else None,
        )

    def nearest(self, x: float, smoothed: bool = False) -> tuple[float, float] | None:
        """The point (x, y) nearest to `x`; None without points."""
        if not len(self._x):
            return None
        y = self._values(smoothed)
        right = min(int(np.searchsorted(self._x, x)), len(self._x) - 1)
        left = max(0, right - 1)
        at = left if abs(self._x[left] - x) <= abs(self._x[right] - x) else right
        return float(self._x[at]), float(y[at])

    def neighbour(self, x: float, forward: bool) -> float | None:
        """The next x beyond `x`, or the one before it; None at the end."""
        if forward:
            at = int(np.searchsorted(self._x, x, side="right"))
            return float(self._x[at]) if at < len(self._x) else None
        at = int(np.searchsorted(self._x, x)) - 1
        return float(self._x[at]) if at >= 0 else None

    def last(self) -> tuple[float, float] | None:
        """The newest point as logged."""
        return (float(self._x[-1]), float(self._y[-1])) if len(self._x) else None

    def _values(self, smoothed: bool) -> Floats:
        if smoothed and self._smoothed_count == len(self._y):
            return self._smoothed[: self._smoothed_count]
        return self._y

    def _goes_on(self, x: Floats, count: int, generation: object) -> bool:
        if generation != self._generation or count < self._taken:
            return False
        if not self._taken:
            return True
        seen = (float(x[0]), float(x[self._taken - 1]))
        return all(
            a == b or (math.isnan(a) and math.isnan(b))
            for a, b in zip(seen, self._ends, strict=True)
        )

    def _start_over(self, generation: object) -> None:
        self._generation = generation
        self._taken = 0
        self._own = None
        self._pyramid = Pyramid()
        self._forget_smoothed()

    def _take_own(self, x: Floats, y: Floats) -> None:
        """Append to copies of our own; what came out of order means sorting them anew."""
        assert self._own is not None
        if not len(x):
            return
        known = ~np.isnan(x)
        x, y = x[known], y[known]
        old_x, old_y = self._own
        ordered = _ascends(x, float(old_x[-1]) if len(old_x) else -math.inf)
        joined_x, joined_y = np.concatenate([old_x, x]), np.concatenate([old_y, y])
        if not ordered:
            order = np.argsort(joined_x, kind="stable")
            joined_x, joined_y = joined_x[order], joined_y[order]
            self._pyramid = Pyramid()
            self._forget_smoothed()
        self._own = (joined_x, joined_y)

    def _forget_smoothed(self) -> None:
        self._smoothed, self._smoothed_count = _NONE, 0
        self._smooth_pyramid = Pyramid()
        self._smoother = Smoother(self._smoother.weight)

    def _smooth(self, weight: float) -> None:
        if weight != self._smoother.weight:
            self._smoother = Smoother(weight)
            self._forget_smoothed()
        if weight <= 0:
            return
        count = len(self._y)
        if count > len(self._smoothed):
            grown = np.empty(max(count, len(self._smoothed) * 5 // 4))
            grown[: self._smoothed_count] = self._smoothed[: self._smoothed_count]
            self._smoothed = grown
        self._smoothed[self._smoothed_count : count] = self._smoother.extend(
            self._y[self._smoothed_count :]
        )
        self._smoothed_count = count
        self._smooth_pyramid.extend(self._smoothed[:count])


def _ascends(x: Floats, after: float) -> bool:
    """Whether x is in order and known throughout, from `after` on."""
    if not len(x):
        return True
    return bool(x[0] >= after and (x[1:] >= x[:-1]).all() and not math.isnan(float(x[-1])))
