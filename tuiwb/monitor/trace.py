"""One curve as the chart asks for it: x ascending, its pyramid, its smoothed twin, kept up to date.

In: the arrays of a series as they grow. Out: minimum and maximum per column of a view.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuiwb.monitor.columns import room
from tuiwb.monitor.pyramid import CHUNK, Pyramid, Slices
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
        self._series: object = None
        self._axis: object = None
        self._last = -math.inf
        self._own: tuple[Floats, Floats] | None = None
        self._smoother = Smoother(0)
        self._smoothed = _NONE
        self._smoothed_count = 0
        # By (smoothed, positive): made when first asked for.
        self._pyramids: dict[tuple[bool, bool], Pyramid] = {}

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, weight: float = 0.0) -> "Trace":
        """A trace of arrays that don't grow."""
        trace = cls()
        trace.update(np.asarray(x, np.float64), np.asarray(y, np.float64), weight=weight)
        return trace

    def update(
        self,
        x: Floats,
        y: Floats,
        series: object = None,
        axis: object = None,
        weight: float = 0.0,
    ) -> None:
        """Take in what was appended since the last time, or all when it is another series.

        `series` and `axis` tell: another value of `series` says that other values may stand in y,
        one of `axis` that they are laid out along another x. `weight` above 0 keeps the smoothed
        values as well. x and y may differ in length while they are being written: what both have
        counts.
        """
        count = min(len(x), len(y))
        x, y = x[:count], y[:count]
        if series != self._series or count < self._taken:
            self._forget_values()
        elif axis != self._axis:
            if self._own is not None or not _ascends(x[: self._taken], -math.inf):
                self._forget_values()
            elif self._taken:
                self._last = float(x[self._taken - 1])
        self._series, self._axis = series, axis
        fresh = x[self._taken :]
        if self._own is None and not _ascends(fresh, self._last):
            self._own = (x[: self._taken].copy(), y[: self._taken].copy())
        if self._own is not None:
            self._take_own(fresh, y[self._taken :])
            self._x, self._y = self._own
        else:
            self._x, self._y = x, y
            self._last = float(x[-1]) if count else -math.inf
        self._taken = count
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

    def columns(
        self,
        low: float,
        high: float,
        count: int,
        smoothed: bool = False,
        positive: bool = False,
    ) -> Slices:
        """Each of `count` equal slices of [low, high], the last one with its end; with `positive`
        only of values above zero."""
        shares = np.arange(count + 1) / max(1, count)
        edges = np.searchsorted(self._x, low + (high - low) * shares)
        edges[-1] = np.searchsorted(self._x, high, side="right")
        np.maximum.accumulate(edges, out=edges)
        y = self._values(smoothed)
        pyramid = self._pyramids.setdefault((y is not self._y, positive), Pyramid(positive))
        pyramid.extend(y)
        return pyramid.slices(y, edges)

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
        if smoothed and self._smoother.weight > 0:
            return self._smoothed[: self._smoothed_count]
        return self._y

    def _forget_values(self) -> None:
        self._taken, self._last, self._own = 0, -math.inf, None
        self._pyramids = {}
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
            self._pyramids = {}
            self._forget_smoothed()
        self._own = (joined_x, joined_y)

    def _forget_smoothed(self) -> None:
        self._smoothed, self._smoothed_count = _NONE, 0
        self._pyramids = {kind: p for kind, p in self._pyramids.items() if not kind[0]}
        self._smoother = Smoother(self._smoother.weight)

    def _smooth(self, weight: float) -> None:
        if weight != self._smoother.weight:
            self._smoother = Smoother(weight)
            self._forget_smoothed()
        if weight <= 0:
            return
        count = len(self._y)
        if count > len(self._smoothed):
            grown = room(count * 3 // 2)
            grown[: self._smoothed_count] = self._smoothed[: self._smoothed_count]
            self._smoothed = grown
        for start in range(self._smoothed_count, count, CHUNK):
            end = min(count, start + CHUNK)
            self._smoothed[start:end] = self._smoother.extend(self._y[start:end])
        self._smoothed_count = count


def _ascends(x: Floats, after: float) -> bool:
    """Whether x is in order and known throughout, from `after` on."""
    if not len(x):
        return True
    return bool(x[0] >= after and (x[1:] >= x[:-1]).all() and not math.isnan(float(x[-1])))
