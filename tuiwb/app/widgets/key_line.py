"""The bottom line: the keys that do something now, to press or click.

One widget that paints its line, where Textual's Footer mounts a widget for each key anew at every
change of focus: that took longer than all else a key does.
"""

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from tuiwb.app.pace import ground_of

ALWAYS = 2  # the last ones stay where there is no room for all: help and quit
# Actions named where the others leave room, the most wanted first; their keys do it anyway.
WHERE_ROOM = (
    "finding(1)",
    "facets",
    "other_half",
    "choose",
    "smooth",
    "log_y",
    "axis",
    "again",
    "zoom",
    "step_run(1)",
    "report",
)
# What the widgets of a dialog do by enter, in words of this program.
IN_DIALOGS = {"submit": "Accept", "select": "Choose"}


class KeyLine(Widget):
    """Follows the active bindings of its screen, or of the dialog that is open over it; paints only
    when they differ."""

    DEFAULT_CSS = """
    KeyLine {
        dock: bottom;
        height: 1;
        padding: 0 1;
        background: $footer-background;
        color: $footer-foreground;
        & .key-line--key { color: $footer-key-foreground; text-style: bold; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key"}

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[str, str, str]] = []
        self._spare: list[tuple[str, str, str]] = []

    def on_mount(self) -> None:
        """Hear of changed bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen and self.app.app_focus:
            # Not at once: the first word comes before the screen is mounted. Later ones are painted
            # with what the key did.
            if self._keys:
                self.call_next(self._look)
            else:
                self.call_after_refresh(self._look)

    def look_again(self) -> None:
        """A dialog over the screen was opened, closed or changed."""
        if self._keys and self.app.app_focus:
            self.call_next(self._look)

    def _look(self) -> None:
        if not self.is_attached:
            return
        top = self.app.screen
        of = top if top.is_modal and ground_of(top) is self.screen else self.screen
        seen: dict[str, tuple[str, str, str]] = {}
        spare: dict[str, tuple[str, str, str]] = {}
        for _, binding, enabled, _tip in of.active_bindings.values():
            display, words = self.app.get_key_display(binding), binding.description
            show = binding.show
            if of is top and top.is_modal and binding.action in IN_DIALOGS:
                words, show = IN_DIALOGS[binding.action], binding.key == "enter"
                display = "enter"
            if enabled and (show or binding.action in WHERE_ROOM):
                into = seen if show else spare
                into.setdefault(binding.action, (binding.key, display, words))
        keys = list(seen.values()), [spare[a] for a in WHERE_ROOM if a in spare]
        if keys != (self._keys, self._spare):
            self._keys, self._spare = keys
            self.refresh()

    def _placed(self) -> list[tuple[int, str, str, str]]:
        """(column, key, its name, what it does) of all that fit; roomy where there is room."""
        width = self.size.width
        keys = list(self._keys)
        for gap in (2, 1):
            wide = sum(cell_len(name) + 1 + cell_len(words) + gap for _, name, words in keys)
            if wide <= width + gap:
                break
        while wide > width + gap and len(keys) > ALWAYS:
            _, name, words = keys.pop(-ALWAYS - 1)
            wide -= cell_len(name) + 1 + cell_len(words) + gap
        for more in self._spare:
            wide += cell_len(more[1]) + 1 + cell_len(more[2]) + gap
            if gap == 1 or wide > width + gap:
                break
            keys.insert(max(0, len(keys) - ALWAYS), more)
        placed, column = [], 0
        for key, name, words in keys:
            placed.append((column, key, name, words))
            column += cell_len(name) + 1 + cell_len(words) + gap
        return placed

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        of_keys = base + self.get_component_rich_style("key-line--key", partial=True)
        segments, end = [], 0
        for column, _, name, words in self._placed():
            rest = f" {words}"
            segments += [
                Segment(" " * (column - end), base), Segment(name, of_keys), Segment(rest, base),
            ]  # fmt: skip
            end = column + cell_len(name) + cell_len(rest)
        return Strip(segments).adjust_cell_length(width, base)

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        self.press_at(event.x)

    def press_at(self, x: int) -> None:
        """Press the key that the line names at a column of it, if there is one."""
        for column, key, name, words in self._placed():
            if column < x <= column + cell_len(name) + 1 + cell_len(words):
                # By the app: a key that an ancestor of the focus sends goes no further than it.
                self.app.call_later(self.app.simulate_key, key)
                return
