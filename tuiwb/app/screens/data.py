"""Data: the project's datasets, their rows, one row as the model will see it, what checks found."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList
from textual.worker import get_current_worker

from tuiwb import jobs
from tuiwb.app import checking
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Ask, Confirm
from tuiwb.app.widgets.dataset_menu import DatasetMenu
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.app.widgets.row_table import columns, row_cells
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.data.checks.finding import Finding, Report
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Row
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.text import inert


class DataScreen(WorkbenchScreen):
    """Three panes: datasets, rows, the row. Every file is opened and searched off the UI thread."""

    MODE = "data"
    CSS_PATH = "data.tcss"
    HELP_TEXT = (
        "v shows a row as the trainer will see it, made by transformers' and TRL's own code: "
        "trained tokens are underlined, special tokens reversed, cut ones struck out. c checks the "
        "whole file as a job; n and N go through what it found."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "Tokens"),
        Binding("c", "check", "Check"),
        Binding("n", "finding(1)", "Next"),
        Binding("N", "finding(-1)", "Previous", show=False),
        Binding("f", "only_findings", "Found"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("g", "go_to", "Go to"),
        Binding("right_square_bracket", "file(1)", "File", key_display="]"),
        Binding("left_square_bracket", "file(-1)", "Previous file", key_display="[", show=False),
        Binding("z", "zoom", "Zoom", show=False),
        Binding("escape", "back", "Back", show=False),
    ]

    class Opened(Message):
        """A dataset was opened, or could not be."""

        def __init__(self, path: Path, dataset: Dataset | None, problem: str) -> None:
            super().__init__()
            self.path, self.dataset, self.problem = path, dataset, problem

    class Matched(Message):
        """The rows a filter found, so far or in all."""

        def __init__(self, dataset: Dataset, text: str, found: list[int], done: bool) -> None:
            super().__init__()
            self.dataset, self.text, self.found, self.done = dataset, text, found, done

    class Checked(Message):
        """The newest report about a dataset was read."""

        def __init__(self, path: Path, folder: Path, report: Report | None, stale: bool) -> None:
            super().__init__()
            self.path, self.folder, self.report, self.stale = path, folder, report, stale

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal():
            yield DatasetMenu(self.project)
            with Vertical():
                rows = VirtualTable(columns(0), id="rows")
                rows.add_class("panel")
                rows.border_title = "Rows"
                yield rows
                model = checking.base_model(self.project)
                yield RowPane(model, self.project.train_python)

    def on_mount(self) -> None:
        self._files = self.query_one(DatasetMenu)
        self._table = self.query_one("#rows", VirtualTable)
        self._pane = self.query_one(RowPane)
        self._path: Path | None = None
        self._dataset: Dataset | None = None
        self._get: Callable[[int], Row] | None = None
        self._picked: list[int] | None = None
        self._searched = True
        self._stamp: tuple[int, int] | None = None
        self._text = ""
        self._only_found = False
        self._report: Report | None = None
        self._report_folder: Path | None = None
        self._by_row: dict[int, list[Finding]] = {}
        self._table.focus()

    # Datasets

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        paths = self.project.datasets()
        self._files.show(paths)
        if self._path not in paths or self._changed():
            again = self._path
            self._path = self._dataset = self._get = None
            if paths:
                self._select(again if again in paths else paths[0])
            else:
                self._show_rows()
                self._pane.say("no datasets yet: put .jsonl, .json, .csv or .parquet in data/")
        self._look_at_checks(jobs)

    def _changed(self) -> bool:
        """Whether the file that is shown is another than the one that was opened."""
        if self._path is None or self._dataset is None:
            return False
        return _stamp(self._path) != self._stamp

    @on(OptionList.OptionHighlighted, "#files")
    def _choose(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._files.paths):
            self._select(self._files.paths[event.option_index])

    @on(OptionList.OptionSelected, "#files")
    def _enter(self) -> None:
        self._table.focus()

    def action_file(self, by: int) -> None:
        """Open the next dataset, or the one before."""
        paths = self._files.paths
        if paths:
            at = paths.index(self._path) if self._path in paths else 0
            self._select(paths[(at + by) % len(paths)])

    def _select(self, path: Path) -> None:
        if path == self._path:
            return
        self._path = path
        self._dataset = self._get = self._picked = None
        self._text, self._only_found = "", False
        self._report, self._report_folder, self._by_row = None, None, {}
        self._files.point_at(path)
        self._show_rows()
        self._pane.say(f"opening {self.project.shorten(path)} …")
        self._open(path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="open")
    def _open(self, path: Path) -> None:
        try:
            self.post_message(self.Opened(path, open_dataset(path), ""))
        except TuiwbError as error:
            self.post_message(self.Opened(path, None, str(error)))

    @on(Opened)
    def _show_opened(self, message: Opened) -> None:
        if message.path != self._path:
            return
        self._dataset, self._stamp = message.dataset, _stamp(message.path)
        if message.dataset is None:
            self._pane.say(message.problem, problem=True)
            return
        self._get = lru_cache(maxsize=512)(message.dataset.row)
        self._show_rows()
        self._look_at_checks(self.workbench.jobs)

    # Rows

    def _positions(self) -> list[int] | range:
        if self._dataset is None:
            return range(0)
        if not self._only_found:
            return range(len(self._dataset)) if self._picked is None else self._picked
        found = sorted(self._by_row)
        return found if self._picked is None else [n for n in self._picked if n in self._by_row]

    def _show_rows(self, keep: int | None = None) -> None:
        """Paint the table again; `keep` is the row the cursor should be on."""
        positions = self._positions()
        cursor = _place(positions, keep) if keep is not None else 0

        def cells(position: int) -> tuple[str, ...]:
            row = self._row(positions[position])
            return row_cells(row, self._by_row.get(row.index, [])) if row else ()

        self._table.show(
            len(positions),
            cells,
            lambda p: bool(self._by_row.get(positions[p])),
            cursor,
            columns(len(self._dataset) if self._dataset is not None else 0),
        )
        if not len(positions) and self._dataset is not None:
            searching = self._picked is not None and not self._searched
            self._pane.say("searching …" if searching else "no rows match: esc clears the filter")
        self._title(len(positions))

    def _row(self, n: int) -> Row | None:
        try:
            return self._get(n) if self._get is not None else None
        except (TuiwbError, OSError):
            return None

    def _title(self, shown: int) -> None:
        if self._path is None:
            return
        name = inert(self.project.shorten(self._path), one_line=True)
        words = [name]
        if self._dataset is not None:
            total = len(self._dataset)
            words.append(f"{shown:,} of {total:,} rows" if shown != total else f"{total:,} rows")
            words.append(self._dataset.format)
        if self._text:
            words.append(f"/{inert(self._text, one_line=True)}")
        self._table.border_title = Content("  ".join(words))

    @on(VirtualTable.Highlighted, "#rows")
    def _read_row(self) -> None:
        row = self._current()
        if row is not None:
            self._pane.show(row, self._by_row.get(row.index, []))

    @on(VirtualTable.Opened, "#rows")
    def _go_reading(self) -> None:
        self._pane.focus()

    def _current(self) -> Row | None:
        positions = self._positions()
        return (
            self._row(positions[self._table.cursor])
            if self._table.cursor < len(positions)
            else None
        )

    def action_zoom(self) -> None:
        """Give the row the whole height, or give it back."""
        self.toggle_class("-reading")
        (self._pane if self.has_class("-reading") else self._table).focus()

    def action_back(self) -> None:
        """Leave the row's zoom, then the row, then the filter."""
        if self.has_class("-reading"):
            self.action_zoom()
        elif not self._table.has_focus:
            self._table.focus()
        elif self._text or self._only_found:
            row = self._current()
            self._text, self._picked, self._only_found = "", None, False
            self._show_rows(row.index if row else None)

    @work
    async def action_go_to(self) -> None:
        """Ask for a row's number and put the cursor there."""
        if self._dataset is None:
            return
        last = len(self._dataset) - 1
        said = await self.app.push_screen_wait(Ask("Go to row", detail=f"0 to {last:,}"))
        digits = (said or "").strip().replace(",", "")
        if not digits:
            return
        if not digits.isdecimal() or int(digits) > last:
            self.notify(f"there is no row {said}: 0 to {last:,}", severity="error", markup=False)
        else:
            self._go(int(digits))

    def _go(self, n: int) -> None:
        positions = self._positions()
        if n in positions:
            self._table.cursor = _place(positions, n)
        else:
            self._text, self._picked, self._only_found = "", None, False
            self._show_rows(n)

    @work
    async def action_filter(self) -> None:
        """Ask for a text; only rows that hold it stay, in any case of letters."""
        if self._dataset is None:
            return
        said = await self.app.push_screen_wait(
            Ask("Filter rows by text", self._text, "any case; empty shows all rows")
        )
        if said is None or self._dataset is None:
            return
        row = self._current()
        self._text, self._picked, self._searched = said, [] if said else None, not said
        self._show_rows(row.index if row else None)
        if said:
            self._match(self._dataset, said)

    @work(thread=True, exclusive=True, exit_on_error=False, group="filter")
    def _match(self, dataset: Dataset, text: str) -> None:
        worker, wanted, found = get_current_worker(), text.casefold(), list[int]()
        told = 0
        for row in dataset:
            if worker.is_cancelled:
                return
            texts = [row.text or ""] if row.shape == "broken" else [t for _, _, t in row.fields()]
            if any(wanted in text.casefold() for text in texts):
                found.append(row.index)
            if len(found) >= max(200, 2 * told):
                told = len(found)
                self.post_message(self.Matched(dataset, text, list(found), False))
        self.post_message(self.Matched(dataset, text, found, True))

    @on(Matched)
    def _show_matches(self, message: Matched) -> None:
        if message.dataset is self._dataset and message.text == self._text:
            row = self._current()
            self._picked, self._searched = message.found, message.done
            self._show_rows(row.index if row else None)

    def action_view(self) -> None:
        """Show tokens instead of the conversation, or the conversation again."""
        self._pane.toggle_tokens()

    # Checks

    @work
    async def action_check(self) -> None:
        """Check the whole dataset as a job; while one runs, ask whether to stop it."""
        if self._path is None or self._dataset is None:
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
        if self._path is None:
            return
        state = checking.latest(jobs, self._path)
        if state is None:
            self._say_check("c checks this file")
            return
        folder, job = state
        if job.running:
            self._say_check(checking.progress_words(job))
        elif job.state != "finished":
            self._say_check(f"check {job.state}: {job.message}")
        elif folder != self._report_folder:
            self._load_report(self._path, folder)

    def _say_check(self, words: str) -> None:
        content = Content(inert(words, one_line=True))
        if str(self._table.border_subtitle) != content.plain:
            self._table.border_subtitle = content

    @work(thread=True, exclusive=True, exit_on_error=False, group="report")
    def _load_report(self, path: Path, folder: Path) -> None:
        report, stale = checking.report_of(folder, path)
        self.post_message(self.Checked(path, folder, report, stale))

    @on(Checked)
    def _show_checked(self, message: Checked) -> None:
        if message.path != self._path or message.folder == self._report_folder:
            return
        self._report, self._report_folder = message.report, message.folder
        self._by_row = {}
        for finding in message.report.findings if message.report else []:
            self._by_row.setdefault(finding.row, []).append(finding)
        self._say_check(checking.summary(message.report, message.stale))
        row = self._current()
        self._show_rows(row.index if row else None)

    def action_finding(self, by: int) -> None:
        """Go to the next row with a finding, or the one before."""
        row = self._current()
        found = [n for n in self._positions() if n in self._by_row] if self._by_row else []
        if row is None or not found:
            words = "nothing found in these rows" if self._report else "no check yet: c runs one"
            self.notify(words, markup=False)
            return
        if by > 0:
            target = next((n for n in found if n > row.index), found[0])
        else:
            target = next((n for n in reversed(found) if n < row.index), found[-1])
        self._go(target)

    def action_only_findings(self) -> None:
        """Show only rows with findings, or all again."""
        if not self._by_row:
            self.action_finding(1)
            return
        row = self._current()
        self._only_found = not self._only_found
        self._show_rows(row.index if row else None)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size


def _place(positions: list[int] | range, n: int) -> int:
    return min(bisect_left(positions, n), max(0, len(positions) - 1))
