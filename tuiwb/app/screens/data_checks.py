"""Checks on the Data screen: start one, follow it, go through what the newest one found."""

from pathlib import Path

from textual import on, work
from textual.content import Content
from textual.message import Message

from tuiwb import jobs
from tuiwb.app import checking
from tuiwb.app.rows_view import RowsView
from tuiwb.app.screens.data_versions import VersionActions
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.data.read import Dataset
from tuiwb.data.reports import Summary
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.text import inert


class CheckActions(VersionActions):
    """Mixed into the Data screen, which makes these and repaints."""

    _path: Path | None
    _dataset: Dataset | None
    _table: VirtualTable
    _pane: RowPane
    _view: RowsView
    _checked: checking.Checked | None
    _report_folder: Path | None
    _unread = False  # the file could not be opened
    _no_report = ""  # why the facets are empty, as it was said last

    class Checked(Message):
        """The newest report about a dataset was read."""

        def __init__(self, path: Path, folder: Path, read: checking.Checked) -> None:
            super().__init__()
            self.path, self.folder, self.read = path, folder, read

    # What the Data screen gives.

    def _show_rows(self, keep: int | None = None, quiet: bool = False) -> None:
        raise NotImplementedError

    def _show_facets(self) -> None:
        raise NotImplementedError

    def _current_number(self) -> int | None:
        raise NotImplementedError

    def _summary(self) -> Summary | None:
        return self._checked.summary if self._checked is not None else None

    @work
    async def action_check(self) -> None:
        """Check the whole dataset as a job; while one runs, ask whether to stop it."""
        if self._path is None or self._dataset is None:
            self.refuse()
            return
        running = checking.running(self.workbench.jobs, self._path)
        if running is not None:
            if await self.app.push_screen_wait(Confirm("Stop the check that is running?")):
                jobs.send(running, "stop")
            return
        try:
            checking.start(self.project, self._path)
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._table.border_subtitle = "check: starting"
        self.workbench.read_jobs()

    def _look_at_checks(self, jobs: dict[Path, JobState]) -> None:
        if self._path is None or self._dataset is None:
            return  # a file that can't be opened can't be checked either
        if (words := checking.no_report_words(jobs, self._path)) != self._no_report:
            self._no_report = words
            self._show_facets()
        state = checking.latest(jobs, self._path)
        if state is None:
            self._say_check("c checks this file")
            return
        folder, job = state
        if job.running:
            self._say_check(checking.progress_words(job))
        elif job.state != "finished":
            self._say_check(f"check {job.word}: {job.message}")
        elif folder != self._report_folder:
            self._load_report(self._path, folder)

    def _say_check(self, words: str) -> None:
        content = Content(inert(words, one_line=True))
        if str(self._table.border_subtitle) != content.plain:
            self._table.border_subtitle = content

    @work(thread=True, exclusive=True, exit_on_error=False, group="report")
    def _load_report(self, path: Path, folder: Path) -> None:
        self.post_message(self.Checked(path, folder, checking.report_of(folder, path)))

    @on(Checked)
    def _show_checked(self, message: Checked) -> None:
        if message.path != self._path or message.folder == self._report_folder:
            return
        self._checked, self._report_folder = message.read, message.folder
        self._view.report(message.read.found, message.read.columns)
        self._say_check(checking.summary(message.read))
        self._show_rows(self._current_number())
        self._show_facets()

    def _why_no_report(self) -> str:
        """Why nothing is known of what a check finds here, and what to do."""
        if self._path is None or self._unread:
            return ""
        return checking.no_report_words(self.workbench.jobs, self._path)

    def _why_empty(self) -> str:
        """Why no row is shown, and what to do."""
        if self._view.query.found and self._summary() is None:
            return f"{self._why_no_report()}; esc clears the filter"
        return "no rows match: esc clears the filter"

    def refuse(self) -> None:
        """Say why there is no row with which something could be done."""
        if self._path is None:
            why = "no datasets yet: put .jsonl, .json, .csv or .parquet in data/"
        elif self._unread:
            name = self.project.shorten(self._path)
            why = f"{name} has no rows that can be read: ] goes to another file"
        elif self._dataset is None or not self._view.searched:
            why = "the rows are still being looked for: a moment"
        else:
            why = self._why_empty()
        self.notify(why, severity="warning", markup=False)

    def action_finding(self, by: int) -> None:
        """Go to the next row with a finding, or the one before."""
        if self._dataset is None:
            self.refuse()
            return
        position = self._view.finding_from(self._table.cursor, by)
        if position is None:
            self.notify("nothing found here" if self._summary() else self._why_no_report())
        else:
            self._table.cursor = position

    def action_only_findings(self) -> None:
        """Show only rows with findings, or all again."""
        if not self._view.found:
            self.action_finding(1)
            return
        row = self._current_number()
        self._view.only_found = not self._view.only_found
        self._view.order()
        self._show_rows(row)

    def action_audit(self) -> None:
        """Tell what the newest check counted over the whole file."""
        told = self._summary()
        if self._dataset is None:
            self.refuse()
        elif told is None:
            self.notify(self._why_no_report(), markup=False)
        else:
            self._pane.toggle_audit(told.audit)
