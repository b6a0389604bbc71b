"""One line that names the panes below it and the key of each."""

from collections.abc import Iterator
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget


class PaneTabs(Widget):
    """`show()` says which pane is open and what to say beside a name; a click opens one."""

    DEFAULT_CSS = """
    PaneTabs {
        height: 1;
        padding: 0 1;
        background: $panel;
        & .pane-tabs--key { color: $accent; text-style: bold; }
        & .pane-tabs--open { text-style: bold reverse; }
        & .pane-tabs--counted { color: $text-warning; text-style: bold; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "pane-tabs--key",
        "pane-tabs--open",
        "pane-tabs--counted",
    }

    class Chosen(Message):
        """A click on a name."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, panes: "tuple[tuple[str, str, str], ...]", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._panes = panes  # key, pane, name
        self._shown: tuple[str, tuple[tuple[str, str], ...]] = ("", ())

    def show(self, current: str, beside: dict[str, str]) -> None:
        """Paint only what changed: which is open, counts beside the names."""
        shown = (current, tuple(sorted(beside.items())))
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def _words(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """(pane, its words with the part of the look they have): names as far as there is room."""
        full = list(self._named(all_names=True))
        width = sum(cell_len(text) for _, words in full for text, _ in words)
        return full if width <= self.size.width else list(self._named(all_names=False))

    def _named(self, *, all_names: bool) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        beside = dict(self._shown[1])
        for key, pane, name in self._panes:
            count = beside.get(pane, "")
            label = f"{name} {count} " if count else f"{name} "
            if pane == self._shown[0]:
                yield pane, [(f" {key} {label}", "open")]
            else:
                words = [(label, "counted" if count else "")] if all_names else []
                yield pane, [(f" {key} ", "key"), *words]

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        looks = {"": base}
        for name in ("key", "open", "counted"):
            looks[name] = base + self.get_component_rich_style(f"pane-tabs--{name}", partial=True)
        segments = [
            Segment(text, looks[look]) for _, words in self._words() for text, look in words
        ]
        return Strip(segments).adjust_cell_length(width, base)

    def on_click(self, event: events.Click) -> None:
        """Open the pane that was clicked."""
        end = 1
        for pane, words in self._words():
            end += sum(cell_len(text) for text, _ in words)
            if event.x < end:
                self.post_message(self.Chosen(pane))
                return
