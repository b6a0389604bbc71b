"""A chart with keys and mouse: zoom, pan, follow the tail, a crosshair that reads values.

In: curves, by `show()`. Out: `Zoomed` and `Pointed`, so that other charts can follow.
"""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tuiwb.app.widgets.chart_curves import Curve, next_point
from tuiwb.app.widgets.chart_drawn import DrawnChart
from tuiwb.app.widgets.chart_paint import Mark
from tuiwb.monitor.view import View, at_tail, pan, span, zoom

__all__ = ["VIEW_KEYS", "Chart", "Curve", "Mark"]

VIEW_KEYS: list[BindingType] = [
    Binding("plus,equals_sign", "zoom(2)", "Zoom in", show=False, key_display="+"),
    Binding("minus", "zoom(0.5)", "Zoom out", show=False, key_display="-"),
    Binding("h", "pan(-0.25)", "Earlier", show=False),
    Binding("l", "pan(0.25)", "Later", show=False),
    Binding("0,home", "whole", "Whole run", show=False),
    Binding("f,end", "tail", "Follow the end", show=False),
    Binding("left", "point(-1)", "Crosshair left", show=False),
    Binding("right", "point(1)", "Crosshair right", show=False),
    Binding("shift+left", "point(-10)", "Crosshair left by 10", show=False),
    Binding("shift+right", "point(10)", "Crosshair right by 10", show=False),
    Binding("escape", "unpoint", "Crosshair off", show=False),
]


class Chart(DrawnChart, can_focus=True):
    """A drawn chart that obeys: the keys when it has the focus, the mouse always."""

    BINDINGS: ClassVar[list[BindingType]] = VIEW_KEYS

    class Zoomed(Message):
        """The user changed the view: x from `low` to `high`; both None when all is shown again."""

        def __init__(self, chart: "Chart", view: View) -> None:
            super().__init__()
            self.chart = chart
            self.view = view
            self.low: float | None = view[0] if view is not None else None
            self.high: float | None = view[1] if view is not None else None

    class Pointed(Message):
        """The user set the crosshair to x, or took it away (None)."""

        def __init__(self, chart: "Chart", x: float | None) -> None:
            super().__init__()
            self.chart = chart
            self.x = x

    def __init__(self, title: str, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(title, id=id, classes=classes)
        self._drag: tuple[int, View, bool] | None = None

    def action_zoom(self, factor: float) -> None:
        """Show `factor` times less, around the crosshair or the middle."""
        whole = self._whole()
        if whole is not None:
            self._look_at(zoom(self.view, whole, factor, self.crosshair))

    def action_pan(self, share: float) -> None:
        """Move the view by a share of its width."""
        whole = self._whole()
        if whole is not None:
            self.follow = False
            self._look_at(pan(self.view, whole, share))

    def action_whole(self) -> None:
        """Show all there is."""
        self._look_at(None)

    def action_tail(self) -> None:
        """Go to the newest point and stay there as more come."""
        whole = self._whole()
        self.follow = True
        if whole is not None:
            self._look_at(at_tail(self.view, whole))

    def action_point(self, columns: int) -> None:
        """Move the crosshair by columns, at least to the next point; it starts at the end."""
        whole = self._whole()
        if whole is None or self._drawn is None:
            return
        low, high = span(self.view, whole)
        width = max(1, self._drawn[0].codes.shape[1])
        self._take()
        if self.crosshair is None or not low <= self.crosshair <= high:
            x = next_point(self._traces, high, 0.0)
        else:
            x = next_point(self._traces, self.crosshair, columns * (high - low) / width)
        for trace in self._traces:
            trace.release()
        if x is not None:
            self._point_at(min(max(x, low), high))

    def action_unpoint(self) -> None:
        """Take the crosshair away."""
        self._point_at(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is ours only while there is a crosshair."""
        return action != "unpoint" or self.crosshair is not None

    def _look_at(self, view: View) -> None:
        if view != self.view:
            self.view = view
            self.post_message(self.Zoomed(self, view))

    def _point_at(self, x: float | None) -> None:
        if x != self.crosshair:
            self.crosshair = x
            self.post_message(self.Pointed(self, x))

    # The mouse

    def _x_under(self, column: int) -> float | None:
        """The x under a column of the widget, None beside the curve."""
        if self._drawn is None:
            return None
        inside = column - self._gutter
        return self._drawn[0].x_at(inside) if inside >= 0 else None

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1.25)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 0.8)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        """Zoom at the pointer; with shift or ctrl the wheel scrolls what is around."""
        if event.shift or event.ctrl:
            return
        whole = self._whole()
        if whole is not None:
            event.stop()
            event.prevent_default()
            self._look_at(zoom(self.view, whole, factor, self._x_under(event.x)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A drag begins, or a click."""
        if event.button == 1:
            self._drag = (event.screen_x, self.view, False)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Dragging moves the view along."""
        if self._drag is None or self._drawn is None:
            return
        start, view, _ = self._drag
        moved = event.screen_x - start
        if moved:
            self._drag = (start, view, True)
            whole = self._whole()
            if view is not None and whole is not None:
                self.follow = False
                share = -moved / max(1, self._drawn[0].codes.shape[1])
                self._look_at(pan(view, whole, share))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """The drag ends; without one, it was a click, which sets the crosshair."""
        if self._drag is None:
            return
        moved = self._drag[2]
        self._drag = None
        self.release_mouse()
        x = self._x_under(event.x)
        if not moved and x is not None:
            self._take()
            near = next_point(self._traces, x, 0.0)
            for trace in self._traces:
                trace.release()
            self._point_at(near)
