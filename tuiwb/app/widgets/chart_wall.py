"""All metrics of a run as a wall of charts that share zoom and crosshair.

In: a RunSeries, and others to lay over it. Out: nothing; what the user arranges is kept in a file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from tuiwb.app.widgets.chart import VIEW_KEYS, Chart
from tuiwb.app.widgets.chart_feed import LETTERS, Overlay, curves_of, extent_of, marks_of, tells
from tuiwb.app.widgets.chart_menu import ChartMenu
from tuiwb.monitor.glyphs import GLYPHS
from tuiwb.monitor.layout import Layout, read_layout, write_layout
from tuiwb.monitor.metric_names import ChartOf, charts_of
from tuiwb.monitor.series import Axis, RunSeries
from tuiwb.monitor.view import View, at_tail, pan, zoom
from tuiwb.monitor.wall import Grid, grid
from tuiwb.text import inert

__all__ = ["ChartWall", "Overlay"]

SMOOTHING = (0.0, 0.6, 0.9, 0.99)
AXES: tuple[Axis, ...] = ("step", "tokens", "epoch", "time")


class ChartWall(Vertical, can_focus=True, inherit_bindings=False):
    """`show()` gives it a run; every metric of it gets a chart. The whole wall takes the focus:
    the keys go to the current chart, whose title stands on a heavy line."""

    DEFAULT_CSS = """
    ChartWall {
        & > VerticalScroll {
            layout: grid; grid-gutter: 0 1; height: 1fr; scrollbar-size-vertical: 1;
        }
        & > Static {
            height: 1; color: $foreground 60%; text-wrap: nowrap; text-overflow: ellipsis;
        }
        & > Input { display: none; }
        &.-filtering > Input { display: block; }
        & Chart { height: 100%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *VIEW_KEYS,
        Binding("enter", "enlarge", "Enlarge"),
        Binding("w", "choose", "Charts"),
        Binding("slash", "filter", "Filter", key_display="/", show=False),
        Binding("y", "log_y", "Log Y", show=False),
        Binding("m", "smooth", "Smooth", show=False),
        Binding("x", "axis", "X axis", show=False),
        Binding("o", "clip", "Outliers", show=False),
        Binding("j", "move(1)", "Next chart", show=False),
        Binding("k", "move(-1)", "Previous chart", show=False),
        Binding("down", "move_row(1)", "Chart below", show=False),
        Binding("up", "move_row(-1)", "Chart above", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("greater_than_sign", "shift(1)", "Chart later", key_display=">", show=False),
        Binding("less_than_sign", "shift(-1)", "Chart earlier", key_display="<", show=False),
        Binding("asterisk", "pin", "Pin", key_display="*", show=False),
        Binding("backspace", "hide", "Hide", show=False),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, layout_file: Path | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.layout_file = layout_file
        self.arranged = read_layout(layout_file)
        self.view: View = None
        self.crosshair: float | None = None
        self.follow = True
        self.enlarged = False
        self.words = ""
        self._run_name = ""
        self._series = RunSeries()
        self._overlays: tuple[Overlay, ...] = ()
        self._seen: tuple[object, ...] = ()
        self._charts: dict[str, ChartOf] = {}
        self._widgets: dict[str, Chart] = {}
        self._current = ""
        self._extent: tuple[float, float] | None = None
        self._grid = Grid(1, (), False)
        self._line = Content("")

    def compose(self) -> ComposeResult:
        field = Input(placeholder="words or a pattern", compact=True)
        field.cursor_blink = False
        yield field
        yield VerticalScroll(can_focus=False)
        yield Static(markup=False)

    @property
    def current(self) -> str:
        """The key of the chart that the keys go to."""
        return self._current

    @property
    def shown(self) -> list[str]:
        """Keys of the charts on the wall, in order, before one is enlarged."""
        keys = self.arranged.arrange(self._charts)
        return [
            key
            for key in keys
            if key not in self.arranged.hidden and self._charts[key].matches(self.words)
        ]

    def chart(self, key: str) -> Chart:
        """The chart of a metric."""
        return self._widgets[key]

    def show(
        self, name: str, series: RunSeries, overlays: Sequence[Overlay] = (), live: bool = False
    ) -> None:
        """Show run `name`; call it as often as there may be news, it paints only what changed.

        `live` says that the run goes on: a view that ends at the newest point then follows it.
        """
        seen = (
            name,
            id(series),
            series.version,
            tuple((o.name, id(o.series), o.series.version) for o in overlays),
        )
        if seen == self._seen or not self.is_mounted:
            return
        if name != self._run_name:
            self.view, self.crosshair, self.follow = None, None, True
        self._seen, self._run_name, self._series = seen, name, series
        self._overlays = tuple(overlays)
        names = [n for s in (series, *(o.series for o in overlays)) for n in s.names()]
        charts = {chart.key: chart for chart in charts_of(dict.fromkeys(names))}
        if charts != self._charts:
            self._charts = charts
            self._make_widgets()
            self._arrange()
        self._feed()

    # Which charts stand where

    def _make_widgets(self) -> None:
        """One widget per chart; those that stay keep what they hold."""
        for key in [key for key in self._widgets if key not in self._charts]:
            self._widgets.pop(key).remove()
        new = []
        for key, chart in self._charts.items():
            if key not in self._widgets:
                widget = self._widgets[key] = Chart(chart.title)
                widget.can_focus = False
                new.append(widget)
            self._widgets[key].title = chart.title
        if new:
            self.query_one(VerticalScroll).mount(*new)

    def _arrange(self) -> None:
        """Put the charts in order, as many in a row as fit."""
        area = self.query_one(VerticalScroll)
        shown = self.shown
        if self._current not in shown:
            self._current = shown[0] if shown else ""
            self.enlarged = self.enlarged and bool(shown)
        visible = [self._current] if self.enlarged else shown
        place = {key: n for n, key in enumerate(self.arranged.arrange(self._charts))}
        order = {id(widget): place[key] for key, widget in self._widgets.items()}
        width, height = area.size.width, max(1, area.size.height)
        # The scroll bar may come or go with the new layout.
        width = area.container_size.width or width
        fits = grid(len(visible), width, height, self.arranged.big_first)
        if sum(fits.heights) > height:
            fits = grid(len(visible), width - 1, height, self.arranged.big_first)
        with self.app.batch_update():
            area.sort_children(key=lambda widget: order.get(id(widget), -1))
            for key, widget in self._widgets.items():
                widget.display = key in visible
                big = fits.big_first and bool(visible) and key == visible[0]
                widget.styles.column_span = fits.columns if big else 1
                widget.current = key == self._current
            if fits != self._grid or not area.styles.has_rule("grid_rows"):
                area.styles.grid_size_columns = fits.columns
                area.styles.grid_rows = " ".join(str(h) for h in fits.heights) or "1"
                area.refresh(layout=True)
        self._grid = fits
        self._tell()
        self.call_after_refresh(self._scroll_to_current)

    def _scroll_to_current(self) -> None:
        if self._current in self._widgets and self._widgets[self._current].display:
            self._widgets[self._current].scroll_visible(animate=False)

    @on(events.Resize)
    def _resized(self) -> None:
        self.call_after_refresh(self._arrange)

    def _change(self, layout: Layout) -> None:
        """Take a new layout, keep it, and show it."""
        if layout != self.arranged:
            self.arranged = layout
            write_layout(self.layout_file, layout)
            self._arrange()
            self._feed()

    # What the charts hold

    def _feed(self) -> None:
        """Give the charts that are shown their curves and what they share."""
        axis = self.arranged.axis
        runs = [self._series, *(overlay.series for overlay in self._overlays)]
        self._extent = extent_of(runs, axis)
        if self.follow and self.view is not None and self._extent is not None:
            self.view = at_tail(self.view, self._extent)
        marks = marks_of(self._series, axis)
        for key, widget in self._widgets.items():
            if not widget.display:
                continue
            widget.axis = axis
            widget.smoothing = self.arranged.smoothing
            widget.log_y = key in self.arranged.log_y
            widget.clip = self.arranged.clip
            widget.extent, widget.view = self._extent, self.view
            widget.crosshair = self.crosshair
            curves = curves_of(
                self._charts[key], self._run_name, self._series, self._overlays, axis
            )
            widget.show(curves, marks)
        self._tell()

    def _tell(self) -> None:
        """The line below: what the signs mean, and how the charts are drawn."""
        look = GLYPHS[next(iter(self._widgets.values())).glyphs] if self._widgets else None
        parts = [f"x: {self.arranged.axis}"]
        shown, total = len(self.shown), len(self._charts)
        if self.words:
            parts.append(f"/{inert(self.words, one_line=True)}: {shown} of {total} charts")
        elif shown != total:
            parts.append(f"{shown} of {total} charts")
        if self.arranged.smoothing:
            parts.append(f"smooth {self.arranged.smoothing:g}")
        if self.view is not None:
            parts.append("zoomed, 0 shows all")
        parts += [
            f"{LETTERS[n % len(LETTERS)]} {inert(overlay.name, one_line=True)}"
            for n, overlay in enumerate(self._overlays)
        ]
        if look is not None:
            signs = []
            if self._series.checkpoints:
                signs.append(f"{look.checkpoint} checkpoint")
            if self._series.evaluations:
                signs.append(f"{look.evaluation} evaluation")
            if self._series.alerts:
                signs.append(f"{look.alert} alert")
            signs.append(f"{look.nan} NaN")
            parts.append("  ".join(signs))
        line = Content("  ·  ".join(parts))
        if line != self._line:
            self._line = line
            self.query_one(Static).update(line, layout=False)

    # Zoom and crosshair, shared by all charts

    @on(Chart.Zoomed)
    def _zoomed(self, event: Chart.Zoomed) -> None:
        event.stop()
        self._look_at(event.view)

    @on(Chart.Pointed)
    def _pointed(self, event: Chart.Pointed) -> None:
        event.stop()
        self.crosshair = event.x
        for key, widget in self._widgets.items():
            if widget is event.chart:
                self._go_to(key)
            if widget.display:
                widget.crosshair = event.x

    def _look_at(self, view: View) -> None:
        """Show a part of the run in all charts; one that ends at the newest point follows it."""
        self.view = view
        self.follow = view is None or self._extent is None or view[1] >= self._extent[1]
        for widget in self._widgets.values():
            if widget.display:
                widget.view = view
        self._tell()

    def action_zoom(self, factor: float) -> None:
        """Show `factor` times less, around the crosshair or the middle."""
        if self._extent is not None:
            self._look_at(zoom(self.view, self._extent, factor, self.crosshair))

    def action_pan(self, share: float) -> None:
        """Move the view by a share of its width."""
        if self._extent is not None:
            self._look_at(pan(self.view, self._extent, share))

    def action_whole(self) -> None:
        """Show all there is."""
        self._look_at(None)

    def action_tail(self) -> None:
        """Go to the newest point and stay there as more come."""
        if self._extent is not None:
            self._look_at(at_tail(self.view, self._extent))

    def action_point(self, columns: int) -> None:
        """Move the crosshair of all charts, by columns of the current one."""
        if self._current:
            self._widgets[self._current].action_point(columns)

    def action_back(self) -> None:
        """One step back: the crosshair goes, then the enlarged chart, then the filter."""
        if self.crosshair is not None:
            self.crosshair = None
            for widget in self._widgets.values():
                widget.crosshair = None
        elif self.enlarged:
            self.action_enlarge()
        else:
            self._filter("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the screen's own once there is nothing to take back here."""
        if action == "back":
            return self.crosshair is not None or self.enlarged or bool(self.words)
        return action != "unpoint"

    # How the charts are drawn

    def action_log_y(self) -> None:
        """Logarithmic Y for the current chart, or linear again."""
        if self._current:
            self._change(self.arranged.changed(log_y=self.arranged.log_y ^ {self._current}))

    def action_smooth(self) -> None:
        """Stronger smoothing of all training curves, then none."""
        weaker = [w for w in SMOOTHING if w <= self.arranged.smoothing]
        self._change(self.arranged.changed(smoothing=SMOOTHING[len(weaker) % len(SMOOTHING)]))

    def action_axis(self) -> None:
        """X by step, tokens, epoch or time; those the run doesn't tell are left out."""
        known = [axis for axis in AXES if axis == "step" or tells(self._series, axis)]
        at = known.index(self.arranged.axis) if self.arranged.axis in known else -1
        # What was zoomed to and pointed at are numbers of the other axis.
        self.view, self.crosshair, self.follow = None, None, True
        self._change(self.arranged.changed(axis=known[(at + 1) % len(known)]))

    def action_clip(self) -> None:
        """Leave a few outliers out of the scale, or show them all."""
        self._change(self.arranged.changed(clip=not self.arranged.clip))

    # Which chart

    def _go_to(self, key: str) -> None:
        """Make a chart the current one."""
        if key == self._current or key not in self._widgets:
            return
        if self._current in self._widgets:
            self._widgets[self._current].current = False
        self._current = key
        self._widgets[key].current = True
        if self.enlarged:
            self._arrange()
            self._feed()
        else:
            self._scroll_to_current()

    def action_move(self, by: int) -> None:
        """The next chart, or the one before."""
        shown = self.shown
        if self._current in shown:
            at = shown.index(self._current)
            self._go_to(shown[max(0, min(len(shown) - 1, at + by))])

    def action_move_row(self, by: int) -> None:
        """The chart below or above."""
        shown = self.shown
        if self.enlarged or self._current not in shown:
            self.action_move(by)
            return
        at, columns = shown.index(self._current), self._grid.columns
        if self._grid.big_first:
            # The first row is one chart; the others' places count from the second.
            step = 1 if at == 0 else (by * columns if at > columns or by > 0 else -at)
            target = at + (step if at or by > 0 else 0)
        else:
            target = at + by * columns
        if 0 <= target < len(shown):
            self._go_to(shown[target])
        elif by > 0 and target - columns < len(shown) - 1:
            self._go_to(shown[-1])

    def action_page(self, by: int) -> None:
        """Scroll by a page, the current chart along."""
        rows = max(1, len([h for h in self._grid.heights if h]) and self._rows_in_view())
        for _ in range(rows):
            self.action_move_row(by)

    def _rows_in_view(self) -> int:
        total, rows = 0, 0
        for height in self._grid.heights:
            total += height
            if total > self.query_one(VerticalScroll).size.height:
                break
            rows += 1
        return max(1, rows)

    def action_enlarge(self) -> None:
        """The current chart alone on the whole wall, or all of them again."""
        if self._current:
            self.enlarged = not self.enlarged
            self._arrange()
            self._feed()

    def action_shift(self, by: int) -> None:
        """Move the current chart on the wall."""
        if self._current:
            self._change(self.arranged.moved(self._current, by, self._charts))

    def action_pin(self) -> None:
        """Put the current chart before all that are not pinned, or back."""
        if self._current:
            self._change(self.arranged.toggled_pin(self._current))

    def action_hide(self) -> None:
        """Hide the current chart; the list of charts brings it back."""
        shown = self.shown
        if self._current in shown:
            at = shown.index(self._current)
            hidden = self._current
            rest = [key for key in shown if key != hidden]
            if rest:
                self._go_to(rest[min(at, len(rest) - 1)])
            self._change(self.arranged.toggled_hidden(hidden))

    def action_choose(self) -> None:
        """Choose which charts are shown, and in which order."""

        def chosen(layout: Layout | None) -> None:
            if layout is not None:
                self._change(layout)

        self.app.push_screen(ChartMenu(list(self._charts.values()), self.arranged), chosen)

    # The filter

    def action_filter(self) -> None:
        """Show only charts whose name has words in it, or a pattern."""
        self.add_class("-filtering")
        field = self.query_one(Input)
        field.value = self.words
        field.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-filtering"):
            self._filter(event.value)

    @on(Input.Submitted)
    def _typed_all(self, event: Input.Submitted) -> None:
        event.stop()
        self._end_filter()

    def on_key(self, event: events.Key) -> None:
        """Escape in the filter's field gives it up."""
        if event.key == "escape" and self.has_class("-filtering"):
            event.stop()
            event.prevent_default()
            self._filter("")
            self._end_filter()

    def _end_filter(self) -> None:
        self.remove_class("-filtering")
        self.focus()

    def _filter(self, words: str) -> None:
        if words != self.words:
            self.words = words
            self._arrange()
            self._feed()
