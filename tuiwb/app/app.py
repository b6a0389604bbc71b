"""The application: registers screens, themes and commands, and follows the project's jobs."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import ModalScreen, Screen

from tuiwb.app import files
from tuiwb.app.prompt_app import spare_what_stays
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.telling import Teller, tell
from tuiwb.app.themes import themes
from tuiwb.app.toasts import ToastApp
from tuiwb.app.widgets.nav_bar import PLACES
from tuiwb.jobs import JobState
from tuiwb.jobs.follow import Feed
from tuiwb.project import Project
from tuiwb.text import inert

POLL_SECONDS = 1.0
STILL, SELDOM = 30, 4  # after so many looks that brought nothing, only every fourth is taken
# What the help says of the program's own keys.
HELP = "every key of the screen that is shown"
COMMANDS = "what can be done here, found by its name"
QUIT = "quit; jobs go on without this terminal"


def _lazy(module: str, name: str) -> Callable[[], Screen[None]]:
    """A screen imported when it is first shown: the first paint pays for Home only."""

    def make() -> Screen[None]:
        import importlib

        screen: Screen[None] = getattr(
            importlib.import_module(f"tuiwb.app.screens.{module}"), name
        )()
        return screen

    return make


class WorkbenchApp(ToastApp):
    """tuiwb on one project."""

    TITLE = "tuiwb"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        "home": _lazy("home", "HomeScreen"),
        "data": _lazy("data", "DataScreen"),
        "config": _lazy("config", "ConfigScreen"),
        "train": _lazy("train", "TrainScreen"),
        "compare": _lazy("compare", "CompareScreen"),
        "serve": _lazy("serve", "ServeScreen"),
    }
    DEFAULT_MODE = "home"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"go('{mode}')", name, show=False, id=f"go-{mode}")
            for key, mode, name in PLACES
        ),
        Binding("question_mark", "letter_help", "Help", key_display="?", id="help", tooltip=HELP),
        Binding("f1", "help", "Help", show=False, id="help-anywhere", tooltip=HELP),
        Binding(
            "ctrl+p", "command_palette", "Commands", show=False, id="commands", tooltip=COMMANDS
        ),
        Binding("q", "quit", "Quit", id="quit", tooltip=QUIT),
        Binding(
            "ctrl+q", "quit", "Quit", show=False, priority=True, id="quit-anywhere", tooltip=QUIT
        ),
    ]

    class JobsRead(Message):
        """The project's folders were read, and something differs from the last time."""

        def __init__(self, jobs: dict[Path, JobState], seen: files.Files) -> None:
            super().__init__()
            self.jobs = jobs
            self.seen = seen

    def __init__(self, project: Project) -> None:
        super().__init__()
        self.project = project
        self.jobs: dict[Path, JobState] = {}
        self.files = files.read(project)
        self.wanted_run: Path | None = None
        self.wanted_config: Path | None = None
        self.wanted_key = ""  # of that config, to put the cursor on
        self.wanted_row: str | None = None
        # Names of the files whose edits would be lost with the program, as Config tells them.
        self.unkept: Callable[[], Sequence[str]] = lambda: ()
        self._asked_to_quit = False
        self._feed = Feed()
        self._looks = self._still = 0
        self._teller = Teller(project.cache / "told.json")
        if os.environ.get("SSH_CONNECTION"):
            self.animation_level = "none"
        self._theme_complaints = []
        for theme in themes():
            if isinstance(theme, str):
                self._theme_complaints.append(theme)
            else:
                self.register_theme(theme)
        # Set before the stylesheet is first read: setting it later parses everything twice.
        self.set_reactive(App.theme, self._remembered_theme())

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember_theme(theme.name))
        for complaint in self._theme_complaints:
            self.notify(complaint, severity="warning", markup=False)
        self.set_interval(POLL_SECONDS, self._look_at_jobs)
        self.call_after_refresh(self.read_jobs)
        self.call_after_refresh(spare_what_stays)

    def _look_at_jobs(self) -> None:
        """Each second, or every few once nothing has changed for a while."""
        self._looks += 1
        if self._still < STILL or self._looks % SELDOM == 0:
            self.read_jobs()

    # A description spells out all arguments, every second.
    @work(thread=True, exclusive=True, exit_on_error=False, group="jobs", description="")
    def read_jobs(self) -> None:
        """Read what the jobs wrote since the last time."""
        try:
            jobs, changed = self._feed.poll(self.project.job_folders())
        except OSError:
            return
        seen = files.read(self.project)
        changed = changed or seen != self.files
        self._still = 0 if changed else self._still + 1
        if changed:
            self.post_message(self.JobsRead(jobs, seen))

    @on(JobsRead)
    def _pass_jobs_on(self, message: JobsRead) -> None:
        self.jobs, self.files = message.jobs, message.seen
        tell(self, self._teller.news(self.jobs))
        for screen in self.screen_stack:
            if isinstance(screen, WorkbenchScreen) and screen.is_mounted:
                screen.refresh_jobs(self.jobs)

    async def action_go(self, mode: str) -> None:
        """Show another screen; modal ones are closed first by their own keys. What stands over a
        screen without being one, a vote, is there again when one comes back."""
        if not isinstance(self.screen, ModalScreen) and mode != self.current_mode:
            await self.switch_mode(mode)
            self.call_after_refresh(spare_what_stays)

    async def action_quit(self) -> None:
        """Leave, after a question where an edit would be lost: no disk took it."""
        names = self.unkept()
        if not names:
            await super().action_quit()
        elif not self._asked_to_quit:
            from tuiwb.app.screens.dialogs import Confirm

            def leave(yes: bool | None) -> None:
                self._asked_to_quit = False
                if yes:
                    self.exit()

            self._asked_to_quit = True
            detail = f"{', '.join(names)}: edited, not saved, and no draft can be written."
            self.push_screen(Confirm("Quit and lose the edits?", detail), leave)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`?` is no help key where it types a question mark: F1 is."""
        if action == "letter_help" and self.focused is not None:
            typing = self.focused.check_consume_key("question_mark", "?")
        else:
            typing = False
        return not typing and super().check_action(action, parameters)

    async def action_letter_help(self) -> None:
        """`?`: the same as F1."""
        await self.action_help()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for key, mode, name in PLACES:
            yield SystemCommand(
                f"Go to {name}",
                f"key {key}",
                lambda mode=mode: self.run_worker(self.action_go(mode)),
            )
        yield SystemCommand("Keys", "Every key of this screen", self.action_help)
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)
        yield SystemCommand(
            "Screenshot", "Save this screen as SVG", lambda: self.set_timer(0.1, self._picture)
        )
        yield SystemCommand("Quit", "Jobs go on without the terminal", self.action_quit)

    def _fatal_error(self) -> None:
        """End with a sentence; the traceback, without the values in it, goes to a file."""
        import traceback

        from rich.segment import Segments
        from rich.text import Text

        path = self.project.cache / "crash.log"
        error = self._exception
        words = inert(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)), "utf-8", "replace")
            where = f" The details are in {path}."
        except OSError:
            where = ""
        sentence = f"tuiwb met an error it did not expect and closed ({words}); jobs go on.{where}"
        self._exit_renderables.append(Segments(self.console.render(Text(sentence))))
        self._close_messages_no_wait()

    def _picture(self) -> None:
        path = self.save_screenshot(path=str(self.project.root))
        self.notify(f"saved {path}", markup=False)

    def _remembered_theme(self) -> str:
        try:
            name = (self.project.cache / "theme").read_text("utf-8").strip()
        except OSError:
            name = ""
        return name if name in self.available_themes else "workbench-dark"

    def _remember_theme(self, name: str) -> None:
        try:
            self.project.cache.mkdir(exist_ok=True)
            (self.project.cache / "theme").write_text(name, "utf-8")
        except OSError:
            pass
