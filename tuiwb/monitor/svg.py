"""A line plot as SVG text, made from the series itself. Pure; no library, no network, no script.

In: curves of x and y. Out: an <svg> with a light and a dark set of colours (CSS,
prefers-color-scheme). Long curves are thinned to the minimum and maximum of each pixel
column; a value that is NaN or infinite leaves a gap and a mark at the edge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from tuiwb.monitor.ticks import Unit, labels, log_ticks, nice_ticks, ticks_of
from tuiwb.text import inert

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 36
DASHES = ("", "7 3", "2 3", "9 3 2 3")
# Okabe and Ito's palette for all kinds of colour vision (jfly.uni-koeln.de/color, 2008), darkened
# or lightened where the ground asks for it.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b8568f", "#8a6d00", "#3f8fc4")
_DARK = ("#56b4e9", "#f0883e", "#2fc494", "#e79bc4", "#e6c34a", "#8ab8e6")


def _colours(ground: str, ink: str, dim: str, grid: str, bad: str, curves: Sequence[str]) -> str:
    """CSS without variables: viewers that are no browsers don't know them."""
    return (
        f".plot .ground{{fill:{ground}}}.plot text{{fill:{dim}}}.plot .title{{fill:{ink}}}"
        f".plot .grid{{stroke:{grid}}}.plot .mark{{stroke:{dim}}}.plot .bad{{stroke:{bad}}}"
        + "".join(
            f".plot .c{n}{{stroke:{colour}}}.plot .f{n}{{fill:{colour}}}"
            for n, colour in enumerate(curves)
        )
    )


STYLE = (
    ".plot text{font:12px system-ui,sans-serif}.plot .title{font-weight:600;font-size:13px}"
    ".plot .mark{stroke-dasharray:1 3;fill:none}.plot .curve{fill:none;stroke-width:1.6}"
    ".plot .bad{fill:none;stroke-width:1.5}\n"
    + _colours("#fff", "#222", "#6b6b72", "#e4e4e7", "#c01c28", _LIGHT)
    + "\n@media (prefers-color-scheme:dark){"
    + _colours("#16181d", "#e6e6e6", "#9a9aa2", "#2c2f36", "#ff7b72", _DARK)
    + "}"
)


@dataclass(frozen=True)
class SvgCurve:
    """x and y of equal length, NaN and infinity in y as logged; `points` draws a dot on each."""

    name: str
    x: Floats
    y: Floats
    points: bool = False


