"""What the screens that show a pair share: the head, the pair, how it is looked at."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.widgets.compare_view import Look
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.evaluation.plan import EVAL
from tuiwb.compare.judge.plan import JUDGE
from tuiwb.compare.plan import COMPARE
from tuiwb.jobs import JobState
from tuiwb.jobs.folder import JOB
from tuiwb.text import inert


def run_of(job: Path) -> Path:
    """The run whose comparison, judge or evaluation a job is; any other job itself."""
    within = job.name.partition("-")[0] in (COMPARE, JUDGE, EVAL)
    return job.parent if within and (job.parent / JOB).is_file() else job


class PairScreen(WorkbenchScreen):
    """Subclasses paint in `paint()`, from `look` and what they know."""

    MODE = "compare"
    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "markdown", "Markdown or plain", show=False),
        Binding("h", "reference", "Show or hide the reference", show=False),
    ]

    def __init__(self, look: Look | None = None) -> None:
        super().__init__()
        self.look = look or Look()
        self._head: Content | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield Static(id="head", markup=False)
        yield PairView(id="pair")

    def on_mount(self) -> None:
        self.query_one(PairView).focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self.paint)

    def paint(self) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def paint_head(self, head: Content) -> None:
        """The lines above the pair; painted only when they differ."""
        if self._head is None or head != self._head:
            self._head = head
            self.query_one("#head", Static).update(head)

    def complain(self, sentence: str) -> None:
        """Say why something can't be done."""
        self.notify(inert(sentence), severity="error", markup=False)

    def action_covered(self) -> None:
        """Say why a key that shows names or figures shows nothing while a vote is open."""
        self.notify("hidden until you reveal: r reveals, and locks your votes", markup=False)

    def action_markdown(self) -> None:
        """Answers rendered as Markdown, or plain as the models wrote them."""
        self.look = replace(self.look, markdown=not self.look.markdown)
        self.paint()

    def action_reference(self) -> None:
        """The reference, or more room for the answers."""
        self.look = replace(self.look, reference=not self.look.reference)
        self.paint()


class WalkScreen(PairScreen):
    """One run's pairs over the Compare screen, all that is said of them kept at once: left where
    another run's are wanted."""

    def __init__(self, run: Path, look: Look | None = None) -> None:
        super().__init__(look)
        self.run = run

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        """Make room where somebody asked for a job of another run."""
        wanted = self.workbench.wanted_run
        if wanted is None or not self.is_active or run_of(wanted) in (wanted, self.run):
            return
        name = inert(self.run.name, one_line=True)
        self.notify(f"{name} was left where it stood: what you said is kept", markup=False)
        self.dismiss()

    def action_leave(self) -> None:
        """Back to the comparison; what was said is kept."""
        self.dismiss()
