"""A drawn chart as strips of the terminal: y axis, curve, marks on the x axis, labels, title.

In: a Plot of the pure core and the theme's styles. Out: Strips; no widget and no app in here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tuiwb.monitor.chart import INFINITE, NOTHING, OUTSIDE, Plot
from tuiwb.monitor.glyphs import Glyphs
from tuiwb.monitor.series import Axis
from tuiwb.monitor.ticks import reading

Text = Sequence[tuple[str, Style]]
Floats = NDArray[np.float64]
_NONE: Floats = np.empty(0)
WHOLE = 3  # spellings of a title that leave out no curve's value
CROWDED = 4  # columns a mark; with fewer they are dim, in every other column nothing but a rule


@dataclass(frozen=True)
class Mark:
    """A moment worth a sign on the x axis, in the unit of the curves' x."""

    x: float
    kind: Literal["checkpoint", "evaluation", "alert"]


@dataclass(frozen=True)
class Palette:
    """Styles: one per line of the plot, and those of everything around it."""

    lines: Sequence[Style]
    muted: Style
    text: Style
    title: Style
    current: Style
    wrong: Style
    notice: Style
    cross: Style

    @cached_property
    def full_colour(self) -> bool:
        """Whether no style leaves a colour to the terminal, nor dims one."""
        around = (self.muted, self.text, self.title, self.current, self.wrong, self.notice)
        return not any(
            style.dim
            or any(c is not None and c.triplet is None for c in (style.color, style.bgcolor))
            for style in (*self.lines, *around, self.cross)
        )

    def owner(self, number: int) -> Style:
        """The style of a cell by whose it is."""
        if number >= 0:
            return self.lines[number]
        return {NOTHING: self.muted, INFINITE: self.wrong, OUTSIDE: self.notice}[number]


class Told(NamedTuple):
    """A curve in the title: its name, how it is drawn, its value, and that of its smoothed self."""

    name: str
    marker: str
    dashed: bool
    style: Style
    value: float
    smoothed: float | None


def value_texts(told: Sequence[Told], look: Glyphs, palette: Palette) -> list[list[Text]]:
    """The values of all curves in ever fewer words: with names, without, then only the first."""
    full: list[Text] = []
    short: list[Text] = []
    bare: list[Text] = []
    for curve in told:
        dashes = look.dashes if curve.dashed else ""
        sign = f"{curve.marker}{dashes}" or look.line
        words = reading(curve.value)
        about = f" ~{reading(curve.smoothed)}" if curve.smoothed is not None else ""
        key = [(f"{sign} ", curve.style)] if len(told) > 1 else []
        name = [(f"{curve.name} ", palette.muted)] if len(told) > 1 else []
        full.append([*key, *name, (words + about, palette.text)])
        short.append([*key, *name, (words, palette.text)])
        bare.append([*key, (words, palette.text)])
    fewer: list[list[Text]] = [
        [*bare[:count], [(f"+{len(bare) - count}", palette.muted)]]
        for count in range(len(bare) - 1, 0, -1)
    ]
    return [full, short, bare, *fewer]


def curve_row(
    runs: Sequence[tuple[str, int]],
    tick: str,
    gutter: int,
    look: Glyphs,
    palette: Palette,
    cross: int | None,
) -> Strip:
    """A row of the plot behind the words of its tick; `cross` is the crosshair's column."""
    segments: list[Segment] = []
    if gutter:
        sign = look.tick if tick else look.side
        segments.append(Segment(tick[: gutter - 1].rjust(gutter - 1) + sign, palette.muted))
    at = 0
    for text, owner in runs:
        style = palette.owner(owner)
        end = at + len(text)
        if cross is not None and at <= cross < end:
            here = text[cross - at]
            under = (look.crosshair, palette.cross) if here == " " else (here, style + _REVERSE)
            for part, look_of in (
                (text[: cross - at], style),
                under,
                (text[cross - at + 1 :], style),
            ):
                if part:
                    segments.append(Segment(part, look_of))
        else:
            segments.append(Segment(text, style))
        at = end
    return Strip(segments, gutter + at)


_REVERSE = Style(reverse=True)


