"""The top line: where one can go, where one is, which project, what runs."""

from textual import events
from textual.app import ComposeResult, RenderResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

PLACES = (
    ("1", "home", "Home"),
    ("2", "data", "Data"),
    ("3", "config", "Config"),
    ("4", "train", "Train"),
    ("5", "compare", "Compare"),
    ("6", "serve", "Serve"),
)


class Place(Widget):
    """One entry: its key and name; reversed while it is where we are."""

    def __init__(self, key: str, mode: str, name: str, *, here: bool) -> None:
        super().__init__(classes="-here" if here else None)
        self.mode = mode
        self.words = Content.assemble((key, "bold $accent"), " ", name)
        if here:
            self.words = Content(f"{key} {name}")

    def render(self) -> RenderResult:
        return self.words

    def get_content_width(self, *_: object) -> int:
        return self.words.cell_length

    async def on_click(self, event: events.Click) -> None:
        event.stop()
        await self.run_action(f"app.go('{self.mode}')")


class NavBar(Horizontal):
    """The entries on the left; the project and its running jobs on the right."""

    DEFAULT_CSS = """
    NavBar { height: 1; background: $panel; }
    NavBar Place { width: auto; height: 1; padding: 0 1; }
    NavBar Place:hover { background: $surface; }
    NavBar Place.-here { text-style: bold reverse; }
    NavBar #where { width: 1fr; height: 1; text-align: right; padding: 0 1;
                    color: $text-muted; text-overflow: ellipsis; text-wrap: nowrap; }
    """

    def __init__(self, mode: str, project: str) -> None:
        super().__init__()
        self._mode = mode
        self._project = project
        self._shown_count: int | None = None

    def compose(self) -> ComposeResult:
        for key, mode, name in PLACES:
            yield Place(key, mode, name, here=mode == self._mode)
        yield Static(self._where(0), id="where", markup=False)

    def show_running(self, count: int) -> None:
        """Say how many jobs run; paints only when the number changed."""
        if count != self._shown_count:
            self._shown_count = count
            self.query_one("#where", Static).update(self._where(count))

    def _where(self, count: int) -> str:
        return f"● {count} running  {self._project}" if count else self._project
