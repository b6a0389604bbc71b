"""Small questions before something happens."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tuiwb.app.widgets.modal import Modal
from tuiwb.text import inert


class Confirm(Modal[bool]):
    """Yes or no; `y` and enter say yes, `n` and escape no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str, detail: str = "") -> None:
        super().__init__()
        self._question = question
        self._detail = detail

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(inert(self._question, one_line=True))
            if self._detail:
                yield Static(inert(self._detail), markup=False)
            yield Static(
                Content.assemble(("y", "bold $accent"), " yes    ", ("n", "bold $accent"), " no")
            )

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


class Ask(Modal[str | None]):
    """A line of text; escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Cancel")]

    def __init__(self, question: str, value: str = "", detail: str = "") -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._detail = detail

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(inert(self._question, one_line=True))
            dialog.border_subtitle = "enter accepts, esc cancels"
            field = Input(self._value, compact=True)
            field.cursor_blink = False
            yield field
            if self._detail:
                yield Static(inert(self._detail), markup=False, classes="muted")

    @on(Input.Submitted)
    def _accept(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Pick(Modal[int | None]):
    """One of several; escape gives None, else the index."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Cancel")]

    def __init__(self, question: str, choices: list[str], highlighted: int = 0) -> None:
        super().__init__()
        self._question = question
        self._choices = choices
        self._highlighted = highlighted

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(inert(self._question, one_line=True))
            dialog.border_subtitle = "enter chooses, esc cancels"
            menu = OptionList(
                *(Option(inert(c, one_line=True)) for c in self._choices), markup=False
            )
            menu.highlighted = self._highlighted
            yield menu

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option_index)

    def action_give_up(self) -> None:
        """Close without a choice."""
        self.dismiss(None)
