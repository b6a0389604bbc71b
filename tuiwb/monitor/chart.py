"""The chart's pure core: traces to columns, columns to a grid of characters.

Nothing here knows a terminal library: `plot()` takes lines and a size in cells and gives, per cell,
a character and whose it is, to be coloured and drawn by a widget.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuiwb.monitor.glyphs import GLYPHS, Glyphs, GlyphSet
from tuiwb.monitor.pyramid import ABOVE, BELOW, NAN, NOT_POSITIVE
from tuiwb.monitor.raster import Columns, bars, spans
from tuiwb.monitor.ticks import Unit, label, labels, log_ticks, nice_ticks, spread, ticks_of
from tuiwb.monitor.trace import Trace

Floats = NDArray[np.float64]

# Owners of a cell that is no line's: empty, an infinite value, a value outside the range.
NOTHING, INFINITE, OUTSIDE = -1, -2, -3
MOST = 1.7e308
# A range smaller than this is a single value: its ticks would be no numbers any more.
LEAST = 1e-300
# Columns beyond this share of a line's are outliers if they would take most of the height.
OUTLIER_SHARE, OUTLIER_REACH = 0.05, 2.0


@dataclass(frozen=True)
class Line:
    """One trace to draw, as logged or `smoothed`. `faint` lines lie below all others (the raw
    curve under its smoothed self); `marker` is drawn on the points of a series that has few."""

    trace: Trace
    smoothed: bool = False
    faint: bool = False
    dashed: bool = False
    marker: str = ""

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, **look: bool | str) -> "Line":
        """A line of plain arrays."""
        return cls(Trace.of(x, y), **look)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Plot:
    """A drawn chart of `height` x `width` cells.

    `codes` are characters, `owners` the line's number or NOTHING, INFINITE, OUTSIDE. Ranges are in
    the data's own values, also on a logarithmic scale. `above` and `below` are the extremes that
    the range leaves out, None where it holds all. `nan` are columns with a value that is NaN.
    """

    codes: NDArray[np.uint32]
    owners: NDArray[np.int16]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    y_ticks: list[tuple[int, str]]
    nan: list[int]
    above: float | None
    below: float | None

    @property
    def rows(self) -> list[str]:
        """The characters, a string per row."""
        return [_text(row) for row in self.codes]

    def runs(self) -> list[list[tuple[str, int]]]:
        """Each row as (text, owner) of neighbours with one owner."""
        height, width = self.codes.shape
        if not width:
            return [[] for _ in range(height)]
        changes = np.ones((height, width), np.bool_)
        np.not_equal(self.owners[:, 1:], self.owners[:, :-1], out=changes[:, 1:])
        starts = np.flatnonzero(changes)
        owners = self.owners.reshape(-1)[starts].tolist()
        text = _text(self.codes)
        rows: list[list[tuple[str, int]]] = [[] for _ in range(height)]
        bounds = [*starts.tolist(), height * width]
        for (start, end), owner in zip(itertools.pairwise(bounds), owners, strict=True):
            rows[start // width].append((text[start:end], owner))
        return rows

    def column(self, x: float) -> int | None:
        """The column in which `x` lies, None outside the view."""
        low, high = self.x_range
        width = int(self.codes.shape[1])
        if not width or not low <= x <= high:
            return None
        return min(int((x - low) / (high - low) * width), width - 1)

    def columns(self, x: Floats) -> list[int]:
        """The columns in which any of `x` lie."""
        low, high = self.x_range
        width = int(self.codes.shape[1])
        if not width or not len(x):
            return []
        seen = x[(x >= low) & (x <= high)]
        places = np.minimum((seen - low) / (high - low) * width, width - 1)
        hit = np.zeros(width, np.bool_)
        hit[places.astype(np.int64)] = True
        found: list[int] = np.flatnonzero(hit).tolist()
        return found

    def x_at(self, column: float) -> float:
        """The x in the middle of a column."""
        low, high = self.x_range
        return low + (high - low) * (column + 0.5) / max(1, int(self.codes.shape[1]))

    def x_ticks(self, unit: Unit = "count") -> list[tuple[int, str]]:
        """(first cell, words) of the labels below the axis; none overlap."""
        low, high = self.x_range
        make = ticks_of(unit)
        return spread(
            self.codes.shape[1],
            lambda most: make(low, high, most),
            lambda tick: self.column(tick) or 0,
            unit,
        )


def extent(traces: Sequence[Trace]) -> tuple[float, float] | None:
    """First and last x of all traces, None when they have no points."""
    ends = [e for t in traces if (e := t.extent) is not None]
    return (min(e[0] for e in ends), max(e[1] for e in ends)) if ends else None


def plot(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    log_y: bool = False,
    view: tuple[float, float] | None = None,
    clip: bool = False,
    glyphs: GlyphSet = "braille",
) -> Plot:
    """Draw `lines` into `width` x `height` cells; later lines lie on top.

    Any size works, down to nothing. `view` is the part of x that is shown. With `log_y`, values of
    zero and below lie below the scale and are marked so; with `clip`, a few values far off don't
    flatten the rest: they are marked at the edge.
    """
    width, height = max(0, width), max(0, height)
    look = GLYPHS[glyphs]
    x_range = _open(*(view or extent([line.trace for line in lines]) or (0.0, 1.0)))
    columns = [_columns(line, x_range, width * look.columns, log_y) for line in lines]
    whole = _whole_range(columns)
    scale = _clipped_range(columns, whole) if clip else whole
    y_range = _open(*scale)
    codes = np.full((height, width), ord(" "), np.uint32)
    owners = np.full((height, width), NOTHING, np.int16)
    bright = np.zeros((height, width), np.int64)
    if width and height:
        for number in sorted(range(len(lines)), key=lambda n: not lines[n].faint):
            _draw(codes, owners, bright, number, lines[number], columns[number], y_range, look)
        for number, line in enumerate(lines):
            if line.marker:
                _mark_points(codes, owners, number, line.marker, columns[number], y_range, look)
        _mark_edges(codes, owners, columns, y_range, log_y, look)
    marked = _per_cell([c.flags for c in columns], width, look.columns)
    return Plot(
        codes=codes,
        owners=owners,
        x_range=x_range,
        y_range=_values(y_range, log_y),
        y_ticks=_y_ticks(y_range, height, log_y, look),
        nan=np.flatnonzero(marked & NAN).tolist(),
        above=_value(whole[1], log_y) if whole[1] > y_range[1] else None,
        below=_value(whole[0], log_y) if whole[0] < y_range[0] else None,
    )


def _columns(line: Line, x_range: tuple[float, float], count: int, log_y: bool) -> Columns:
    """A line's minimum and maximum per column of dots, on the scale that is drawn."""
    low_x, high_x = x_range
    slices = line.trace.columns(low_x, high_x, count, line.smoothed, positive=log_y)
    low, high = slices.low, slices.high
    sides = line.trace.beside(low_x, high_x, line.smoothed)
    beside = [
        ((side[0] - low_x) / (high_x - low_x) * count, side[1]) if side is not None else None
        for side in sides
    ]
    if log_y:
        low, high = np.log10(low), np.log10(high)
        beside = [
            (b[0], float(np.log10(b[1])) if b[1] > 0 else np.nan) if b is not None else None
            for b in beside
        ]
    return Columns(low, high, slices.flags, beside[0], beside[1])


