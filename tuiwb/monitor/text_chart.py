"""Several runs' curves in one chart of plain text, for a terminal's scroll-back, a pipe or a file.

In: curves and a size. Out: lines. With colours a curve is drawn in braille; without, each cell
holds the letter of its run (a, b, ...), so that nothing depends on colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuiwb.monitor.chart import Line, plot
from tuiwb.monitor.ticks import Unit
from tuiwb.text import inert

COLOURS = (36, 33, 35, 32, 34, 31)  # ANSI foregrounds, readable on light and dark
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class TextCurve:
    """x and y of equal length; values as logged."""

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def text_chart(
    title: str,
    curves: Sequence[TextCurve],
    width: int = 80,
    height: int = 12,
    *,
    colour: bool = False,
    log_y: bool = False,
    x_unit: Unit = "count",
) -> list[str]:
    """The chart with its title, y axis, x axis and a legend; `width` and `height` in cells."""
    height = max(3, height)
    gutter = 9
    lines = [Line.of(c.x, c.y, marker="•" if len(c.x) < 12 else "") for c in curves]
    drawn = plot(lines, max(10, width - gutter), height, log_y=log_y)
    words = dict(drawn.y_ticks)
    out = [inert(title, one_line=True)]
    for row, parts in enumerate(drawn.runs()):
        text = "".join(_painted(part, owner, colour) for part, owner in parts)
        axis = "┤" if row in words else "│"
        out.append(f"{words.get(row, ''):>{gutter - 1}}{axis}{text}".rstrip())
    ruler = [" "] * (width - gutter)
    for at, label in drawn.x_ticks(x_unit):
        ruler[at : at + len(label)] = list(label)
    out.append(f"{'':>{gutter - 1}}└{'─' * (width - gutter)}")
    out.append(f"{'':>{gutter}}{''.join(ruler)}".rstrip())
    for number, curve in enumerate(curves):
        mark = _painted("━━", number, True) if colour else LETTERS[number % len(LETTERS)]
        out.append(f"{'':>{gutter}}{mark} {inert(curve.name, one_line=True)}")
    return out


def _painted(text: str, owner: int, colour: bool) -> str:
    if owner < 0:
        return text
    if colour:
        return f"\x1b[{COLOURS[owner % len(COLOURS)]}m{text}\x1b[0m"
    letter = LETTERS[owner % len(LETTERS)]
    return "".join(letter if char not in (" ", "⠀") else " " for char in text)
