"""A row's record to edit, here or in $EDITOR: JSON, saved only when it reads as a row."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import App, ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.modal import Modal
from tuiwb.data.editing import (
    EditorFailed,
    NotARow,
    diff,
    edit_in_editor,
    edit_text,
    parse_edit,
    visible,
)
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.text import inert

Save = Callable[[dict[str, Any]], None]


def left_for_editor(app: App[None], text: str) -> tuple[str, TuiwbError | None]:
    """The text as the user's own editor left it, and what went wrong, if anything did."""
    try:
        with app.suspend():
            left = edit_in_editor(text)
        return visible(left), None
    except EditorFailed as error:
        return visible(error.text), error
    except SuspendNotSupported:
        return text, BadInput("this terminal can't be left for an editor: e edits here")
    except TuiwbError as error:
        return text, error
    finally:
        app.refresh()


def saved(text: str, row: Row, save: Save) -> bool:
    """Save the record a text holds unless it is the row's own: whether it was saved. The error says
    why it can't be."""
    record = parse_edit(text)
    if not diff(row, record):
        return False
    save(record)
    return True


class EditRecord(Modal[bool]):
    """Gives whether the row, as it is shown, was saved: it is not where its record stays the same.
    What can't be saved stays here with the reason: `typed` is what was typed elsewhere already,
    `problem` why that could not be saved."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", priority=True),
        Binding("ctrl+o", "editor", "$EDITOR", priority=True),
        Binding("escape", "give_up", "Cancel", priority=True),
    ]

    def __init__(
        self,
        title: str,
        row: Row,
        save: Save,
        typed: str | None = None,
        problem: TuiwbError | None = None,
    ) -> None:
        super().__init__()
        self._title, self._row, self._text, self._save = title, row, edit_text(row), save
        self._typed, self._problem = typed, problem

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide") as dialog:
            dialog.border_title = Content(inert(self._title, one_line=True))
            dialog.border_subtitle = "ctrl+s saves, ctrl+o to $EDITOR, esc leaves the row as it is"
            text = self._text if self._typed is None else self._typed
            yield TextArea(text, soft_wrap=True, show_line_numbers=True, id="record")
            yield Static("", id="problem", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.cursor_blink = False
        area.focus()
        if self._problem is not None:
            self._complain(self._problem)

    def action_save(self) -> None:
        """Close, the row saved if it was changed; or say why it can't be saved."""
        text = self.query_one(TextArea).text
        if text == self._text:
            self.dismiss(False)
            return
        try:
            self.dismiss(saved(text, self._row, self._save))
        except TuiwbError as problem:
            self._complain(problem)

    def action_editor(self) -> None:
        """Go on in the user's own editor; what was changed there is saved, or stands here."""
        area = self.query_one(TextArea)
        typed, problem = left_for_editor(self.app, area.text)
        changed = typed != visible(area.text)
        if changed:
            area.replace(typed, (0, 0), area.document.end)
        if problem is not None:
            self._complain(problem)
        elif changed:
            self.action_save()

    def action_give_up(self) -> None:
        """Close without a change; what was typed is not dropped unasked."""
        if self.query_one(TextArea).text == self._text:
            self.dismiss(False)
            return

        def answer(drop: bool | None) -> None:
            if drop:
                self.dismiss(False)

        question = Confirm("Drop what you changed?", "n goes back to it: there ctrl+s saves")
        self.app.push_screen(question, answer)

    def _complain(self, problem: TuiwbError) -> None:
        self.query_one("#problem", Static).update(
            Content.assemble(("✗ ", "$text-error"), inert(str(problem)))
        )
        if isinstance(problem, NotARow):
            place = (problem.line - 1, problem.column - 1)
            self.query_one(TextArea).move_cursor(place, center=True)