def _whole_range(columns: Sequence[Columns]) -> tuple[float, float]:
    values = [
        value
        for c in columns
        for value in (
            *(
                (float(c.low[c.filled].min()), float(c.high[c.filled].max()))
                if c.filled.any()
                else ()
            ),
            *c.entering,
        )
    ]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _clipped_range(columns: Sequence[Columns], whole: tuple[float, float]) -> tuple[float, float]:
    """The range without the few columns of a line that lie several times its height away."""
    low, high = np.inf, -np.inf
    for c in columns:
        lows, highs = c.low[c.filled], c.high[c.filled]
        if not len(lows):
            low, high = min([low, *c.entering]), max([high, *c.entering])
            continue
        first, last = float(lows.min()), float(highs.max())
        if len(lows) >= 8:
            # The quantiles, the nearest value inside: numpy's own take ten times as long.
            inside = math.ceil((len(lows) - 1) * OUTLIER_SHARE)
            bottom, top = float(np.sort(lows)[inside]), float(np.sort(highs)[-1 - inside])
            band = top - bottom
            if 0 < band < MOST:
                if last - top > OUTLIER_REACH * band:
                    last = float(highs[highs <= top + band].max())
                if bottom - first > OUTLIER_REACH * band:
                    first = float(lows[lows >= bottom - band].min())
        low, high = min(low, first, *c.entering), max(high, last, *c.entering)
    return (low, high) if low <= high else whole


