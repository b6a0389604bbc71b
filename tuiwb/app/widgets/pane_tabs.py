"""One line that names the panes below it and the key of each."""

from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.message import Message
from textual.widget import Widget


class PaneTabs(Widget):
    """`show()` says which pane is open and what to say beside a name; a click opens one."""

    DEFAULT_CSS = "PaneTabs { height: 1; padding: 0 1; background: $panel; }"

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

    def _words(self, key: str, pane: str, name: str, short: bool) -> Content:
        count = dict(self._shown[1]).get(pane, "")
        label = f"{name} {count} " if count else f"{name} "
        if pane == self._shown[0]:
            return Content.styled(f" {key} {label}", "bold reverse")
        style = "bold $text-warning" if count else ""
        return Content.assemble((f" {key} ", "bold $accent"), (label if not short else "", style))

    def render(self) -> RenderResult:
        line = Content("").join(self._words(*pane, short=False) for pane in self._panes)
        if line.cell_length <= self.size.width:
            return line
        return Content("").join(self._words(*pane, short=True) for pane in self._panes)

    def on_click(self, event: events.Click) -> None:
        """Open the pane that was clicked."""
        end = 1
        for key, pane, name in self._panes:
            end += self._words(key, pane, name, short=False).cell_length
            if event.x < end:
                self.post_message(self.Chosen(pane))
                return