def axis_row(
    plot: Plot,
    marks: Mapping[str, Floats],
    gutter: int,
    look: Glyphs,
    palette: Palette,
) -> Strip:
    """The x axis with the run's marks (x by kind) and the columns where a value is NaN.

    Checkpoints and evaluations that would fill the axis are left out: they come with the zoom.
    """
    width = plot.codes.shape[1]
    signs = [look.axis] * width
    styles = [palette.muted] * width
    for kind, sign, style in (
        ("evaluation", look.evaluation, palette.text),
        ("checkpoint", look.checkpoint, palette.text),
        ("alert", look.alert, palette.notice),
    ):
        columns = plot.columns(marks.get(kind, _NONE))
        if kind != "alert" and len(columns) * CROWDED > width:
            if len(columns) * 2 > width:
                continue
            style = palette.muted
        for column in columns:
            signs[column], styles[column] = sign, style
    for column in plot.nan:
        signs[column], styles[column] = look.nan, palette.wrong
    head = [Segment(look.corner.rjust(gutter), palette.muted)] if gutter else []
    return Strip([*head, *_joined(signs, styles)], gutter + width)


def label_row(
    plot: Plot,
    ticks: Sequence[tuple[int, str]],
    axis: Axis,
    gutter: int,
    palette: Palette,
    pointed: tuple[int, str] | None,
) -> Strip:
    """The x ticks, the axis' name where it fits, and the crosshair's x over them."""
    width = plot.codes.shape[1]
    signs = [" "] * (gutter + width)
    styles = [palette.muted] * (gutter + width)
    end = 0
    covered = range(0)
    if pointed is not None:
        column, words = pointed
        words = f" {words} "[: len(signs)]
        begin = max(0, min(gutter + column - len(words) // 2, len(signs) - len(words)))
        signs[begin : begin + len(words)] = words
        styles[begin : begin + len(words)] = [palette.text + _REVERSE] * len(words)
        covered = range(begin, begin + len(words))
    for start, words in ticks:
        end = gutter + start + len(words)
        if covered and gutter + start <= covered.stop and end >= covered.start:
            continue
        signs[gutter + start : gutter + start + len(words)] = words
    end = max(end, covered.stop)
    name = axis if gutter + width - end >= len(axis) + 2 else ""
    if name:
        signs[-len(name) :] = name
    return Strip(_joined(signs, styles), len(signs))


def title_row(
    width: int,
    title: str,
    values: Sequence[Sequence[Text]],
    notes: Text,
    rule: str,
    palette: Palette,
    current: bool,
) -> Strip:
    """The title on a rule, then each curve's value, then notes at the right end.

    `values` holds several spellings of all values, the longest first: the first that fits beside
    the notes stands, and notes that leave no room for any go. The `current` chart's title and rule
    stand out.
    """
    line = palette.current if current else palette.muted
    room = width - 3
    if room < 4:
        return Strip([Segment(rule * width, line)], width)
    if cell_len(title) > room:
        title = set_cell_size(title, room - 1) + "…"
    room -= cell_len(title)
    kept, spelled = _fitting(values, notes, room, palette.muted)
    size = _cells(spelled)
    segments = [Segment(f"{rule} ", line), Segment(title, line if current else palette.title)]
    segments += [Segment(words, style) for words, style in spelled]
    fill = max(0, room - size - (_cells(kept) + 2 if kept else 0))
    segments.append(Segment(" " + rule * fill, line))
    segments += [Segment(words, style) for words, style in kept]
    if kept:
        segments.append(Segment(f" {rule}", line))
    length = _cells([(segment.text, line) for segment in segments])
    return Strip(segments, length).adjust_cell_length(width, palette.muted)


def _fitting(
    values: Sequence[Sequence[Text]], notes: Text, room: int, gap: Style
) -> tuple[Text, Text]:
    """Every curve's value with as many notes as go beside them; then ever fewer of the values."""
    for spellings in (values[:WHOLE], values[WHOLE:]):
        for count in range(len(notes), -1, -1):
            kept = [p for words, style in notes[:count] for p in ((" ", style), (words, style))]
            left = room - (_cells(kept) + 3 if kept else 0)
            for spelling in spellings:
                parts = [part for text in spelling for part in (("  ", gap), *text)]
                if _cells(parts) <= left:
                    return kept, parts
    return [], []


def _cells(text: Text) -> int:
    # Ever new numbers would fill the library's cache, which keeps thousands of texts.
    return sum(len(words) if words.isascii() else cell_len(words) for words, _ in text)


def _joined(signs: Sequence[str], styles: Sequence[Style]) -> list[Segment]:
    segments: list[Segment] = []
    start = 0
    for at in range(1, len(signs) + 1):
        if at == len(signs) or styles[at] is not styles[start]:
            segments.append(Segment("".join(signs[start:at]), styles[start]))
            start = at
    return segments
