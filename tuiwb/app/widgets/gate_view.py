"""The gate as a dialog: may this run be shipped, line by line; starts what is missing."""

import textwrap
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tuiwb import jobs
from tuiwb.app.widgets.modal import SCROLL, Modal
from tuiwb.compare.evaluation import plan as evaluating
from tuiwb.compare.gate.evidence import gather
from tuiwb.compare.gate.line import GateLine
from tuiwb.compare.gate.report import HTML, write_reports
from tuiwb.compare.gate.verdict import Gate, gate, write_gate
from tuiwb.compare.go_on import go_on
from tuiwb.compare.plan import COMPARE
from tuiwb.errors import TuiwbError, on_screen
from tuiwb.project import Project
from tuiwb.text import inert

MUTED = "$foreground 60%"
MARKS = {True: ("✓", "$text-success"), False: ("✗", "$text-error"), None: ("?", "$text-warning")}
LOOK_SECONDS = 2.0


class GateScreen(Modal[None]):
    """Asks the gate of one run in a thread, keeps its verdict and report as the command does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run_missing", "Run what is missing"),
        *SCROLL,
        Binding("escape,G,q,enter", "dismiss", "Close", key_display="esc"),
    ]

    class Asked(Message):
        """What the gate said, or why it could not; `busy` is the job that would change it,
        `started` the one that was just begun."""

        def __init__(
            self, found: Gate | None, problem: str = "", busy: str = "", started: str = ""
        ) -> None:
            super().__init__()
            self.found, self.problem, self.busy, self.started = found, problem, busy, started

    def __init__(self, project: Project, run: Path) -> None:
        super().__init__()
        self._project, self._run = project, run
        self._found: Gate | None = None
        self._told = ""
        self._busy = ""
        # What was begun since r was pressed; None before: each at most once, whatever comes of it.
        self._begun: set[str] | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = Content(f"Gate of {inert(self._run.name, one_line=True)}")
            dialog.border_subtitle = "r runs what is missing, esc closes"
            yield Static("looking …", id="lines", markup=False)

    def on_mount(self) -> None:
        self._ask()
        self.set_interval(LOOK_SECONDS, self._look_again)

    def on_resize(self) -> None:
        self.call_after_refresh(self._paint)

    def _look_again(self) -> None:
        if self._busy:
            self._ask()

    @work(thread=True, exclusive=True, exit_on_error=False, group="gate")
    def _ask(self) -> None:
        try:
            found = gate(self._project, self._run)
            busy = _at_work(self._run)
            if not busy:
                write_gate(self._run, found)
                write_reports(self._run, found)
            self.post_message(self.Asked(found, busy=busy))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Asked(None, on_screen(error)))

    @on(Asked)
    def _show(self, message: Asked) -> None:
        self._found, self._busy = message.found, message.busy
        if message.started and self._begun is not None:
            self._begun.add(message.started)
        if message.problem:
            self._told, self._begun = message.problem, None
        self._paint()
        if self._begun is not None and not self._busy and not message.started:
            self._start(frozenset(self._begun))

    def action_run_missing(self) -> None:
        """Start the comparison where there is none that counts, then the evaluation."""
        if self._found is not None and not self._busy:
            self._begun, self._told = set(), ""
            self._start(frozenset())

    @work(thread=True, exclusive=True, exit_on_error=False, group="gate")
    def _start(self, begun: frozenset[str]) -> None:
        """Begin the next job that is missing and was not begun before."""
        started = problem = ""
        try:
            wanted = evaluating.plan_missing(self._project, self._run.name)
            compared = gather(self._project, self._run).compare is not None
            if COMPARE not in begun and not compared:
                try:
                    go_on(self._project, self._run.name, self._tell)
                    started = COMPARE
                except TuiwbError as error:
                    problem = on_screen(error)  # the evaluation needs no comparison
            if not started and evaluating.EVAL not in begun and not evaluating.answered(wanted):
                evaluating.start(self._project, wanted)
                started = evaluating.EVAL
        except (TuiwbError, OSError) as error:
            started, problem = "", "\n".join(filter(None, (problem, on_screen(error))))
        if started or problem:
            busy = _at_work(self._run) or (f"{started}, starting" if started else "")
            self.post_message(self.Asked(self._found, problem, busy, started))

    def _tell(self, sentence: str) -> None:
        said = inert(sentence)
        self.app.call_from_thread(lambda: self.app.notify(said, markup=False))

    def _paint(self) -> None:
        if not self.is_mounted or (self._found is None and not self._told):
            return
        lines = self.query_one("#lines", Static)
        # Two cells less: the scroll bar may come with these very lines.
        width = (lines.size.width or max(30, self.size.width - 12)) - 2
        parts = [] if self._found is None else [gate_lines(self._found, width)]
        if self._busy:
            parts.insert(0, Content.styled(f"{self._busy} …", "$text-accent"))
        if self._told:
            parts.insert(0, Content.styled(inert(self._told), "$text-error"))
        if self._found is not None and not self._busy:
            where = self._project.shorten(self._run / HTML)
            parts.append(Content.styled(f"report: {inert(where, one_line=True)}", MUTED))
        lines.update(Content("\n\n").join(parts))


def _at_work(run: Path) -> str:
    """What runs that the gate waits for: comparing, evaluating; '' for nothing."""
    for folder, word in ((COMPARE, "comparing"), (evaluating.EVAL, "evaluating")):
        if (run / folder / "job.yaml").is_file() and (s := jobs.status(run / folder)).running:
            parts = [word, s.phase or s.word]
            if s.progress is not None and s.progress.total and s.progress.phase == s.phase:
                parts.append(f"{s.progress.done:g} of {s.progress.total:g} {s.progress.unit}")
            return ", ".join(parts)
    return ""


def gate_lines(found: Gate, width: int) -> Content:
    """The verdict, then each line with its number and, where it does not hold, what would change
    it; wrapped to `width` cells."""
    style = "bold $text-success" if found.verdict == "SHIP" else "bold $text-error"
    rest = found.sentence.removeprefix(found.verdict)
    head = Content.assemble((found.verdict, style), _hang(rest, width, len(found.verdict)))
    label = max((cell_len(line.label) for line in found.lines), default=0)
    return Content("\n").join([head, Content(), *(_row(n, label, width) for n in found.lines)])


def _row(line: GateLine, label: int, width: int) -> Content:
    mark, style = MARKS[line.ok]
    indent = label + 4
    optional = " (optional)" if not line.required else ""
    parts: list[Content | str | tuple[str, str]] = [
        (f"{mark} ", style),
        (f"{line.label:<{label}}  ", "bold"),
        _hang(f"{line.figure}{optional}", width, indent),
    ]
    if line.ok is not True:
        for words in (f"asked: {line.threshold}", line.change):
            if words:
                parts.append((f"\n{' ' * indent}{_hang(words, width, indent)}", MUTED))
    return Content.assemble(*parts)


def _hang(text: str, width: int, indent: int) -> str:
    """Text that begins after `indent` cells, its further lines set in as far."""
    lines = textwrap.wrap(inert(text, one_line=True), max(20, width - indent)) or [""]
    return f"\n{' ' * indent}".join(lines)
