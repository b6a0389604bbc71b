"""What a chart is given: curves over metric series; and small questions about them.

In: series as they grow. Out: arrays when asked, extents, the next point of a crosshair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tuiwb.monitor.series import Axis, Series
from tuiwb.monitor.ticks import UNITS, labels
from tuiwb.monitor.trace import Trace
from tuiwb.text import short_seconds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A named series, its x values (None: the series' own steps) and how it looks.

    `x` may be a function that gives them, called when the curve is drawn: then nothing is computed
    or kept for a chart that is not seen. `colour` is a theme colour; `marker` a character on its
    points, for series of few points; `dashed` tells it from others where there is no colour;
    `smoothed` False leaves it raw.
    """

    name: str
    series: Series
    colour: str = "primary"
    marker: str = ""
    x: Floats | Callable[[], Floats] | None = None
    dashed: bool = False
    smoothed: bool = True

    @property
    def key(self) -> tuple[object, ...]:
        """What tells whether there is anything new to draw."""
        return (
            self.name,
            id(self.series),
            len(self.series),
            self.series.generation,
            self.colour,
            self.marker,
            self.dashed,
            self.smoothed,
        )

    def but(self, **looks: bool) -> "Curve":
        """The same curve with other looks."""
        return replace(self, **looks)  # type: ignore[arg-type]

    def arrays(self) -> tuple[Floats, Floats]:
        """x and y as they are now."""
        x = self.series.steps if self.x is None else self.x
        return (x() if callable(x) else x), self.series.values


def next_point(traces: Sequence[Trace], x: float, by: float) -> float | None:
    """The point nearest to x + `by`; if that is where x is, the next one in that direction."""
    found = [p[0] for t in traces if (p := t.nearest(x + by)) is not None]
    if not found:
        return None
    best = min(found, key=lambda at: abs(at - x - by))
    if by and (best - x) * by <= 0:
        ahead = [n for t in traces if (n := t.neighbour(x, forward=by > 0)) is not None]
        return min(ahead, key=lambda at: abs(at - x)) if ahead else x
    return best


def curves_extent(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """First and last x of all curves; None without points."""
    low, high = np.inf, -np.inf
    for curve in curves:
        x, y = curve.arrays()
        x = x[: len(y)]
        if not len(x):
            continue
        ends = x[[0, -1]]
        if not np.isfinite(ends).all():
            ends = x[np.isfinite(x)]
        if len(ends):
            low, high = min(low, float(ends.min())), max(high, float(ends.max()))
    return (low, high) if low <= high else None


def x_words(x: float, axis: Axis) -> str:
    """A place on the x axis in words: 1240 steps, 1.23M tokens, 1h02m."""
    if axis == "step":
        return f"{x:.0f}"
    if axis == "time" and x >= 1:
        return short_seconds(x)
    return labels([x], UNITS[axis])[0]
