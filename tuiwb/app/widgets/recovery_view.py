"""Where to look when a run came out badly: steps, what was found at each, ticks that stay.

In: the run's folder. The steps look at files, so they are read in a thread.
"""

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tuiwb.app.widgets.alerts_view import AlertsView, Piece, change_lines
from tuiwb.app.widgets.list_and_detail import Item, ListAndDetail
from tuiwb.app.widgets.run_head import MUTED
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import JOB
from tuiwb.monitor.recovery import VERDICTS, Step, steps, tick
from tuiwb.text import inert

NOT_OURS = "not offered: it looks at what tuiwb's own runs keep"
PURPOSE = "When a run came out badly: where to look, the likeliest cause first"
STYLES = {"good": "$text-success", "bad": "$text-error", "unknown": MUTED}
MARKS = {"good": "✓", "bad": "✗", "unknown": "?"}
TICKED = "ticked by you"


def step_item(number: int, step: Step) -> Item:
    """A step's title after the mark of the person's tick or else of the program's verdict, in words
    where there is room; then both, what it checks, what was found, what to do."""
    verdict, style = VERDICTS[step.verdict], STYLES[step.verdict]
    ticked = step.ticked is not None
    title = inert(step.title, one_line=True)
    line = Content.assemble(
        f"{number} ",
        ("☑" if ticked else MARKS[step.verdict], "$text-accent" if ticked else style),
        f" {title}",
        (f"  {TICKED if ticked else verdict}", "$text-accent" if ticked else style),
    )
    pieces: list[Piece] = [
        (f"{number} {title}\n", "bold"),
        (verdict, style),
        (" to tuiwb, " if step.verdict != "unknown" else ", ", MUTED),
        (f"{TICKED}\n", "$text-accent") if ticked else ("not ticked by you\n", MUTED),
        (f"{inert(step.checks)}\n", MUTED),
    ]
    pieces += [f"{inert(found)}\n" for found in step.evidence]
    if step.action:
        pieces += [("do   ", "bold $accent"), f"{inert(step.action)}\n"]
    pieces += change_lines(step.change)
    return Item(step.key, line, Content.assemble(*pieces))


class RecoveryView(ListAndDetail):
    """The steps in order; space ticks one, `f` writes the change it offers into a new config."""

    DEFAULT_CSS = """
    RecoveryView {
        & > #purpose { dock: top; height: 1; padding: 0 1; color: $text-muted; }
        & > OptionList { width: 48%; }
        &.-empty > #purpose { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "tick", "Tick", key_display="space"),
        Binding("f", "fix", "Fix"),
    ]

    class Looked(Message):
        """What a look at the files brought."""

        def __init__(self, folder: Path, found: list[Step], problem: str) -> None:
            super().__init__()
            self.folder, self.found, self.problem = folder, found, problem

    def __init__(self, *, id: str | None = None, acts: bool = True) -> None:
        super().__init__("looking at the run's files", id=id)
        self.acts = acts
        self._folder: Path | None = None
        self._steps: list[Step] = []

    def compose(self) -> ComposeResult:
        yield Static(Content(PURPOSE), id="purpose", markup=False)
        yield from super().compose()

    def look(self, folder: Path) -> None:
        """Look at a run's files again."""
        if folder != self._folder:
            self._folder, self._steps = folder, []
            self.show([])
            self.say_nothing("looking at the run's files")
        self._look(folder)

    @work(thread=True, exclusive=True, exit_on_error=False, group="recovery")
    def _look(self, folder: Path) -> None:
        try:
            if not (folder / JOB).is_file():
                raise BadInput(NOT_OURS)
            found, problem = steps(folder), ""
        except (TuiwbError, OSError) as error:
            found, problem = [], str(error)
        self.post_message(self.Looked(folder, found, problem))

    @on(Looked)
    def _show_steps(self, message: Looked) -> None:
        if message.folder != self._folder:
            return
        self._steps = message.found
        self.say_nothing(message.problem or "nothing to diagnose here: this is no training run")
        self.show([step_item(n, step) for n, step in enumerate(self._steps, 1)])
        self.refresh_bindings()

    @property
    def step(self) -> Step | None:
        """The step under the cursor."""
        at = self.position
        return self._steps[at] if at is not None and at < len(self._steps) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`f` is there when the step under the cursor offers a change."""
        if action == "fix":
            return self.acts and self.step is not None and bool(self.step.change)
        return True

    def action_tick(self) -> None:
        """Tick the step under the cursor, or take its tick back."""
        if self.step is None or self._folder is None:
            return
        try:
            tick(self._folder, self.step.key, self.step.ticked is None)
        except (TuiwbError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        self._look(self._folder)

    def action_fix(self) -> None:
        """Ask for the step's change to be written into a new config."""
        if self.step is not None:
            self.post_message(AlertsView.FixWanted(self.step.change, self.step.title))
