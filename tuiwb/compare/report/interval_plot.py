"""Figures with their intervals as SVG text: a dot and a line a row. Pure; no script, no network.

Colours, light and dark, are those of the run report's plots. What is better, worse or neither is
told by the dot's shape and in words too, never by colour alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tuiwb.monitor.svg import STYLE
from tuiwb.monitor.ticks import labels, nice_ticks
from tuiwb.text import inert

WIDTH, LEFT, RIGHT = 720, 180, 205
ROW, TOP, FOOT = 26, 34, 34
LONGEST = 28  # characters of a row's name
MORE_STYLE = ".plot .bar{stroke-width:2.4}.plot .zero{stroke-width:1.4}"


@dataclass(frozen=True)
class IntervalRow:
    """A row: a figure, the ends of its interval if it has one, and words to its right. `verdict`
    is 'better', 'worse' or ''."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    words: str = ""
    verdict: str = ""


def interval_plot(
    title: str,
    rows: Sequence[IntervalRow],
    *,
    reference: float = 0.0,
    axis: str = "",
    within: tuple[float, float] | None = None,
    style: bool = True,
) -> str:
    """An <svg> of the rows with a line at `reference`, where neither side is ahead.

    `within` is the range shown, by default that of all rows with the reference. `style=False`
    leaves the colours to the page, which then holds STYLE and MORE_STYLE once.
    """
    rows = [row for row in rows if math.isfinite(row.value)]
    low, high = within or _range(rows, reference)
    height = TOP + ROW * len(rows) + FOOT

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    foot = height - FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{_quoted(title)}">',
        f"<style>{STYLE}\n{MORE_STYLE}</style>" if style else "",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="12" y="19">{_text(title)}</text>',
    ]
    ticks = nice_ticks(low, high, 6)
    for tick, words in zip(ticks, labels(ticks), strict=True):
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{foot}"/>'
            f'<text x="{x(tick):.1f}" y="{foot + 15}" text-anchor="middle">{_text(words)}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{height - 4}" text-anchor="middle">'
        f"{_text(axis)}</text>"
    )
    if low <= reference <= high:
        at = x(reference)
        parts.append(
            f'<path class="mark zero" d="M{at:.1f} {TOP}V{foot}" style="stroke-dasharray:none"/>'
        )
    for number, row in enumerate(rows):
        parts += _row(row, TOP + ROW * number + ROW / 2, x)
    parts.append("</svg>")
    return "\n".join(filter(None, parts))


def _row(row: IntervalRow, y: float, x: Callable[[float], float]) -> list[str]:
    name = inert(row.name, one_line=True)
    shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    colour = {"better": 2, "worse": 1}.get(row.verdict, 0)
    at = x(row.value)
    parts = [
        f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{_text(shown)}</text>',
        f'<text x="{WIDTH - RIGHT + 10}" y="{y + 4:.1f}">{_text(row.words)}</text>',
    ]
    if row.low is not None and row.high is not None and row.low <= row.high:  # NaN is neither
        left, right = x(row.low), x(row.high)
        parts.append(
            f'<path class="curve bar c{colour}" '
            f'd="M{left:.1f} {y - 4:.1f}v8m0 -4H{right:.1f}m0 -4v8"/>'
        )
    shape = {
        "better": f"M{at - 5:.1f} {y + 4:.1f}h10l-5 -9z",
        "worse": f"M{at - 5:.1f} {y - 4:.1f}h10l-5 9z",
    }.get(row.verdict, f"M{at - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z")
    parts.append(f'<path class="f{colour}" d="{shape}"/>')
    return parts


def _range(rows: Sequence[IntervalRow], reference: float) -> tuple[float, float]:
    values = [reference]
    for row in rows:
        values += [v for v in (row.value, row.low, row.high) if v is not None and math.isfinite(v)]
    low, high = min(values), max(values)
    pad = (high - low) * 0.06 or 0.5
    return low - pad, high + pad


def _text(words: str) -> str:
    # Two characters that no XML may hold and that `inert` leaves alone.
    plain = inert(words, one_line=True).translate({0xFFFE: "\ufffd", 0xFFFF: "\ufffd"})
    return escape(plain)


def _quoted(words: str) -> str:
    return _text(words).replace('"', "&quot;")
