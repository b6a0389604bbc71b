"""The charts of a run on a board: one per metric, laid out in rows, fed, with a line on the signs.

In: a RunSeries, others to lay over it, and the layout the user made. Out: nothing; the layout is
kept in a file.
"""

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from tuiwb.app.pace import calm_in
from tuiwb.app.widgets.chart import Chart
from tuiwb.app.widgets.chart_feed import Overlay, curves_of, extent_of, marks_of
from tuiwb.app.widgets.chart_paint import Mark
from tuiwb.app.widgets.chart_signs import NotNumbers, signs
from tuiwb.app.widgets.still import StillVertical
from tuiwb.monitor.glyphs import GLYPHS
from tuiwb.monitor.layout import Layout, read_layout, write_layout
from tuiwb.monitor.metric_names import OF_A_RUN, ChartOf, charts_of, is_exact
from tuiwb.monitor.series import Axis, RunSeries
from tuiwb.monitor.view import View, at_tail
from tuiwb.monitor.wall import Grid, grid


class ChartBoard(StillVertical):
    """`show()` gives it a run; every metric of it gets a chart. All share view and crosshair."""

    DEFAULT_CSS = """
    ChartBoard {
        & > VerticalScroll {
            layout: grid; grid-gutter: 0 1; height: 1fr; scrollbar-size-vertical: 1;
        }
        & > Static {
            height: 1; padding: 0 1; color: $foreground 60%;
            text-wrap: nowrap; text-overflow: ellipsis;
        }
        & > #nothing { height: 1fr; content-align: center middle; display: none; }
        &.-empty > #nothing { display: block; }
        &.-empty > VerticalScroll, &.-empty > #signs { display: none; }
        & > Input { display: none; }
        &.-filtering > Input { display: block; }
        & Chart { height: 100%; }
    }
    """

    def __init__(self, layout_file: Path | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.layout_file = layout_file
        self.arranged = self._kept = read_layout(layout_file)
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
        self._marks: tuple[tuple[object, ...], list[Mark]] = ((), [])
        self._line = Content("")
        self._nan = NotNumbers()
        self._turn = 0
        self.settled = True  # every chart has what the wall was given
        self._keeping = threading.Lock()

    def compose(self) -> ComposeResult:
        field = Input(placeholder="words or a pattern", compact=True)
        field.cursor_blink = False
        yield field
        yield VerticalScroll(can_focus=False)
        yield Static(id="nothing", markup=False)
        yield Static(id="signs", markup=False)

    def watch_has_focus(self, _has_focus: bool) -> None:
        """No style of the board or of its charts looks at who has the focus."""

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
            live,
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
        begins = self.has_class("-empty")
        self._say_nothing(live)
        charts = self._courses()
        if begins and charts:
            self.call_after_refresh(self._arrange)  # only then has the area a size
        if charts != self._charts:
            self._charts = charts
            self._make_widgets()
            self._arrange()
        self._feed(news=True)

    def _courses(self) -> dict[str, ChartOf]:
        """The charts there are to see by their keys; a figure of a whole run is no curve and has
        none, unless there is nothing else."""
        runs = [self._series, *(overlay.series for overlay in self._overlays)]
        known = [(run, name) for run in runs for name in run.names()]
        charts = {chart.key: chart for chart in charts_of(dict.fromkeys(n for _, n in known))}
        more = {name for run, name in known if len(run.get(name)) > 1}
        curves = {
            key: chart
            for key, chart in charts.items()
            if key not in OF_A_RUN or not more.isdisjoint(chart.names)
        }
        return curves or charts

    def _say_nothing(self, live: bool) -> None:
        """What stands there while there is no chart."""
        empty = not any(s.names() for s in (self._series, *(o.series for o in self._overlays)))
        if empty:
            words = "the curves begin with the first values it logs"
            self.query_one("#nothing", Static).update(words if live else "it logged no values")
        self.set_class(empty, "-empty")

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

    def foresee(self, height: int) -> None:
        """Put the charts in order for another height, which the board gets with the next layout."""
        if self._charts and self.display:
            above_and_below = 2 if self.has_class("-filtering") else 1
            self._arrange(max(1, height - above_and_below))

    def _arrange(self, height: int | None = None) -> None:
        """Put the charts in order, as many in a row as fit; the area is about to be `height`."""
        area = self.query_one(VerticalScroll)
        shown = self.shown
        if self._current not in shown:
            self._current = shown[0] if shown else ""
            self.enlarged = self.enlarged and bool(shown)
        visible = [self._current] if self.enlarged else shown
        place = {key: n for n, key in enumerate(self.arranged.arrange(self._charts))}
        ordered = sorted(self._widgets.items(), key=lambda entry: place[entry[0]])
        width, height = area.size.width, height or max(1, area.size.height)
        # The scroll bar may come or go with the new layout.
        width = area.container_size.width or width
        fits = grid(len(visible), width, height, self.arranged.big_first)
        if sum(fits.heights) > height:
            fits = grid(len(visible), width - 1, height, self.arranged.big_first)
        with self.app.batch_update():
            # Each of these lays out anew, whether it changes anything or not.
            if [w for w in area.children if isinstance(w, Chart)] != [w for _, w in ordered]:
                order = {id(widget): n for n, (_, widget) in enumerate(ordered)}
                area.sort_children(key=lambda widget: order.get(id(widget), -1))
            for key, widget in self._widgets.items():
                if widget.display != (key in visible):
                    widget.display = key in visible
                big = fits.big_first and bool(visible) and key == visible[0]
                span = fits.columns if big else 1
                if widget.styles.column_span != span:
                    widget.styles.column_span = span
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
            drawn = self.arranged.changed(
                log_y=layout.log_y,
                smoothing=layout.smoothing,
                axis=layout.axis,
                clip=layout.clip,
            )
            self.arranged = layout
            if drawn != layout:
                self._arrange()
            self._feed()
            # Once that is painted: a thread would take the interpreter from it.
            self.call_after_refresh(self._keep_layout)

    @work(thread=True, exit_on_error=False, group="layout")
    def _keep_layout(self) -> None:
        """Write what is arranged now; a disk may take its time."""
        self._write_layout()

    def on_unmount(self) -> None:
        """Keep what was arranged last: after that key nothing may have been painted any more."""
        self._write_layout()

    def _write_layout(self) -> None:
        with self._keeping:
            if self._kept is not (arranged := self.arranged):
                write_layout(self.layout_file, arranged)
                self._kept = arranged

    # What the charts hold

    def _feed(self, *, news: bool = False) -> None:
        """Give the charts that are shown their curves and what they share; mere `news` gives way
        to keys."""
        axis = self.arranged.axis
        runs = [self._series, *(overlay.series for overlay in self._overlays)]
        self._extent = extent_of(runs, axis)
        if self.follow and self.view is not None and self._extent is not None:
            self.view = at_tail(self.view, self._extent)
        shown = [key for key, widget in self._widgets.items() if widget.display]
        shown.sort(key=lambda key: key != self._current)
        self._turn += 1
        self.settled = not shown
        if news:
            due = time.monotonic()
            self.call_after_refresh(self._feed_in_turn, shown, self._turn, due)
        else:
            self._feed_in_turn(shown, self._turn)
        self._tell()

    def _feed_in_turn(self, keys: list[str], turn: int, due: float | None = None) -> None:
        """The current chart first, each other once that is painted: a key waits for one at most,
        and news that has been `due` since then (monotonic clock) waits for keys."""
        if turn != self._turn:
            return
        if due is not None and (wait := calm_in(self.app, due)) > 0:
            self.set_timer(wait, partial(self._feed_in_turn, keys, turn, due))
            return
        self.settled = len(keys) < 2
        if not keys:
            return
        key, rest = keys[0], keys[1:]
        if key in self._widgets:
            self._feed_one(key, self._widgets[key])
        if rest:
            self.call_after_refresh(self._feed_in_turn, rest, turn, due)

    def _feed_one(self, key: str, widget: Chart) -> None:
        axis = self.arranged.axis
        widget.axis = axis
        widget.smoothing = self.arranged.smoothing
        widget.log_y = key in self.arranged.log_y
        widget.clip = self.arranged.clip and not is_exact(self._charts[key].key)
        widget.extent, widget.view = self._extent, self.view
        widget.crosshair = self.crosshair
        curves = curves_of(self._charts[key], self._run_name, self._series, self._overlays, axis)
        widget.show(curves, self._marks_on(axis))

    def _marks_on(self, axis: Axis) -> list[Mark]:
        """The run's marks; made anew only when there are others."""
        series = self._series
        places = (series.evaluations, series.checkpoints, series.alerts)
        key = (id(series), axis, *((len(found), found[-1:]) for found in places))
        if key != self._marks[0]:
            self._marks = (key, marks_of(series, axis))
        return self._marks[1]

    def _tell(self) -> None:
        """The line below: what the signs mean, and how the charts are drawn."""
        look = GLYPHS[next(iter(self._widgets.values())).glyphs] if self._widgets else None
        line = Content(
            signs(
                self.arranged,
                self.words,
                (len(self.shown), len(self._charts)),
                self.view is not None,
                self._series,
                self._overlays,
                look,
                self._nan.any([self._series, *(overlay.series for overlay in self._overlays)]),
            )
            if self._charts
            else ""
        )
        if line != self._line:
            self._line = line
            self.query_one("#signs", Static).update(line, layout=False)

    # What all charts share

    def _look_at(self, view: View) -> None:
        """Show a part of the run in all charts; one that ends at the newest point follows it."""
        self.view = view
        self.follow = view is None or self._extent is None or view[1] >= self._extent[1]
        self._feed()

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