def _open(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty: some room around a single value."""
    if high - low > max(1e-12 * max(abs(low), abs(high)), LEAST):
        return low, high
    room = abs(low) * 0.05 or 0.5
    low, high = max(-MOST, low - room), min(MOST, high + room)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _draw(
    codes: NDArray[np.uint32],
    owners: NDArray[np.int16],
    below: NDArray[np.int64],
    number: int,
    line: Line,
    columns: Columns,
    y_range: tuple[float, float],
    look: Glyphs,
) -> None:
    height, width = codes.shape
    dots = bars(columns, y_range, height * look.rows, faint=line.faint, dashed=line.dashed)
    cells = dots.reshape(height, look.rows, width, look.columns).transpose(0, 2, 1, 3)
    packed = np.packbits(cells.reshape(height, width, -1), axis=2, bitorder="little")
    bits = packed[:, :, 0].astype(np.int64)
    touched = bits > 0
    if line.faint:
        below[touched] = 0
    else:
        # Bright lines that share a cell share its dots, and take turns with its colour; the raw
        # curve below gives way.
        shared = touched & (below > 0)
        bits = np.where(touched, bits | below, bits)
        below[touched] = bits[touched]
    codes[touched] = look.codes[bits[touched]]
    if not line.faint:
        shared[:, ::2] = False
        touched &= ~shared
    owners[touched] = number


def _mark_points(
    codes: NDArray[np.uint32],
    owners: NDArray[np.int16],
    number: int,
    marker: str,
    columns: Columns,
    y_range: tuple[float, float],
    look: Glyphs,
) -> None:
    """The marker on each point of a series of few, on three or so of one of many."""
    height, width = codes.shape
    top, bottom = spans(columns, y_range, height * look.rows)
    where = np.flatnonzero(columns.filled)
    if len(where) * 3 > width:
        apart = max(1, len(where) // 3)
        where = where[apart // 2 :: apart]
    for rows in (top, bottom):
        codes[rows[where] // look.rows, where // look.columns] = ord(marker)
        owners[rows[where] // look.rows, where // look.columns] = number


def _mark_edges(
    codes: NDArray[np.uint32],
    owners: NDArray[np.int16],
    columns: Sequence[Columns],
    y_range: tuple[float, float],
    log_y: bool,
    look: Glyphs,
) -> None:
    """Signs on the first and last row for what lies beyond: values out of range, infinities."""
    width = codes.shape[1]
    low, high = y_range
    over = _any_cell([c.filled & (c.high > high) for c in columns], width, look.columns)
    under = _any_cell([c.filled & (c.low < low) for c in columns], width, look.columns)
    flags = _per_cell([c.flags for c in columns], width, look.columns)
    if log_y:
        under = under | ((flags & NOT_POSITIVE) > 0)
    for row, where, sign, owner in (
        (0, over, look.above, OUTSIDE),
        (-1, under, look.below, OUTSIDE),
        (0, (flags & ABOVE) > 0, look.infinite, INFINITE),
        (-1, (flags & BELOW) > 0, look.infinite, INFINITE),
    ):
        codes[row, where] = ord(sign)
        owners[row, where] = owner


def _per_cell(flags: Sequence[NDArray[np.uint8]], width: int, columns: int) -> NDArray[np.uint8]:
    total = np.zeros(width, np.uint8)
    for each in flags:
        total |= np.bitwise_or.reduce(each.reshape(width, columns), axis=1) if width else 0
    return total


def _any_cell(masks: Sequence[NDArray[np.bool_]], width: int, columns: int) -> NDArray[np.bool_]:
    total = np.zeros(width, np.bool_)
    for each in masks:
        total |= each.reshape(width, columns).any(axis=1)
    return total


def _y_ticks(
    y_range: tuple[float, float], height: int, log_y: bool, look: Glyphs
) -> list[tuple[int, str]]:
    """(row, words): about one label in three rows, at least two where there is room for them."""
    if height < 2:
        return []
    low, high = y_range
    dots = height * look.rows
    for most in range(max(2, (height + 1) // 3), height + 1):
        ticks = (log_ticks if log_y else nice_ticks)(low, high, most)
        places = [float(np.log10(t)) if log_y else t for t in ticks]
        rows = [
            min(max(round((high - p) / (high - low) * (dots - 1)), 0), dots - 1) // look.rows
            for p in places
        ]
        if len(set(rows)) == len(rows) >= 2:
            break
    words = [label(t) for t in ticks] if log_y else labels(ticks)
    placed = dict(zip(rows, words, strict=True))
    return sorted(placed.items())


def _value(on_scale: float, log_y: bool) -> float:
    return float(10.0 ** min(on_scale, 308.2)) if log_y else on_scale


def _values(y_range: tuple[float, float], log_y: bool) -> tuple[float, float]:
    return _value(y_range[0], log_y), _value(y_range[1], log_y)


def _text(codes: NDArray[np.uint32]) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le")
