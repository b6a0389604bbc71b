"""What every screen is: the nav bar, a body of its own, the footer with its keys."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Resize
from textual.reactive import Reactive
from textual.widget import Widget
from textual.worker import Worker

from tuiwb.app.failed_thread import complain_of
from tuiwb.app.pace import PromptScreen
from tuiwb.app.widgets.key_line import KeyLine
from tuiwb.app.widgets.nav_bar import NavBar
from tuiwb.project import Project

if TYPE_CHECKING:
    from tuiwb.app.app import WorkbenchApp
    from tuiwb.jobs import JobState

CRAMPED = 20  # columns


class WorkbenchScreen(PromptScreen[None]):
    """Subclasses give MODE, `compose_body()` and, if they care, `jobs_changed()`.

    The screen carries the class `-narrow` below 100 columns, so that its .tcss can stack panes.
    """

    MODE: ClassVar[str]
    HELP_TEXT: ClassVar[str] = ""
    # Textual paints the whole screen when the focus moves; who shows it paints itself.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A thread that ended in an error nobody foresaw says so: its part of the screen is old."""
        complain_of(self, event)

    @property
    def workbench(self) -> "WorkbenchApp":
        """The app, typed."""
        return cast("WorkbenchApp", self.app)

    @property
    def project(self) -> Project:
        """The project that is open."""
        return self.workbench.project

    @on(Resize)
    def _make_room(self) -> None:
        """In a few columns a scroll bar takes the room of the text, needs none then, and comes
        back: there it is not drawn."""
        self.set_class(self.size.width < CRAMPED, "-cramped")

    def compose(self) -> ComposeResult:
        yield NavBar(self.MODE, self.project.name)
        with Container(id="body"):
            yield from self.compose_body()
        yield KeyLine()

    def compose_body(self) -> Iterable[Widget]:
        """The screen's own widgets."""
        raise NotImplementedError

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was shown, or a dialog over it."""
        self.query_one(KeyLine).look_again()
        self.refresh_jobs(self.workbench.jobs)

    def refresh_jobs(self, jobs: "dict[Path, JobState]") -> None:
        """Called by the app when a job changed, and when the screen comes back."""
        self.query_one(NavBar).show_running(sum(job.running for job in jobs.values()))
        self.jobs_changed(jobs)

    def jobs_changed(self, jobs: "dict[Path, JobState]") -> None:
        """States of all the project's jobs by folder, oldest first; override to show them."""
