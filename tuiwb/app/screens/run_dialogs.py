"""Questions about runs, and texts shown large."""

import math
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from tuiwb.app.screens.dialogs import Form
from tuiwb.app.widgets.modal import SCROLL, Modal
from tuiwb.errors import BadInput
from tuiwb.jobs import JobState
from tuiwb.text import inert


class ChangeInFlight(Form[dict[str, float | int]]):
    """Learning rate and logging interval of a run that trains; an empty field stays as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Before the field sees them: what is typed right after a tab is the next field's.
        Binding("tab,down", "app.focus_next", "Next field", show=False, priority=True),
        Binding("shift+tab,up", "app.focus_previous", "Previous field", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    ChangeInFlight Input { margin: 0 0 1 0; }
    """

    def __init__(self, state: JobState) -> None:
        super().__init__()
        self._state = state

    def compose(self) -> ComposeResult:
        rate = self._state.metrics.get("learning_rate")
        now = f"; with the schedule it is {rate:.3g} now" if rate is not None else ""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(f"Change {inert(self._state.name, one_line=True)}")
            dialog.border_subtitle = "enter sends, tab next field, esc cancels"
            yield Static(f"learning rate at the schedule's peak{now}", markup=False)
            yield self.field(name="learning_rate", hint="1e-5")
            yield Static("log every so many steps", markup=False)
            yield self.field(name="logging_steps", hint="10")
            yield Static(
                "An empty field stays as it is. The config file is left alone.", markup=False
            )
            yield self.problem()

    @on(Input.Submitted)
    def _send(self, event: Input.Submitted) -> None:
        event.stop()
        values = {field.id or "": field.value for field in self.query(Input)}
        self.take(lambda: parse_change(values))


def parse_change(values: dict[str, str]) -> dict[str, float | int]:
    """What was typed as numbers; BadInput for what is none, or no sensible one."""
    change: dict[str, float | int] = {}
    rate, steps = values.get("learning_rate", "").strip(), values.get("logging_steps", "").strip()
    if rate:
        try:
            number = float(rate)
        except ValueError:
            number = math.nan
        if not (0 < number < math.inf):
            raise BadInput(f"{rate!r} is no learning rate: write a number above 0, such as 1e-5")
        change["learning_rate"] = number
    if steps:
        if not steps.isdecimal() or int(steps) < 1:
            raise BadInput(f"{steps!r} is no number of steps: write 1 or more")
        change["logging_steps"] = int(steps)
    return change


class ShowText(Modal[None]):
    """A text too large for its pane; scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close", key_display="esc"),
        *SCROLL,
    ]

    def __init__(self, title: str, text: Content, closing: str = "esc closes") -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._way_out = closing

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog wide") as dialog:
            dialog.border_title = Content(inert(self._title, one_line=True))
            dialog.border_subtitle = self._way_out
            yield Static(self._text, markup=False)


class TypeToConfirm(Form[bool]):
    """What can't be undone: the word has to be typed."""

    def __init__(self, question: str, detail: str, word: str) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._word = word

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(inert(self._question, one_line=True))
            dialog.border_subtitle = "enter accepts, esc cancels"
            yield Static(inert(self._detail), markup=False)
            yield Static(
                Content.assemble("type ", (inert(self._word, one_line=True), "bold"), " to do it"),
            )
            yield self.field()
            yield self.problem()

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self._word:
            self.dismiss(True)
        else:
            self.complain(f"that is not {self._word}: nothing was done")
