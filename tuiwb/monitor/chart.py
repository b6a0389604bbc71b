"""The chart's pure core: decimate points to columns, then columns to a grid of characters.

Nothing here knows a terminal library: `plot()` takes series and a size in cells and gives rows of
(character, series number) to be coloured and drawn. Braille cells hold 2x4 dots.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BRAILLE = 0x2800
DOT = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
NOTHING = -1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One series to draw. `faint` lines never hide others (the raw curve under a smoothed one);
    `marker` is a character drawn on each point, for series of few points."""

    x: ArrayLike
    y: ArrayLike
    faint: bool = False
    marker: str = ""


@dataclass(frozen=True)
class Plot:
    """A drawn chart: `cells[row][column]` is (character, series number or NOTHING)."""

    cells: list[list[tuple[str, int]]]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: list[tuple[int, str]]
    y_ticks: list[tuple[int, str]]
    bad: list[tuple[int, int]]


def decimate(x: ArrayLike, y: ArrayLike, low: float, high: float, columns: int) -> Floats:
    """Minimum and maximum of y in each of `columns` equal slices of [low, high]: (columns, 2).

    Not-finite values are left out; a slice without points is NaN.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    out = np.full((columns, 2), np.nan)
    good = np.isfinite(ys) & (xs >= low) & (xs <= high)
    xs, ys = xs[good], ys[good]
    if not len(xs):
        return out
    slot = np.minimum(((xs - low) / max(high - low, 1e-12) * columns).astype(np.int64), columns - 1)
    order = np.argsort(slot, kind="stable")
    slot, ys = slot[order], ys[order]
    starts = np.flatnonzero(np.diff(slot, prepend=-1))
    out[slot[starts], 0] = np.minimum.reduceat(ys, starts)
    out[slot[starts], 1] = np.maximum.reduceat(ys, starts)
    return out


def smooth(values: ArrayLike, weight: float) -> Floats:
    """Exponential moving average, debiased as TensorBoard's; NaN and infinity are passed over."""
    ys = np.asarray(values, np.float64)
    out = np.empty_like(ys)
    last, total = 0.0, 0
    for index, value in enumerate(ys.tolist()):
        if math.isfinite(value):
            last = last * weight + (1 - weight) * value
            total += 1
            out[index] = last / (1 - weight**total)
        else:
            out[index] = value
    return out


def plot(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    log_y: bool = False,
    x_range: tuple[float, float] | None = None,
    include_zero: bool = False,
) -> Plot:
    """Draw `lines` into `width` x `height` cells of braille; later lines lie on top.

    Any size works, down to nothing. With `log_y`, values of zero and below are left out.
    """
    width, height = max(0, width), max(0, height)
    arrays = [(np.asarray(s.x, np.float64), np.asarray(s.y, np.float64)) for s in lines]
    low_x, high_x = x_range or _span([x for x, _ in arrays])
    if log_y:
        arrays = [(x, _log10(y)) for x, y in arrays]
    visible = [y[(x >= low_x) & (x <= high_x)] for x, y in arrays]
    low_y, high_y = _span(visible)
    if include_zero and not log_y:
        low_y, high_y = min(low_y, 0.0), max(high_y, 0.0)
    if high_y - low_y < 1e-12 * max(1.0, abs(low_y)):
        pad = abs(low_y) * 0.05 or 0.5
        low_y, high_y = low_y - pad, high_y + pad

    dots = np.zeros((height * 4, width * 2), np.bool_)
    owner = np.full((height, width), NOTHING, np.int64)
    bits = np.zeros((height, width), np.int64)
    order = sorted(range(len(lines)), key=lambda i: not lines[i].faint)
    bad: list[tuple[int, int]] = []
    if width and height:
        for number in order:
            x, y = arrays[number]
            dots[:] = False
            _trace(dots, x, y, (low_x, high_x), (low_y, high_y))
            cell = _braille_bits(dots)
            touched = cell > 0
            bits = np.where(touched, cell if not lines[number].faint else bits | cell, bits)
            owner[touched] = number
            bad += [(c, number) for c in _bad_columns(x, y, low_x, high_x, width)]
    cells = [
        [(chr(BRAILLE + b) if b else " ", o) for b, o in zip(bit_row, owner_row, strict=True)]
        for bit_row, owner_row in zip(bits.tolist(), owner.tolist(), strict=True)
    ]
    for number, line in enumerate(lines):
        if line.marker and width and height:
            x, y = arrays[number]
            for column, row in _cells_of(x, y, (low_x, high_x), (low_y, high_y), width, height):
                cells[row][column] = (line.marker, number)
    return Plot(
        cells=cells,
        x_range=(low_x, high_x),
        y_range=(low_y, high_y),
        x_ticks=_x_ticks(low_x, high_x, width),
        y_ticks=_y_ticks(low_y, high_y, height, log_y),
        bad=sorted(set(bad)),
    )


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers (1, 2, 5 times a power of ten) within [low, high]."""
    if most < 1 or not math.isfinite(high - low) or high <= low:
        return []
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    # Clamped: n * step may round to just outside.
    ticks = [min(max(n * step, low), high) for n in range(first, last + 1)]
    return ticks[:most] if len(ticks) <= most else ticks[:: -(-len(ticks) // most)]


def label(value: float) -> str:
    """A tick in few characters: 0.25, 1.2k, 2e-05."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    if abs(value) >= 1e4:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}"


