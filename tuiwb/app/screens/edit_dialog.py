"""A row's record to edit in place: JSON, saved only when it reads as a row."""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.modal import Modal
from tuiwb.data.editing import parse_edit
from tuiwb.errors import BadInput
from tuiwb.text import inert


class EditRecord(Modal[dict[str, Any] | None]):
    """Gives the edited record; None when nothing is to change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", priority=True),
        Binding("escape", "give_up", "Cancel", priority=True),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide") as dialog:
            dialog.border_title = Content(inert(self._title, one_line=True))
            dialog.border_subtitle = "ctrl+s saves, esc leaves the row as it is"
            yield TextArea(self._text, soft_wrap=True, show_line_numbers=True, id="record")
            yield Static("", id="problem", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.cursor_blink = False
        area.focus()

    def action_save(self) -> None:
        """Close with the record, or say what is wrong with it."""
        text = self.query_one(TextArea).text
        if text == self._text:
            self.dismiss(None)
            return
        try:
            self.dismiss(parse_edit(text))
        except BadInput as error:
            self.query_one("#problem", Static).update(
                Content.assemble(("✗ ", "$text-error"), inert(str(error)))
            )

    def action_give_up(self) -> None:
        """Close without a change; what was typed is not dropped unasked."""
        if self.query_one(TextArea).text == self._text:
            self.dismiss(None)
            return

        def answer(drop: bool | None) -> None:
            if drop:
                self.dismiss(None)

        question = Confirm("Drop what you changed?", "n goes back to it: there ctrl+s saves")
        self.app.push_screen(question, answer)
