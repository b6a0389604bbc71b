"""Walk through a sample of rows: accept, reject or edit each; verdicts are marks, kept at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuiwb.app.screens.edit_dialog import EditRecord
from tuiwb.app.widgets.modal import Modal
from tuiwb.app.widgets.row_view import conversation_content
from tuiwb.data.checks.finding import Finding
from tuiwb.data.formats import to_row
from tuiwb.data.marks import Marks
from tuiwb.data.read import Dataset
from tuiwb.data.review import wilson
from tuiwb.data.rows import Row
from tuiwb.errors import TuiwbError
from tuiwb.text import inert


class ReviewScreen(Modal[None]):
    """Rows of a sample in its order; those that have a verdict already are passed over."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "verdict('accept')", "Accept"),
        Binding("r", "verdict('reject')", "Reject"),
        Binding("e", "edit", "Edit and accept"),
        Binding("s,right", "step(1)", "Skip"),
        Binding("left", "step(-1)", "Back"),
        Binding("u", "undo", "Undo"),
        Binding("j,down", "scroll(3)", show=False),
        Binding("k,up", "scroll(-3)", show=False),
        Binding("escape,q", "leave", "Leave"),
    ]

    def __init__(
        self,
        dataset: Dataset,
        marks: Marks,
        rows: Sequence[int],
        findings: Mapping[int, Sequence[Finding]],
    ) -> None:
        super().__init__()
        self._dataset, self._marks, self._rows = dataset, marks, rows
        self._findings = findings
        self._at = 0

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Static("", id="progress", markup=False)
            with VerticalScroll(id="reviewed", can_focus=False):
                yield Static("", id="row", markup=False)
            yield Static(
                "a accept  r reject  e edit and accept  s skip  ← back  u undo  esc leave",
                markup=False,
                classes="muted",
            )

    def on_mount(self) -> None:
        self._at = self._next_open(0)
        self._paint()

    def _row(self) -> Row | None:
        return self._dataset.row(self._rows[self._at]) if self._at < len(self._rows) else None

    def _next_open(self, at: int) -> int:
        """The first row from `at` on that has no verdict."""
        while at < len(self._rows) and self._verdict(at) is not None:
            at += 1
        return at

    def _verdict(self, at: int) -> str | None:
        return self._marks.state(self._dataset.row(self._rows[at])).verdict

    def _paint(self) -> None:
        verdicts = [self._verdict(at) for at in range(len(self._rows))]
        accepted, rejected = verdicts.count("accept"), verdicts.count("reject")
        done = accepted + rejected
        words = f"{done} of {len(self._rows)} reviewed, {accepted} accepted, {rejected} rejected"
        if done:
            low, high = wilson(accepted, done)
            words += f"; acceptance {accepted / done:.0%}, 95% interval {low:.0%} to {high:.0%}"
        self.query_one("#progress", Static).update(words)
        self.query_one(Vertical).border_title = "Review"
        row = self._row()
        body = self.query_one("#row", Static)
        if row is None:
            body.update("The sample is through: esc leaves.")
            return
        state = self._marks.state(row)
        shown = row
        if state.record is not None:
            shown = to_row(state.record, row.file, row.index, row.line)
        words = " ".join(filter(None, (state.flag, state.verdict)))
        mark = f"  [{words}]" if words else ""
        head = f"Row {row.index:,}  line {row.line:,}  {row.format}{mark}\n\n"
        found = self._findings.get(row.index, ())
        said = conversation_content(shown, found, edited=shown is not row)
        body.update(Content.assemble((inert(head), "bold"), said))
        self.query_one("#reviewed", VerticalScroll).scroll_home(animate=False)

    def action_verdict(self, mark: str) -> None:
        """Keep the verdict and go on."""
        row = self._row()
        if row is not None and self._try(lambda: self._marks.mark(row, mark)):
            self._at = self._next_open(self._at + 1)
            self._paint()

    @work
    async def action_edit(self) -> None:
        """Change the row; saving it accepts it."""
        row = self._row()
        if row is None:
            return
        state = self._marks.state(row)
        shown = to_row(state.record, row.file, row.index, row.line) if state.record else row

        def save(record: dict[str, Any]) -> None:
            self._marks.edit(row, record, mark="accept")

        dialog = EditRecord(f"Row {row.index:,}", shown, save)
        if await self.app.push_screen_wait(dialog):
            self._at = self._next_open(self._at + 1)
            self._paint()

    def action_step(self, by: int) -> None:
        """Leave the row as it is; or look at the one before again."""
        self._at = max(0, min(len(self._rows), self._at + by))
        self._paint()

    def action_undo(self) -> None:
        """Take the last verdict back and show its row."""
        try:
            entries = self._marks.undo()
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if not entries:
            self.notify("nothing to undo", markup=False)
        for entry in entries:
            if entry.row in self._rows:
                self._at = self._rows.index(entry.row)
            else:
                self.notify(f"undo: row {entry.row:,}, which is not of this sample", markup=False)
        self._paint()

    def action_scroll(self, by: int) -> None:
        """Read on."""
        self.query_one("#reviewed", VerticalScroll).scroll_relative(y=by, animate=False)

    def action_leave(self) -> None:
        """Back to the rows; what was said is kept."""
        self.dismiss(None)

    def _try(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return False
        return True