def svg_plot(
    title: str,
    curves: Sequence[SvgCurve],
    *,
    x_name: str = "step",
    x_unit: Unit = "count",
    log_y: bool = False,
    marks: Sequence[float] = (),
    style: bool = True,
) -> str:
    """An <svg> of the curves; `marks` are x values with a dotted line (checkpoints).

    With `log_y`, zero and below is left out. `style=False` leaves the colours to the page, which
    then holds STYLE once. Any text may stand in names: it is made inert and escaped.
    """
    drawn = [SvgCurve(c.name, c.x, _logged(c.y) if log_y else c.y, c.points) for c in curves]
    x_range = _span([c.x for c in drawn])
    y_range = _padded(_span([c.y for c in drawn]))
    frame = _Frame(x_range, y_range)
    words = inert(title, one_line=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{_quoted(words)}">',
        f"<style>{STYLE}</style>" if style else "",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="18">{_text(words)}</text>',
        *_grid(frame, x_unit, log_y, x_name),
    ]
    for mark in marks:
        if x_range[0] <= mark <= x_range[1]:
            at = frame.x(mark)
            parts.append(f'<path class="mark" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    for number, curve in enumerate(drawn):
        parts += _curve(frame, number, curve)
    if len(drawn) > 1:
        parts += _legend(drawn)
    parts.append("</svg>")
    return "\n".join(filter(None, parts))


def thinned(x: Floats, y: Floats, low: float, high: float, columns: int) -> tuple[Floats, Floats]:
    """A finite curve in at most four points a column: its first, minimum, maximum and last."""
    if len(x) <= 4 * columns or high <= low:
        return x, y
    slot = np.clip(((x - low) / (high - low) * columns).astype(np.int64), 0, columns - 1)
    order = np.lexsort((y, slot))
    starts = np.flatnonzero(np.diff(slot[order], prepend=-1))
    ends = np.append(starts[1:], len(slot)) - 1
    first = np.flatnonzero(np.diff(slot, prepend=-1))
    last = np.append(first[1:], len(slot)) - 1
    kept = np.unique(np.concatenate([order[starts], order[ends], first, last]))
    return x[kept], y[kept]


class _Frame:
    """From data to pixels."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self.x_range, self.y_range = x_range, y_range

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _grid(frame: _Frame, unit: Unit, log_y: bool, x_name: str) -> list[str]:
    parts = []
    low, high = frame.y_range
    ticks = log_ticks(low, high, 6) if log_y else nice_ticks(low, high, 6)
    for tick, words in zip(ticks, labels(ticks), strict=True):
        at = frame.y(math.log10(tick) if log_y else tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_text(words)}</text>'
        )
    along = ticks_of(unit)(*frame.x_range, 8)
    for tick, words in zip(along, labels(along, unit), strict=True):
        parts.append(
            f'<text x="{frame.x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{_text(words)}</text>'
        )
    name = inert(x_name + (", logarithmic y" if log_y else ""), one_line=True)
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{_text(name)}</text>'
    )
    return parts


def _curve(frame: _Frame, number: int, curve: SvgCurve) -> list[str]:
    parts = []
    colour, dash = number % len(_LIGHT), _dash(number)
    known = np.isfinite(curve.x)
    x, y = curve.x[known], curve.y[known]
    path: list[str] = []
    for start, end in _pieces(np.isfinite(y)):
        inside = np.clip(y[start:end], *frame.y_range)
        xs, ys = thinned(x[start:end], inside, *frame.x_range, WIDTH)
        path += [
            f"{'M' if n == 0 else 'L'}{frame.x(float(a)):.1f} {frame.y(float(b)):.1f}"
            for n, (a, b) in enumerate(zip(xs, ys, strict=True))
        ]
        # A piece of one point would be invisible as a line.
        if curve.points or len(xs) == 1:
            parts += [
                f'<circle cx="{frame.x(float(a)):.1f}" cy="{frame.y(float(b)):.1f}" r="2.6" '
                f'class="f{colour}"/>'
                for a, b in zip(xs, ys, strict=True)
            ]
    if path:
        parts.insert(0, f'<path class="curve c{colour}"{dash} d="{" ".join(path)}"/>')
    at_edge = sorted({round(frame.x(float(a))) for a in x[~np.isfinite(y)]})
    for at in at_edge:
        foot = HEIGHT - BOTTOM
        parts.append(f'<path class="bad" d="M{at - 3} {foot - 8}l6 6m0 -6l-6 6"/>')
    return parts


def _legend(curves: Sequence[SvgCurve]) -> list[str]:
    parts = []
    at = float(WIDTH - RIGHT)
    for number in range(len(curves) - 1, -1, -1):
        name = inert(curves[number].name, one_line=True)[:40]
        at -= 7.0 * len(name) + 26
        if at < LEFT + 120:
            break
        parts.append(
            f'<path class="curve c{number % len(_LIGHT)}"{_dash(number)} d="M{at:.0f} 14h14"/>'
            f'<text x="{at + 18:.0f}" y="18">{_text(name)}</text>'
        )
    return parts


def _dash(number: int) -> str:
    """What tells the seventh curve from the first, which has its colour."""
    dash = DASHES[number // len(_LIGHT) % len(DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _pieces(good: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of True as (start, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _logged(y: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(y > 0, np.log10(np.where(y > 0, y, 1.0)), np.nan)


def _span(arrays: Sequence[Floats]) -> tuple[float, float]:
    finite = [a[np.isfinite(a)] for a in arrays]
    finite = [a for a in finite if len(a)]
    if not finite:
        return 0.0, 1.0
    low, high = float(min(a.min() for a in finite)), float(max(a.max() for a in finite))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _padded(span: tuple[float, float]) -> tuple[float, float]:
    # Halved before they are subtracted: the extremes of a float have no finite difference.
    low, high = (max(-8e307, min(8e307, edge)) for edge in span)
    pad = (high - low) * 0.04 or abs(high) * 0.05 or 0.5
    return low - pad, high + pad


def _text(words: str) -> str:
    # Two characters that no XML may hold and that `inert` leaves alone.
    return escape(words.translate({0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}))


def _quoted(words: str) -> str:
    return _text(words).replace('"', "&quot;")
