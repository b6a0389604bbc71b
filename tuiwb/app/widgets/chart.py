"""A chart of one or a few series: axes, ticks, the curve in braille; paints only on new data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tuiwb.monitor.chart import NOTHING, Line, Plot, plot, smooth
from tuiwb.monitor.series import Series


@dataclass(frozen=True)
class Curve:
    """A named series, its x values (None: the series' own steps) and how it looks.

    `colour` is a theme colour; `marker` a character on its points, for series of few points;
    `dashed` tells it from others where there is no colour; `smoothed` False leaves it raw.
    """

    name: str
    series: Series
    colour: str = "primary"
    marker: str = ""
    x: NDArray[np.float64] | None = None
    dashed: bool = False
    smoothed: bool = True


@dataclass(frozen=True)
class Mark:
    """A moment worth a sign on the x axis, in the unit of the curves' x."""

    x: float
    kind: Literal["checkpoint", "evaluation", "alert"]


Axis = Literal["step", "tokens", "epoch", "time"]


class Chart(Widget):
    """`show()` gives it curves; `log_y` and `smoothing` are set by the screen for all charts."""

    DEFAULT_CSS = "Chart { height: 1fr; width: 1fr; }"

    class Zoomed(Message):
        """The user changed the view: x from `low` to `high`; both None when all is shown again."""

        def __init__(self, chart: "Chart", low: float | None, high: float | None) -> None:
            super().__init__()
            self.chart = chart
            self.low = low
            self.high = high

    class Pointed(Message):
        """The user set the crosshair to x, or took it away (None)."""

        def __init__(self, chart: "Chart", x: float | None) -> None:
            super().__init__()
            self.chart = chart
            self.x = x

    def __init__(
        self,
        title: str,
        *,
        id: str | None = None,
        classes: str = "panel",
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border_title = title
        self._curves: list[Curve] = []
        self._marks: list[float] = []
        self._seen: tuple[object, ...] = ()
        self._drawn: tuple[tuple[object, ...], list[Strip]] = ((), [])
        self.log_y = False
        self.smoothing = 0.0
        self.view: tuple[float, float] | None = None
        self.follow = False
        self.crosshair: float | None = None
        self.glyphs: Literal["braille", "blocks", "ascii"] = "braille"
        self.axis: Axis = "step"

    def show(
        self, curves: Sequence[Curve], marks: Sequence[Mark | int] = (), subtitle: str = ""
    ) -> None:
        """Take new data; repaints only if there is any. A mark that is a number is a checkpoint."""
        seen = (
            tuple((c.name, id(c.series), len(c.series)) for c in curves),
            len(marks),
            self.log_y,
            self.smoothing,
            self.view,
            subtitle,
        )
        if seen == self._seen:
            return
        self._seen, self._curves = seen, list(curves)
        self._marks = [m.x if isinstance(m, Mark) else m for m in marks]
        if self.border_subtitle != subtitle:
            self.border_subtitle = subtitle
        self.refresh()

    def render_line(self, y: int) -> Strip:
        key = (self._seen, self.content_size, self.app.theme)
        if self._drawn[0] != key:
            strips = self._draw(self.content_size.width, self.content_size.height)
            self._drawn = (key, [strip.apply_style(self.rich_style) for strip in strips])
        strips = self._drawn[1]
        if y < len(strips):
            return strips[y]
        return Strip.blank(self.content_size.width, self.rich_style)

    def _style(self, colour: str, faint: bool = False) -> Style:
        value = Color.parse(self.app.theme_variables.get(colour, "#ffffff"))
        back = Color.parse(self.app.theme_variables.get("background", "#000000"))
        if value.ansi is not None or back.ansi is not None:
            return Style(color=value.rich_color, dim=faint)
        return Style(color=(back.blend(value, 0.4) if faint else value).rich_color)

    def _draw(self, width: int, height: int) -> list[Strip]:
        curves = [c for c in self._curves if len(c.series)]
        muted = self._style("foreground", faint=True)
        if not curves or width < 2 or height < 1:
            words = "waiting for the first values"[: max(width, 0)]
            blank = [Strip.blank(width) for _ in range(height)]
            if height and width:
                text = words.center(width)
                blank[height // 2] = Strip([Segment(text, muted)], width)
            return blank
        lines, styles = self._lines(curves)
        axis = height >= 4
        rows = height - 1 if axis else height
        drawn = plot(lines, width, rows, log_y=self.log_y, x_range=self.view)
        gutter = max((len(text) for _, text in drawn.y_ticks), default=0) + 1
        gutter = gutter if width >= 30 + gutter or width > 4 * gutter else 0
        drawn = plot(lines, width - gutter, rows, log_y=self.log_y, x_range=self.view)
        strips = [self._row(drawn, row, gutter, styles, muted) for row in range(rows)]
        if axis:
            strips.append(self._x_axis(drawn, gutter, width, muted))
        return strips

    def _lines(self, curves: list[Curve]) -> tuple[list[Line], list[Style]]:
        lines: list[Line] = []
        styles: list[Style] = []
        for curve in curves:
            x = np.array(curve.series.steps if curve.x is None else curve.x, np.float64)
            y = np.array(curve.series.values, np.float64)[: len(x)]
            if self.smoothing and not curve.marker:
                lines.append(Line(x, y, faint=True))
                styles.append(self._style(curve.colour, faint=True))
                y = smooth(y, self.smoothing)
            lines.append(Line(x, y, marker=curve.marker))
            styles.append(self._style(curve.colour))
        return lines, styles

    def _row(self, drawn: Plot, row: int, gutter: int, styles: list[Style], muted: Style) -> Strip:
        segments: list[Segment] = []
        if gutter:
            text = next((words for at, words in drawn.y_ticks if at == row), "")
            segments.append(Segment(f"{text:>{gutter - 1}}" + ("┤" if text else "│"), muted))
        last = row == len(drawn.cells) - 1
        gaps = {column for column, _ in drawn.bad} if last else set()
        error = self._style("error")
        run, run_style = "", muted
        for column, (char, owner) in enumerate(drawn.cells[row]):
            style = styles[owner] if owner != NOTHING else muted
            if column in gaps:
                char, style = "×", error
            if style is not run_style and run:
                segments.append(Segment(run, run_style))
                run = ""
            run, run_style = run + char, style
        if run:
            segments.append(Segment(run, run_style))
        return Strip(segments)

    def _x_axis(self, drawn: Plot, gutter: int, width: int, muted: Style) -> Strip:
        cells = [" "] * width
        free = gutter
        for column, words in drawn.x_ticks:
            start = max(free, min(gutter + column - len(words) // 2, width - len(words)))
            if start + len(words) <= width:
                cells[start : start + len(words)] = words
                free = start + len(words) + 2
        low, high = drawn.x_range
        for step in self._marks:
            if low <= step <= high and high > low:
                column = gutter + round((step - low) / (high - low) * (width - gutter - 1))
                if cells[column] == " ":
                    cells[column] = "▲"
        return Strip([Segment("".join(cells), muted)], width)
