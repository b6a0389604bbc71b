"""The top line: where one can go, where one is, which project, what runs."""

from rich.cells import cell_len
from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from tuiwb.text import inert

PLACES = (
    ("1", "home", "Home"),
    ("2", "data", "Data"),
    ("3", "config", "Config"),
    ("4", "train", "Train"),
    ("5", "compare", "Compare"),
    ("6", "serve", "Serve"),
)


class NavBar(Widget):
    """The entries on the left, to press or click; the project and its running jobs on the right.

    One widget, not seven: every widget of the first screen is paid for at start-up.
    """

    DEFAULT_CSS = "NavBar { height: 1; background: $panel; }"

    def __init__(self, mode: str, project: str) -> None:
        super().__init__()
        self._mode = mode
        self._project = inert(project, one_line=True)
        self._count = 0

    def render(self) -> RenderResult:
        parts: list[Content | tuple[str, str]] = []
        for key, mode, name in PLACES:
            if mode == self._mode:
                parts.append((f" {key} {name} ", "bold reverse"))
            else:
                parts += [(f" {key} ", "bold $accent"), (f"{name} ", "")]
        left = Content.assemble(*parts)
        right = f"● {self._count} running  {self._project} " if self._count else f"{self._project} "
        room = self.size.width - left.cell_length
        if cell_len(right) > room:
            right = f"● {self._count} " if self._count and room > 5 else ""
        gap = " " * max(0, room - cell_len(right))
        return Content.assemble(left, gap, (right, "$foreground 60%"))

    def show_running(self, count: int) -> None:
        """Say how many jobs run; paints only when the number changed."""
        if count != self._count:
            self._count = count
            self.refresh()

    async def on_click(self, event: events.Click) -> None:
        """Go to the entry under the mouse."""
        end = 0
        for key, mode, name in PLACES:
            end += len(f" {key} {name} ")
            if event.x < end:
                await self.run_action(f"app.go('{mode}')")
                return
