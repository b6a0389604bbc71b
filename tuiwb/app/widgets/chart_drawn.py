"""What a chart shows of its curves: title with the newest values, axes, marks, crosshair.

In: curves over metric series, and what the screen sets for all charts. Out: strips, painted only
when something differs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip

from tuiwb.app.widgets import chart_paint
from tuiwb.app.widgets.chart_curves import Curve, curves_extent, x_words
from tuiwb.app.widgets.chart_paint import Mark, Palette
from tuiwb.app.widgets.still import Still
from tuiwb.monitor.chart import Line, Plot, plot
from tuiwb.monitor.glyphs import GLYPHS, Glyphs, GlyphSet, detect
from tuiwb.monitor.series import Axis
from tuiwb.monitor.ticks import UNITS, reading
from tuiwb.monitor.trace import Trace
from tuiwb.monitor.view import View, at_tail
from tuiwb.text import inert


class _Base(NamedTuple):
    """The style below all that is drawn, and whether nothing lies around or over our strips."""

    above: tuple[object, ...]  # of which styles it was made
    style: Style
    plain: bool


class DrawnChart(Still):
    """`show()` gives it curves; everything else is set by assignment and painted when it differs.

    `view` is the part of x that is shown (None: all of `extent`, or of the curves); `follow` keeps
    its end on the newest point; `crosshair` is an x whose values are read out; `clip` leaves
    outliers out of the scale, marked at its edge; `current` says that keys go here.
    """

    DEFAULT_CSS = "DrawnChart { height: 1fr; width: 1fr; }"

    log_y: reactive[bool] = reactive(False)
    smoothing: reactive[float] = reactive(0.0)
    clip: reactive[bool] = reactive(True)
    glyphs: reactive[GlyphSet] = reactive[GlyphSet](detect)
    axis: reactive[Axis] = reactive[Axis]("step")
    view: reactive[View] = reactive[View](None)
    extent: reactive[View] = reactive[View](None)
    crosshair: reactive[float | None] = reactive[float | None](None, repaint=False)
    current: reactive[bool] = reactive(False)

    def __init__(self, title: str, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.title = title
        self.follow = False
        self._curves: list[Curve] = []
        self._traces: list[Trace] = []
        self._marks: list[Mark] = []
        self._mark_places: dict[str, NDArray[np.float64]] = {}
        self._mark_count = 0
        self._subtitle = ""
        self._data: tuple[object, ...] = ()
        self._painted: tuple[object, ...] = ()
        self._drawn: tuple[Plot, list[list[tuple[str, int]]], Palette] | None = None
        self._gutter = 0
        self._fresh = False
        self._strips: list[Strip] = []
        self._styled: _Base | None = None
        self._ticks: list[tuple[int, str]] = []
        self._axis_row = Strip.blank(0)
        self._palettes: tuple[object, Palette | None] = (None, None)
        self._rows: dict[int, tuple[tuple[object, ...], Strip]] = {}  # of what a row was made

    def show(self, curves: Sequence[Curve], marks: Sequence[Mark] = (), subtitle: str = "") -> None:
        """Take new data; repaints only if there is any.

        Call it as often as there may be news: it costs next to nothing when there is none.
        """
        if list(marks) != self._marks:
            self._marks = list(marks)
            kinds = {mark.kind for mark in marks}
            self._mark_places = {
                kind: np.array([m.x for m in marks if m.kind == kind], np.float64) for kind in kinds
            }
            self._mark_count += 1
        data = (tuple(c.key for c in curves), self._mark_count, subtitle)
        if data == self._data:
            return
        kept = {id(c.series): t for c, t in zip(self._curves, self._traces, strict=True)}
        self._data = data
        self._curves, self._subtitle = list(curves), subtitle
        # Not `or`: a trace that has let go of its arrays counts as empty.
        self._traces = [kept[i] if (i := id(c.series)) in kept else Trace() for c in curves]
        if self.follow and self.view is not None and (whole := self._whole()) is not None:
            self.view = at_tail(self.view, whole)
        self.refresh()

    # What is drawn

    def render_lines(self, crop: Region) -> list[Strip]:
        # Once for all lines: what it looks at costs more than a line does.
        base = self._base()
        size = self.outer_size if base.plain else self.size
        self._paint(size)
        if not base.plain:
            self._fresh = True
            try:
                return super().render_lines(crop)
            finally:
                self._fresh = False
        strips = self._strips[crop.y : crop.bottom]
        for line_filter in self._filters():
            background = self.background_colors[1]
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        missing = crop.height - len(strips)
        if missing > 0:
            strips += [Strip.blank(size.width, base.style)] * missing
        if crop.column_span != (0, size.width):
            strips = [strip.crop(crop.x, crop.right) for strip in strips]
        return strips

    def _filters(self) -> list[LineFilter]:
        """The app's filters, without those that would change none of our styles."""
        palette = self._palettes[1]
        full = palette is not None and palette.full_colour
        return [f for f in self.get_line_filters() if not (full and isinstance(f, ANSIToTruecolor))]

    def _is_plain(self) -> bool:
        """Whether no style asks for more than our own strips: border, padding, opacity and such."""
        styles = self.styles
        return (
            not any(styles.gutter)
            and not any(edge for edge, _ in styles.outline)
            and not styles.tint.a
            and not styles.has_rule("hatch")
            and self.opacity == 1.0
        )

    def render_line(self, y: int) -> Strip:
        if not self._fresh:
            self._paint(self.size)
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _base(self) -> _Base:
        """What the widget's own styles say, asked again where any may be another."""
        above = tuple(node.styles._cache_key for node in self.ancestors_with_self)
        if self._styled is None or self._styled.above != above:
            self._styled = _Base(above, self.rich_style, self._is_plain())
        return self._styled

    def _paint(self, size: Size) -> None:
        """Bring the strips up to date: the plot only if it changed, the crosshair over it."""
        width, height = size
        base = self._base().style
        key = (
            self._data,
            (width, height),
            self.app.theme,
            base,
            self.view,
            self.extent,
            self.log_y,
            self.smoothing,
            self.clip,
            self.glyphs,
            self.axis,
        )
        if self._drawn is not None and self._painted == (key, self.crosshair, self.current):
            return
        self._take()
        if self._drawn is None or not self._painted or self._painted[0] != key:
            self._draw(width, height, base)
        self._painted = (key, self.crosshair, self.current)
        self._strips = self._compose_strips(width, height)
        for trace in self._traces:
            trace.release()

    def _draw(self, width: int, height: int, base: Style) -> None:
        lines: list[Line] = []
        looks: list[tuple[str, bool]] = []
        for curve, trace in zip(self._curves, self._traces, strict=True):
            smoothed = bool(self.smoothing) and curve.smoothed
            if smoothed:
                lines.append(Line(trace, faint=True))
                looks.append((curve.colour, True))
            lines.append(
                Line(trace, smoothed, dashed=curve.dashed, marker=self._marker(curve.marker))
            )
            looks.append((curve.colour, False))
        _, rows, _, _ = self._heights(height)
        view = self.view or self.extent
        # The gutter is as wide as its words, which are known once it is drawn; it seldom changes.
        for _ in range(3):
            drawn = self._plot(lines, width - self._gutter, rows, view)
            wanted = min(9, max((len(words) for _, words in drawn.y_ticks), default=0)) + 1
            wanted = wanted if width >= 12 + wanted else 0
            if wanted == self._gutter:
                break
            self._gutter = wanted
        palette = self._palette(looks, base)
        self._drawn = (drawn, drawn.runs(), palette)
        self._ticks = drawn.x_ticks(UNITS[self.axis])
        self._axis_row = chart_paint.axis_row(
            drawn, self._mark_places, self._gutter, GLYPHS[self.glyphs], palette
        )

    def _plot(self, lines: Sequence[Line], width: int, rows: int, view: View) -> Plot:
        return plot(
            lines, width, rows, log_y=self.log_y, view=view, clip=self.clip, glyphs=self.glyphs
        )

    def _take(self) -> None:
        """Let the traces see their series as they are now."""
        for curve, trace in zip(self._curves, self._traces, strict=True):
            # Asked first: a series cut just after is then read anew the next time.
            generation = curve.series.generation
            x, y = curve.arrays()
            weight = self.smoothing if curve.smoothed else 0.0
            trace.update(x, y, generation, self.axis, weight)

    def _heights(self, height: int) -> tuple[bool, int, bool, bool]:
        """Whether there is a title, how many rows the curves get, whether axis and labels."""
        title, labelled, axis = height >= 3, height >= 5, height >= 6
        return title, max(0, height - title - labelled - axis), axis, labelled

    def _compose_strips(self, width: int, height: int) -> list[Strip]:
        assert self._drawn is not None
        drawn, runs, palette = self._drawn
        look, gutter = GLYPHS[self.glyphs], self._gutter
        title, rows, axis, labelled = self._heights(height)
        cross = drawn.column(self.crosshair) if self.crosshair is not None else None
        strips = [self._title(width, drawn, palette, look)] if title else []
        empty = not any(self._lengths())
        for row in range(rows):
            if empty and row == rows // 2:
                words = "waiting for the first values"[: width - gutter]
                side = Segment(look.side.rjust(gutter), palette.muted)
                text = Segment(words.center(width - gutter), palette.muted)
                strips.append(Strip([side, text] if gutter else [text], width))
            else:
                strips.append(self._curve_row(drawn, runs[row], row, look, palette, cross))
        if axis:
            strips.append(self._axis_row)
        if labelled:
            pointed = None
            if cross is not None and self.crosshair is not None:
                pointed = (cross, x_words(self.crosshair, self.axis))
            label = chart_paint.label_row(drawn, self._ticks, self.axis, gutter, palette, pointed)
            strips.append(label)
        return [strip.adjust_cell_length(width, palette.muted) for strip in strips]

    def _curve_row(
        self,
        drawn: Plot,
        runs: list[tuple[str, int]],
        row: int,
        look: Glyphs,
        palette: Palette,
        cross: int | None,
    ) -> Strip:
        """A row of the plot; the strip that it had where nothing of it differs."""
        tick = next((words for at, words in drawn.y_ticks if at == row), "")
        made_of = (runs, tick, self._gutter, look, id(palette), cross)
        known = self._rows.get(row)
        if known is not None and known[0] == made_of:
            return known[1]
        strip = chart_paint.curve_row(runs, tick, self._gutter, look, palette, cross)
        self._rows[row] = (made_of, strip)
        return strip

    def _title(self, width: int, drawn: Plot, palette: Palette, look: Glyphs) -> Strip:
        notes = [
            (f"{sign} {words} {reading(value)}", palette.notice)
            for sign, words, value in (
                (look.above, "max", drawn.above),
                (look.below, "min", drawn.below),
            )
            if value is not None
        ]
        if self.log_y:
            notes.append(("log", palette.muted))
        if self._subtitle:
            notes.append((inert(self._subtitle, one_line=True), palette.muted))
        rule = look.line if self.current and self.glyphs != "ascii" else look.axis
        rule = "=" if self.current and self.glyphs == "ascii" else rule
        values = chart_paint.value_texts(self._told(palette), look, palette)
        return chart_paint.title_row(
            width, inert(self.title, one_line=True), values, notes, rule, palette, self.current
        )

    def _readings(self) -> list[tuple[float, float | None] | None]:
        """Per curve its value, and the smoothed one where it is smoothed."""
        readings: list[tuple[float, float | None] | None] = []
        for curve, trace in zip(self._curves, self._traces, strict=True):
            at = self.crosshair
            point = trace.last() if at is None else trace.nearest(at)
            smoothed = None
            if point is not None and self.smoothing and curve.smoothed:
                near = trace.nearest(point[0], smoothed=True)
                smoothed = near[1] if near is not None else None
            readings.append((point[1], smoothed) if point is not None else None)
        return readings

    def _told(self, palette: Palette) -> list[chart_paint.Told]:
        """What the title says of each curve; the one that lies on top comes first."""
        styles = [s for s, faint in zip(palette.lines, self._faint(), strict=True) if not faint]
        told = [
            chart_paint.Told(
                inert(curve.name, one_line=True),
                self._marker(curve.marker),
                curve.dashed,
                style,
                *read,
            )
            for curve, read, style in zip(self._curves, self._readings(), styles, strict=True)
            if read is not None
        ]
        return told[::-1]

    def _faint(self) -> list[bool]:
        return [
            faint
            for curve in self._curves
            for faint in ((True, False) if self.smoothing and curve.smoothed else (False,))
        ]

    def _lengths(self) -> list[int]:
        return [len(curve.series) for curve in self._curves]

    def _marker(self, marker: str) -> str:
        """A curve's own marker, in ASCII where the terminal has nothing else."""
        if marker and self.glyphs == "ascii" and not marker.isascii():
            return GLYPHS["ascii"].marker
        return marker

    def _palette(self, looks: Sequence[tuple[str, bool]], base: Style) -> Palette:
        """The styles of curves of these (colour, faint), and of all around them."""
        made_of = (tuple(looks), base, self.app.theme)
        if self._palettes[1] is not None and self._palettes[0] == made_of:
            return self._palettes[1]
        strong = Style(bold=True)
        palette = Palette(
            lines=[base + self._style(colour, faint) for colour, faint in looks],
            muted=base + self._style("foreground", faint=True),
            text=base + self._style("foreground"),
            title=base + self._style("foreground") + strong,
            current=base + self._style("primary") + strong,
            wrong=base + self._style("error") + strong,
            notice=base + self._style("warning") + strong,
            cross=base + self._style("accent"),
        )
        self._palettes, self._rows = (made_of, palette), {}
        return palette

    def _style(self, colour: str, faint: bool = False) -> Style:
        value = Color.parse(self.app.theme_variables.get(colour, "#ffffff"))
        back = Color.parse(self.app.theme_variables.get("background", "#000000"))
        if value.ansi is not None or back.ansi is not None:
            return Style(color=value.rich_color, dim=faint)
        return Style(color=(back.blend(value, 0.45) if faint else value).rich_color)

    def watch_crosshair(self) -> None:
        """Repaint; the plot below the crosshair is not drawn again."""
        self.refresh()

    def _whole(self) -> tuple[float, float] | None:
        """The extent that zoom and pan move in."""
        if self.extent is not None:
            return self.extent
        return curves_extent(self._curves)
