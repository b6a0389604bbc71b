"""A new comparison of a run: against which sides, on which prompts, how many."""

import shlex
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from tuiwb.app.screens.dialogs import Form
from tuiwb.compare.go_on import Ahead, anew, asked_now
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.project import Project
from tuiwb.text import inert

KINDS = (
    "A side is base, another run, RUN:checkpoint-100, a model's or adapter's folder, URL#MODEL of "
    "a server, or anthropic:MODEL; several have a space between them, and the first is the one in "
    "focus."
)
MOST = 1_000_000


class NewComparison(Form[Ahead]):
    """enter plans from anywhere in it, and what can't be compared is said here; gives what starting
    would do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+j", "plan", "Compare", key_display="enter", priority=True),
    ]

    def __init__(self, project: Project, run: str) -> None:
        super().__init__()
        self._project, self._run = project, run
        try:
            self._prompts, self._limit = asked_now(project, run)
        except (TuiwbError, OSError):
            self._prompts, self._limit = "", 50  # what is wrong with the run is said on enter

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", can_focus=False) as dialog:
            dialog.border_title = f"Compare {inert(self._run, one_line=True)} anew"
            dialog.border_subtitle = "enter compares, esc cancels"
            with Horizontal(classes="line"):
                yield Static("Against", classes="label muted", markup=False)
                yield self.field("base", name="against", hint="base")
            with Horizontal(classes="line"):
                yield Static("Prompts", classes="label muted", markup=False)
                yield self.field(self._prompts, name="file", hint="the run's held-out file")
            with Horizontal(classes="line"):
                yield Static("At most", classes="label muted", markup=False)
                yield self.field(str(self._limit), name="limit", hint="50")
            yield Static(KINDS, classes="muted", markup=False)
            yield self.problem()

    def on_mount(self) -> None:
        self.query_one("#against").focus()

    def action_plan(self) -> None:
        """Close with what starting would do, or say why it can't be."""
        against, file, limit = (
            self.query_one(f"#{name}", Input).value.strip() for name in ("against", "file", "limit")
        )
        self.take_later(
            lambda: anew(self._project, self._run, _words(against), file or None, _count(limit))
        )


def _words(said: str) -> list[str]:
    """Sides as they were typed, one in quotes where it holds a space."""
    try:
        return shlex.split(said) or ["base"]
    except ValueError:
        raise BadInput(f"{said[:80]} opens a quote that nothing closes: close it") from None


def _count(said: str) -> int:
    """How many prompts, 50 for nothing said; BadInput for what is no number of them."""
    if not said:
        return 50
    if not said.isdecimal() or not 1 <= int(said[:9]) <= MOST:
        raise BadInput(f"{said[:80]} is no number of prompts: give 1 to {MOST:,}")
    return int(said)