def _trace(
    dots: NDArray[np.bool_], x: Floats, y: Floats, xr: tuple[float, float], yr: tuple[float, float]
) -> None:
    """Set the dots of one line: each column's min-max bar, joined to the next column's."""
    rows, columns = dots.shape
    span = decimate(x, y, xr[0], xr[1], columns)
    filled = np.flatnonzero(~np.isnan(span[:, 0]))
    if not len(filled):
        return
    scale = (rows - 1) / max(yr[1] - yr[0], 1e-300)
    top = np.clip(np.rint((yr[1] - span[filled, 1]) * scale), 0, rows - 1).astype(np.int64)
    bottom = np.clip(np.rint((yr[1] - span[filled, 0]) * scale), 0, rows - 1).astype(np.int64)
    gaps = set(_bad_columns(x, y, xr[0], xr[1], columns))
    for index, column in enumerate(filled.tolist()):
        dots[top[index] : bottom[index] + 1, column] = True
        if index + 1 == len(filled):
            continue
        following = int(filled[index + 1])
        if any(c in gaps for c in range(column + 1, following)):
            continue
        start, end = (top[index] + bottom[index]) / 2, (top[index + 1] + bottom[index + 1]) / 2
        steps = max(following - column, 1)
        for k in range(steps + 1):
            a = start + (end - start) * k / steps
            b = start + (end - start) * min(k + 1, steps) / steps
            lo, hi = sorted((round(float(a)), round(float(b))))
            if k == steps:
                lo = hi = round(float(end))
            dots[lo : max(lo + 1, hi), column + k] = True


def _cells_of(
    x: Floats,
    y: Floats,
    xr: tuple[float, float],
    yr: tuple[float, float],
    width: int,
    height: int,
) -> set[tuple[int, int]]:
    """The (column, row) of each finite point in view."""
    seen = np.isfinite(y) & (x >= xr[0]) & (x <= xr[1])
    columns = (x[seen] - xr[0]) / max(xr[1] - xr[0], 1e-12) * width
    rows = (yr[1] - y[seen]) / max(yr[1] - yr[0], 1e-300) * height
    return set(
        zip(
            np.clip(columns, 0, width - 1).astype(int).tolist(),
            np.clip(rows, 0, height - 1).astype(int).tolist(),
            strict=True,
        )
    )


def _braille_bits(dots: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows, columns = dots.shape
    blocks = dots.reshape(rows // 4, 4, columns // 2, 2).transpose(0, 2, 1, 3)
    total: NDArray[np.int64] = (blocks * np.asarray(DOT)).sum(axis=(2, 3))
    return total


def _bad_columns(x: Floats, y: Floats, low: float, high: float, columns: int) -> list[int]:
    """Columns in which a value is NaN or infinite."""
    wrong = x[~np.isfinite(y) & (x >= low) & (x <= high)]
    if not len(wrong):
        return []
    slot = ((wrong - low) / max(high - low, 1e-12) * columns).astype(np.int64)
    return sorted(set(np.minimum(slot, columns - 1).tolist()))


def _span(arrays: Sequence[Floats]) -> tuple[float, float]:
    finite = [a[np.isfinite(a)] for a in arrays]
    finite = [a for a in finite if len(a)]
    if not finite:
        return 0.0, 1.0
    return float(min(a.min() for a in finite)), float(max(a.max() for a in finite))


def _log10(y: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(y > 0, np.log10(np.where(y > 0, y, 1.0)), np.where(y <= 0, np.nan, y))


def _x_ticks(low: float, high: float, width: int) -> list[tuple[int, str]]:
    if width < 8 or high <= low:
        return []
    ticks = nice_ticks(low, high, max(2, width // 12))
    return [(round((t - low) / (high - low) * (width - 1)), label(t)) for t in ticks]


def _y_ticks(low: float, high: float, height: int, log_y: bool) -> list[tuple[int, str]]:
    if height < 2 or high <= low:
        return []
    ticks = nice_ticks(low, high, max(2, height // 2))
    rows = [(round((high - t) / (high - low) * (height - 1)), t) for t in ticks]
    return [(row, label(10**t if log_y else t)) for row, t in rows]
