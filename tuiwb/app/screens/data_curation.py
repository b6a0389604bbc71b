"""What a person does to rows on the Data screen: mark, edit, undo, review, make a version."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message

from tuiwb.app import keys
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.screens.edit_dialog import EditRecord, left_for_editor, saved
from tuiwb.data.checks.finding import Finding
from tuiwb.data.editing import edit_text
from tuiwb.data.formats import to_row
from tuiwb.data.marks import Marks
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, TuiwbError, on_screen

if TYPE_CHECKING:
    from tuiwb.data.read import Dataset

SAMPLE = 50
DRAWING, LONGEST = "drawing the sample …", 600.0  # seconds it stands there, if it takes that long
VERDICT_WORDS = {"accept": "ok", "reject": "no"}


class CurationActions(WorkbenchScreen):
    """Mixed into the Data screen, which says what is open, what is current, and repaints."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown("d", "mark('drop')", "Drop", "mark the row drop; again takes it away"),
        keys.known("h", "mark('hard')", "Hard", "mark it hard: such rows can be repeated"),
        keys.known("y", "mark('keep')", "Keep", "mark it keep: never left out"),
        keys.known("e", "edit", "Edit", "edit the row; the edit is kept beside the file"),
        keys.known("E", "editor", "Edit in $EDITOR", "edit the row in $EDITOR"),
        keys.known("u", "undo", "Undo", "take the last mark or edit back"),
        keys.known("U", "redo", "Redo", "do again what was taken back"),
        keys.shown("r", "review", "Review", "accept or reject rows of a sample, one by one"),
    ]

    class Sampled(Message):
        """The rows of a review were drawn."""

        def __init__(self, dataset: "Dataset", rows: list[int]) -> None:
            super().__init__()
            self.dataset, self.rows = dataset, rows

    _marks: Marks | None = None

    def open_marks(self, path: Path, dataset: "Dataset | None" = None) -> None:
        """The marks of the dataset that is shown now; a sample of the one before is none of it."""
        self._drawn()
        try:
            self._marks = Marks(path, dataset)
        except TuiwbError as error:
            self._marks = None
            self.notify(str(error), severity="error", markup=False)

    def mark_of(self, row: Row) -> tuple[str | None, str | None, bool]:
        """A row's flag, its verdict, and whether it was edited."""
        if self._marks is None:
            return None, None, False
        state = self._marks.state(row)
        return state.flag, state.verdict, state.record is not None

    def mark_words(self, row: Row) -> str:
        """A row's flag and verdict, "hard ok", and a pencil where it was edited."""
        flag, verdict, edited = self.mark_of(row)
        words = " ".join(filter(None, (flag, VERDICT_WORDS.get(verdict or ""))))
        return words + ("✎" if edited else "")

    def mark_counts(self) -> Mapping[str, int]:
        """Rows by mark."""
        return self._marks.counts() if self._marks is not None else {}

    def as_edited(self, row: Row) -> Row:
        """The row with its edit applied."""
        state = self._marks.state(row) if self._marks is not None else None
        if state is None or state.record is None:
            return row
        edited = to_row(state.record, row.file, row.index, row.line)
        return row if edited.shape == "broken" else edited

    # What the Data screen gives.

    def open_dataset_here(self) -> "Dataset | None":
        """The dataset that is shown."""
        raise NotImplementedError

    def findings_by_row(self) -> Mapping[int, Sequence[Finding]]:
        """What the newest check found."""
        raise NotImplementedError

    def current_row(self) -> Row | None:
        """The row under the cursor as it stands in the file."""
        raise NotImplementedError

    def marks_changed(self) -> None:
        """Paint the marks again."""
        raise NotImplementedError

    def next_row(self) -> None:
        """Move the cursor one row on."""
        raise NotImplementedError

    def refuse(self) -> None:
        """Say why there is no row with which something could be done."""
        raise NotImplementedError

    # Keys

    def action_mark(self, mark: str) -> None:
        """Flag the row and go on to the next; the same flag again takes it away, no verdict."""
        row = self.current_row()
        if row is None:
            self.refuse()
        if row is None or self._marks is None:
            return
        before, _verdict, _edited = self.mark_of(row)
        try:
            if before == mark:
                self._marks.unflag(row)
            else:
                self._marks.mark(row, mark)
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.marks_changed()
        if before != mark:
            self.next_row()

    def action_undo(self) -> None:
        """Take the last mark or edit back."""
        self._step("undo")

    def action_redo(self) -> None:
        """Do again what was undone."""
        self._step("redo")

    def _step(self, kind: str) -> None:
        if self._marks is None:
            return
        try:
            entries = self._marks.undo() if kind == "undo" else self._marks.redo()
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if not entries:
            self.notify(f"nothing to {kind}", markup=False)
            return
        rows = ", ".join(str(entry.row) for entry in entries[:4])
        self.notify(f"{kind}: row {rows}", markup=False)
        self.marks_changed()

    def action_edit(self) -> None:
        """Edit the row's record in place."""
        row = self.current_row()
        if row is None:
            self.refuse()
        elif self._marks is not None:
            self._edit(row)

    def action_editor(self) -> None:
        """Edit the row's record in the user's own editor; what can't be saved is edited on here."""
        row, marks = self.current_row(), self._marks
        if row is None:
            self.refuse()
        if row is None or marks is None:
            return
        shown = self.as_edited(row)
        text = edit_text(shown)
        typed, problem = left_for_editor(self.app, text)
        if typed == text:
            if problem is not None:
                self.notify(str(problem), severity="error", markup=False)
            return
        try:
            if problem is not None:
                raise problem
            if saved(typed, shown, lambda record: marks.edit(row, record)):
                self.marks_changed()
        except TuiwbError as error:
            self._edit(row, typed, error)

    def _edit(self, row: Row, typed: str | None = None, problem: TuiwbError | None = None) -> None:
        marks = self._marks
        assert marks is not None

        def done(changed: bool | None) -> None:
            if changed:
                self.marks_changed()

        title = f"Row {row.index:,}, its record"
        shown = self.as_edited(row)
        dialog = EditRecord(title, shown, lambda record: marks.edit(row, record), typed, problem)
        self.app.push_screen(dialog, done)

    @work
    async def action_review(self) -> None:
        """Draw a sample of rows and walk through it."""
        dataset = self.open_dataset_here()
        if dataset is None:
            self.refuse()
        if dataset is None or self._marks is None:
            return
        if not dataset.complete:
            self.notify("the file is still being indexed: a moment", markup=False)
            return
        size = await self.app.push_screen_wait(
            Ask("Review how many rows?", _sample_size, str(min(SAMPLE, len(dataset))),
                "drawn by chance, the same rows each time; what was reviewed is passed over")
        )  # fmt: skip
        if size is not None:
            self.notify(DRAWING, markup=False, timeout=LONGEST)
            self._draw(dataset, size)

    @work(thread=True, exclusive=True, exit_on_error=False, group="sample")
    def _draw(self, dataset: "Dataset", size: int) -> None:
        from tuiwb.data.review import sample

        try:
            self.post_message(self.Sampled(dataset, sample(dataset, size)))
        except (TuiwbError, OSError) as error:
            said = f"no sample could be drawn: {on_screen(error)}"
            self.app.call_from_thread(self.notify, said, severity="error", markup=False)
        finally:
            self._drawn()

    def _drawn(self) -> None:
        """Nothing is being drawn any more."""
        # Behind the toast itself, which may not be up yet.
        self.app.call_later(self.workbench.take_back, DRAWING)

    @on(Sampled)
    def _walk(self, message: Sampled) -> None:
        from tuiwb.app.screens.review import ReviewScreen

        if message.dataset is self.open_dataset_here() and self._marks is not None:
            screen = ReviewScreen(
                message.dataset, self._marks, message.rows, self.findings_by_row()
            )
            self.app.push_screen(screen, lambda _answer: self.marks_changed())


def _sample_size(said: str) -> int:
    digits = said.strip().replace(",", "")
    if not digits.isdecimal() or len(digits) > 12 or int(digits) == 0:
        raise BadInput(f"{said.strip()!r} is no number of rows: give 1 or more, for example 50")
    return int(digits)
