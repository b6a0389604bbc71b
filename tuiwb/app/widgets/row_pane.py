"""The pane that shows one row: its conversation, or its tokens made by the sidecar."""

import threading
from collections.abc import Sequence

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from tuiwb.app.widgets.row_view import conversation_content, counts_line, rendered_content
from tuiwb.data.checks import MAX_LENGTH
from tuiwb.data.checks.finding import Finding
from tuiwb.data.render import Rendered, Sidecar
from tuiwb.data.rows import Row
from tuiwb.errors import TuiwbError
from tuiwb.text import inert


class RowPane(VerticalScroll):
    """Shows a row; starts the tokenizer process when tokens are first asked for."""

    class Made(Message):
        """A row was rendered, or could not be."""

        def __init__(self, row: Row, rendered: Rendered | None, problem: str) -> None:
            super().__init__()
            self.row, self.rendered, self.problem = row, rendered, problem

    def __init__(self, model: str | None, python: str | None) -> None:
        super().__init__(id="read", classes="panel")
        self.border_title = "Row"
        self.tokens = False
        self._model = model
        self._sidecar = Sidecar(python)
        self._turn = threading.Lock()
        self._row: Row | None = None
        self._findings: Sequence[Finding] = ()
        self._painted: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="row", markup=False)

    def on_unmount(self) -> None:
        """The tokenizer process is needed no more."""
        self._sidecar.close()

    def show(self, row: Row, findings: Sequence[Finding]) -> None:
        """Show another row, or the same with other findings."""
        self._row, self._findings = row, findings
        if self.tokens and row.shape != "broken":
            self._ask_for_tokens(row)
        else:
            self._head(row.format)
            self._paint(conversation_content(row, findings))

    def toggle_tokens(self) -> None:
        """Conversation to tokens and back."""
        self.tokens = not self.tokens
        if self._row is not None:
            self.show(self._row, self._findings)

    def say(self, words: str, problem: bool = False) -> None:
        """Show a sentence instead of a row."""
        self._row = None
        self.border_title = "Row"
        self._sentence(words, problem)

    def _sentence(self, words: str, problem: bool = False) -> None:
        mark = ("✗ ", "$text-error") if problem else ""
        self._paint(Content.assemble(mark, inert(words)))

    def _head(self, words: str) -> None:
        if self._row is not None:
            place = f"Row {self._row.index:,}  line {self._row.line:,}"
            self.border_title = Content(f"{place}  {words}")

    def _paint(self, content: Content) -> None:
        painted = (content.plain, tuple(content.spans))
        if painted != self._painted:
            self._painted = painted
            self.query_one("#row", Static).update(content)
            self.scroll_home(animate=False)

    def _ask_for_tokens(self, row: Row) -> None:
        self._head(row.format)
        if self._model is None:
            self._sentence("no base_model in tuiwb.yaml: set it to see a row as tokens")
            return
        if not self._sidecar.has(self._model):
            self._sentence(f"loading the tokenizer of {self._model} …")
        self._make_tokens(self._model, row)

    @work(thread=True, exclusive=True, exit_on_error=False, group="tokens")
    def _make_tokens(self, model: str, row: Row) -> None:
        with self._turn:
            if get_current_worker().is_cancelled:
                return
            try:
                rendered = self._sidecar.render(model, row, MAX_LENGTH)
                self.post_message(self.Made(row, rendered, ""))
            except TuiwbError as error:
                self.post_message(self.Made(row, None, str(error)))

    @on(Made)
    def _show_made(self, message: Made) -> None:
        if not self.tokens or message.row is not self._row:
            return
        if message.rendered is None:
            self._sentence(message.problem, problem=True)
            return
        made, other = message.rendered, message.rendered.other
        words = counts_line(made)
        if other is not None:
            words = f"{made.part} {made.total} tokens, {other.part} {other.total} tokens"
        self._head(words)
        self._paint(rendered_content(message.rendered, self._findings))
