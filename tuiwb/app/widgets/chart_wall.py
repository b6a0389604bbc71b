"""All metrics of a run as a wall of charts that share zoom and crosshair, under the hands.

In: a RunSeries, and others to lay over it. Out: nothing; what the user arranges is kept in a file.
"""

from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input

from tuiwb.app.widgets.chart import VIEW_KEYS, Chart
from tuiwb.app.widgets.chart_board import ChartBoard
from tuiwb.app.widgets.chart_feed import Overlay, tells
from tuiwb.app.widgets.chart_menu import ChartMenu
from tuiwb.monitor.layout import Layout
from tuiwb.monitor.series import Axis
from tuiwb.monitor.view import at_tail, pan, zoom

__all__ = ["ChartWall", "Overlay"]

SMOOTHING = (0.0, 0.6, 0.9, 0.99)
AXES: tuple[Axis, ...] = ("step", "tokens", "epoch", "time")


class ChartWall(ChartBoard, can_focus=True, inherit_bindings=False):
    """The whole wall takes the focus; the keys go to the current chart, whose title stands on a
    heavy line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Escape takes back more than the crosshair here.
        *(b for b in VIEW_KEYS if isinstance(b, Binding) and b.action != "unpoint"),
        Binding("enter", "enlarge", "Enlarge"),
        Binding("w", "choose", "Charts", show=False),
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
        # The others once the chart under the hands is painted.
        self.call_after_refresh(self._point_all)

    def _point_all(self) -> None:
        for widget in self._widgets.values():
            if widget.display:
                widget.crosshair = self.crosshair

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
        return True

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
