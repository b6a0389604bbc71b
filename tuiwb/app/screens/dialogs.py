"""Small questions before something happens."""

from collections.abc import Callable
from typing import ClassVar, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from tuiwb.app.widgets.menu import Choices
from tuiwb.app.widgets.modal import Modal
from tuiwb.errors import TuiwbError, on_screen
from tuiwb.text import inert

T = TypeVar("T")


class Confirm(Modal[bool]):
    """Yes or no; `y` says yes, `n` and escape no. Enter, pressed out of habit, says nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
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


class Form(Modal[T | None]):
    """A dialog in which something is typed. It closes with values that can be; what can't be is
    said in it, and what was typed stays, with the cursor in it. Escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Cancel")]
    DEFAULT_CSS = """
    Form #problem { display: none; }
    Form #problem.-said { display: block; }
    """

    class Taken(Message):
        """What was typed was looked at in a thread: the value, or the sentence against it."""

        def __init__(self, value: object, problem: str) -> None:
            super().__init__()
            self.value, self.problem = value, problem

    def __init__(self) -> None:
        super().__init__()
        self._looking = False

    def field(self, value: str = "", *, name: str | None = None, hint: str = "") -> Input:
        """A line to type in."""
        field = Input(value, placeholder=hint, compact=True, id=name)
        field.cursor_blink = False
        return field

    def problem(self) -> Static:
        """Where it is said what can't be; to be composed once."""
        return Static("", id="problem", markup=False)

    def take(self, value: Callable[[], T]) -> None:
        """Close with the value; the error it raises is said here instead."""
        try:
            taken = value()
        except (TuiwbError, OSError) as error:
            self.complain(on_screen(error))
        else:
            self.dismiss(taken)

    def take_later(self, value: Callable[[], T]) -> None:
        """The same, for what takes a while to be looked at: in a thread."""
        if not self._looking:
            self._looking = True
            self._say(Content.styled("looking …", "$foreground 60%"))
            self._look(value)

    @work(thread=True, exit_on_error=False, group="form")
    def _look(self, value: Callable[[], T]) -> None:
        try:
            self.post_message(self.Taken(value(), ""))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Taken(None, on_screen(error)))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A look that ended in an error nobody foresaw says so; another one can be taken."""
        if event.state is WorkerState.ERROR:
            self._looking = False
            error = event.worker.error
            said = " ".join(str(error).split())[:200]
            self.complain(f"it could not be looked at ({type(error).__name__}: {said})")

    @on(Taken)
    def _take(self, message: Taken) -> None:
        self._looking = False
        if message.problem:
            self.complain(message.problem)
        else:
            self.dismiss(message.value)  # type: ignore[arg-type]

    def complain(self, sentence: str) -> None:
        """Say what can't be."""
        self._say(Content.assemble(("✗ ", "$text-error"), inert(sentence)))

    def _say(self, words: Content) -> None:
        line = self.query_one("#problem", Static)
        line.update(words)
        line.set_class(bool(words.plain), "-said")

    @on(Input.Changed)
    def _typed_on(self) -> None:
        if not self._looking:
            self._say(Content(""))

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Ask(Form[T]):
    """A line of text, which `read` makes a value of; an error it raises is said in the dialog."""

    def __init__(
        self, question: str, read: Callable[[str], T], value: str = "", detail: str = ""
    ) -> None:
        super().__init__()
        self._question = question
        self._read = read
        self._value = value
        self._detail = detail

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(inert(self._question, one_line=True))
            dialog.border_subtitle = "enter accepts, esc cancels"
            yield self.field(self._value)
            if self._detail:
                yield Static(inert(self._detail), markup=False, classes="muted")
            yield self.problem()

    @on(Input.Submitted)
    def _accept(self, event: Input.Submitted) -> None:
        event.stop()
        self.take(lambda: self._read(event.value))


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
            menu = Choices(*(Option(inert(c, one_line=True)) for c in self._choices), markup=False)
            menu.highlighted = self._highlighted
            yield menu

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option_index)

    def action_give_up(self) -> None:
        """Close without a choice."""
        self.dismiss(None)
