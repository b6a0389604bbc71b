"""`tuiwb watch`: one run on one screen, no project; it may be another tool's folder."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tuiwb.app.pace import PromptScreen
from tuiwb.app.telling import Teller, tell
from tuiwb.app.themes import themes
from tuiwb.app.toasts import ToastApp
from tuiwb.app.widgets.key_line import KeyLine
from tuiwb.app.widgets.run_view import RunView
from tuiwb.monitor.watched import Watched
from tuiwb.text import inert


class WatchScreen(PromptScreen[None]):
    """The run and the footer."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (160, "-huge")]
    HELP_TEXT = (
        "The run goes on whatever happens to this terminal. d, L, O, a, g choose what stands "
        "below the charts, tab moves between both, z zooms."
    )
    MODE = "watch"

    def compose(self) -> ComposeResult:
        yield RunView(id="run", acts=False)
        yield KeyLine()

    def on_mount(self) -> None:
        app = self.app
        assert isinstance(app, WatchApp)
        view = self.query_one(RunView)
        view.watch_run(app.watched)
        view.focus_charts()

    def on_screen_resume(self) -> None:
        """A dialog over it was closed: the key line names the run's keys again."""
        self.query_one(KeyLine).look_again()


class WatchApp(ToastApp):
    """Shows `watched` until q."""

    TITLE = "tuiwb watch"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "help", "Help", key_display="?", id="help"),
        Binding("q,escape", "quit", "Quit", id="quit"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, watched: Watched, theme: str = "workbench-dark") -> None:
        super().__init__()
        self.watched = watched
        self._teller = Teller(told_of(watched.folder))
        if os.environ.get("SSH_CONNECTION"):
            self.animation_level = "none"
        for found in themes():
            if not isinstance(found, str):
                self.register_theme(found)
        if theme in self.available_themes:
            self.set_reactive(App.theme, theme)

    def get_default_screen(self) -> Screen[None]:
        return WatchScreen()

    def on_mount(self) -> None:
        self.title = inert(f"tuiwb watch {self.watched.name}", one_line=True)
        self.set_interval(1.0, self._tell)

    def _tell(self) -> None:
        """A new alert or the end of the run, to whoever looks elsewhere."""
        tell(self, self._teller.news({self.watched.folder: self.watched.state}))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield SystemCommand("Keys", "Every key", self.action_help)
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)
        yield SystemCommand("Quit", "The run goes on", self.action_quit)


def told_of(folder: Path) -> Path:
    """Where it is kept what was told of a run; not in its folder, which may be another tool's."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:24]
    return cache / "tuiwb" / "told" / f"{name}.json"


def watch(watched: Watched, log: Path | None = None) -> int:
    """Run the program in this terminal; `log` takes what libraries write to descriptor 2."""
    from tuiwb.app.terminal import end_with_the_terminal, stderr_to, tolerate_any_input
    from tuiwb.app.terminal_writer import write_at_once

    tolerate_any_input()
    write_at_once()
    end_with_the_terminal()
    with stderr_to(log or Path(os.devnull)):
        app = WatchApp(watched)
        app.run()
    return app.return_code or 0
