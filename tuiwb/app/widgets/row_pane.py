"""The pane that shows one row: its conversation, its tokens, or two templates side by side."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from tuiwb.app.widgets.audit_view import audit_content
from tuiwb.app.widgets.row_view import conversation_content, counts_line, rendered_content
from tuiwb.app.widgets.template_view import compared_contents
from tuiwb.data.checks import MAX_LENGTH
from tuiwb.data.checks.finding import Finding
from tuiwb.data.render import Rendered, Sidecar
from tuiwb.data.rows import Row
from tuiwb.errors import TuiwbError
from tuiwb.text import inert


class RowPane(VerticalScroll):
    """Shows a row; asks for the model and starts the tokenizer process when tokens are first asked
    for."""

    class Made(Message):
        """A row was rendered by one model or two, or could not be."""

        def __init__(
            self,
            row: Row,
            rendered: list[Rendered],
            problem: str,
            beside: tuple[Content, Content, Content] | None = None,
        ) -> None:
            super().__init__()
            self.row, self.rendered, self.problem = row, rendered, problem
            self.beside = beside

    def __init__(self, model: Callable[[], str | None], python: str | None) -> None:
        super().__init__(id="read", classes="panel")
        self.border_title = "Row"
        self.tokens = False
        self.comparing = False
        self.mixed = False  # prompts beside chats: the trainer makes chats of them
        self.other_model: str | None = None
        self._model_of = model
        self._model: str | None = None
        self._sidecar = Sidecar(python)
        self._turn = threading.Lock()
        self._row: Row | None = None
        self._findings: Sequence[Finding] = ()
        self._mark = ""
        self._edited = False
        self._audit: Mapping[str, Any] | None = None
        self._painted: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="row", markup=False)
        with Horizontal(id="beside"):
            yield Static(id="one", markup=False)
            yield Static(id="other", markup=False)

    def on_unmount(self) -> None:
        """The tokenizer process is needed no more."""
        self._sidecar.close()

    def show(
        self, row: Row, findings: Iterable[Finding], mark: str = "", *, edited: bool = False
    ) -> None:
        """Show another row, or the same with other findings or another mark; of one that was edited
        what was found in it before."""
        self._row, self._findings, self._mark = row, list(findings), mark
        self._edited = edited
        self._audit = None
        if (self.tokens or self.comparing) and row.shape != "broken":
            self._ask_for_tokens(row)
        else:
            self._head(row.format)
            self._paint(conversation_content(row, self._findings, edited=edited))

    def toggle_tokens(self) -> None:
        """Conversation to tokens and back."""
        self.tokens = not (self.tokens or self.comparing)
        self.comparing = False
        self._model = None  # a config that was written since may name it
        self._again()

    def compare_with(self, model: str | None) -> None:
        """Set the row beside itself in `model`'s template; None ends that."""
        self.comparing = model is not None
        self.other_model = model or self.other_model
        self._again()

    def toggle_audit(self, audit: Mapping[str, Any]) -> None:
        """What a check counted over the whole file, or the row again."""
        if self.leave_audit():
            return
        self._audit = audit
        self.border_title = "Audit of the whole file"
        self._paint(audit_content(audit))

    def leave_audit(self) -> bool:
        """The row again where the audit stood; whether it did."""
        stood = self._audit is not None
        if stood:
            self._again()
        return stood

    def _again(self) -> None:
        self._audit = None
        if self._row is not None:
            self.show(self._row, self._findings, self._mark, edited=self._edited)

    def say(self, words: str, problem: bool = False) -> None:
        """Show a sentence instead of a row."""
        self._row = None
        self._audit = None
        self.border_title = "Row"
        self._sentence(words, problem)

    def _sentence(self, words: str, problem: bool = False) -> None:
        mark = ("✗ ", "$text-error") if problem else ""
        self._paint(Content.assemble(mark, inert(words)))

    def _head(self, words: str) -> None:
        if self._row is not None:
            place = f"Row {self._row.index:,}  line {self._row.line:,}"
            mark = f"  [{self._mark}]" if self._mark else ""
            self.border_title = Content(f"{place}  {words}{mark}")

    def _paint(self, content: Content, beside: tuple[Content, Content] | None = None) -> None:
        both = beside or (Content(""), Content(""))
        painted = tuple((c.plain, tuple(c.spans)) for c in (content, *both))
        if painted != self._painted:
            self._painted = painted
            self.query_one("#row", Static).update(content)
            self.query_one("#beside").display = beside is not None
            for name, side in zip(("#one", "#other"), both, strict=True):
                self.query_one(name, Static).update(side)
            self.scroll_home(animate=False)

    def _ask_for_tokens(self, row: Row) -> None:
        self._head(row.format)
        self._model = self._model or self._model_of()
        if self._model is None:
            self._sentence(
                "no base model is here: make a config of one (3), or set base_model in tuiwb.yaml, "
                "to see a row as tokens"
            )
            return
        models = [self._model]
        if self.comparing and self.other_model:
            models.append(self.other_model)
        missing = next((m for m in models if not self._sidecar.has(m)), None)
        if missing is not None:
            self._sentence(f"loading the tokenizer of {missing} …")
        self._make_tokens(models, row)

    @work(thread=True, exclusive=True, exit_on_error=False, group="tokens")
    def _make_tokens(self, models: list[str], row: Row) -> None:
        with self._turn:
            if get_current_worker().is_cancelled:
                return
            try:
                made = [
                    self._sidecar.render(model, row, MAX_LENGTH, as_chat=self.mixed)
                    for model in models
                ]
                # Aligning two long rows takes seconds: not on the UI's thread.
                beside = (
                    compared_contents(row, made[0], made[1], models) if len(made) == 2 else None
                )
                self.post_message(self.Made(row, made, "", beside))
            except TuiwbError as error:
                self.post_message(self.Made(row, [], str(error)))

    @on(Made)
    def _show_made(self, message: Made) -> None:
        wanted = 2 if self.comparing else 1
        showing = self.tokens or self.comparing
        if not showing or self._audit is not None or message.row is not self._row:
            return
        if not message.rendered:
            self._sentence(message.problem, problem=True)
        elif len(message.rendered) == wanted == 2:
            self._head("two templates")
            if message.beside is not None:
                top, one, two = message.beside
                self._paint(top, (one, two))
        elif len(message.rendered) == wanted:
            made, other = message.rendered[0], message.rendered[0].other
            words = counts_line(made)
            if other is not None:
                words = f"{made.part} {made.total} tokens, {other.part} {other.total} tokens"
            self._head(words)
            self._paint(rendered_content(made, self._findings, edited=self._edited))
