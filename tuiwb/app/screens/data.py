"""Data: the project's datasets, their rows, one row as the model will see it, what checks found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import OptionList

from tuiwb.app import checking, keys
from tuiwb.app.rows_view import RowsView
from tuiwb.app.screens.data_places import beginning, place_of, row_at_line, stamp
from tuiwb.app.screens.data_prompts import SORTS, RowPrompts
from tuiwb.app.widgets.dataset_menu import DatasetMenu
from tuiwb.app.widgets.facet_menu import FacetMenu
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.app.widgets.row_table import columns, row_cells
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.data.checks.finding import Finding
from tuiwb.data.facets import facets
from tuiwb.data.query import parse, toggled
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Row
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.text import counted, inert
from tuiwb.train.choices import is_held_out, is_never_trained

GROWS_EVERY = 0.25
FACETS = 5  # lines of their panel at least
MOST_CONFIGS = 20  # that are looked into for what is trained on


class DataScreen(RowPrompts):
    """Datasets and facets, rows, the row. Every file is opened and searched off the UI thread."""

    MODE = "data"
    CSS_PATH = "data.tcss"
    HELP_TEXT = (
        "Tokens are made by transformers' and TRL's own code: trained ones are underlined, special "
        "ones reversed, cut ones struck out. A filter takes text, /regex/, role:user, check:pii, "
        "mark:drop, turns>4, column=value; a leading minus turns a word round. Marks and edits are "
        "kept beside the file; checks and new versions are jobs, which go on without this terminal."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown("v", "view", "Tokens", "tokens as the trainer sees them, or the words again"),
        keys.shown("c", "check", "Check", "check the whole file, as a job"),
        keys.known("a", "audit", "Audit", "what the newest check counted"),
        keys.known("n", "finding(1)", "Next found", "to the next row in which something was found"),
        keys.known(
            "N", "finding(-1)", "Found before", "to the row before in which something was found"
        ),
        keys.known(
            "f", "only_findings", "Found only", "only rows with something found, or all again"
        ),
        keys.known("F", "facets", "Files, facets", "to the facets; again, to the files"),
        keys.shown(
            "right_square_bracket", "file(1)", "File", "the file before, the next", display="[/]"
        ),
        Binding("left_square_bracket", "file(-1)", show=False),
        keys.known("z", "zoom", "Zoom", "the row over the whole height, or back"),
        keys.known(
            "escape",
            "back",
            "Back",
            "from the audit to the row, to the rows; then all rows again, no filter",
        ),
    ]

    class Opened(Message):
        """A dataset was opened, or could not be."""

        def __init__(self, path: Path, dataset: Dataset | None, problem: str) -> None:
            super().__init__()
            self.path, self.dataset, self.problem = path, dataset, problem

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal():
            with Vertical(id="left"):
                yield DatasetMenu(self.project)
                yield FacetMenu()
            with Vertical(id="right"):
                rows = VirtualTable(columns(0), id="rows")
                rows.add_class("panel")
                rows.border_title = "Rows"
                yield rows
                model = partial(checking.base_model, self.project)
                yield RowPane(model, self.project.train_python)

    def on_mount(self) -> None:
        self._files = self.query_one(DatasetMenu)
        self._facets = self.query_one(FacetMenu)
        self._table = self.query_one("#rows", VirtualTable)
        self._pane = self.query_one(RowPane)
        self._view = RowsView()
        self._path: Path | None = None
        self._dataset: Dataset | None = None
        self._get: Callable[[int], Row] | None = None
        self._stamp: tuple[int, int] | None = None
        self._growing: Timer | None = None
        self._checked = None
        self._report_folder = None
        self._table.focus()

    def on_resize(self) -> None:
        """The datasets have what the facets leave of the column, half of it at least."""
        self._fit_files()

    def _fit_files(self) -> None:
        column = self.size.height - 2  # without the bar of places and the key line
        facets = self._facets.option_count + self._facets.gutter.height
        self._files.fit(column - max(FACETS, min(facets, column // 2)))

    def on_unmount(self) -> None:
        """No thread goes on reading a file that nobody looks at."""
        if self._dataset is not None:
            self._dataset.close()

    # Datasets

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        paths = self.project.datasets()
        self._files.show(paths)
        if self._path not in paths or self._changed():
            again = self._path
            self._path = self._dataset = self._get = None
            if paths:
                self._select(again if again in paths else self._first(paths))
            else:
                self._show_rows()
                self._pane.say("no datasets yet: put .jsonl, .json, .csv or .parquet in data/")
        self._look_at_checks(jobs)
        self.versions_changed(jobs)
        self._show_wanted()

    def _first(self, paths: list[Path]) -> Path:
        """The one that is likeliest trained on: named first in a config, no held-out or canary."""
        configs = "".join(map(beginning, self.project.configs()[:MOST_CONFIGS]))

        def rank(path: Path) -> tuple[bool, bool, float]:
            aside = is_held_out(path) or is_never_trained(self.project, path)
            empty = (stamp(path) or (0, 0))[1] == 0
            named = configs.find(self.project.shorten(path))
            return aside, empty, named if named >= 0 else len(configs)

        return min(paths, key=rank)

    def _changed(self) -> bool:
        """Whether the file that is shown is another than the one that was opened."""
        if self._path is None or (self._dataset is None and not self._unread):
            return False
        return stamp(self._path) != self._stamp

    @on(OptionList.OptionHighlighted, "#files")
    def _choose(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._files.paths):
            self._select(self._files.paths[event.option_index])

    @on(OptionList.OptionSelected, "#files")
    def _enter(self) -> None:
        self._table.focus()

    def _show_wanted(self) -> None:
        """The row another screen asked for (file:line), once its dataset is open."""
        wanted = self.workbench.wanted_row
        if wanted is None:
            return
        path, line = place_of(self.project.root, wanted)
        if path not in self._files.paths:
            self.workbench.wanted_row = None
            self.notify(f"{wanted} is in no dataset of this project", severity="warning")
        elif path != self._path:
            self._select(path)
        elif self._dataset is not None and self._get is not None:
            row = row_at_line(self._get, len(self._dataset), line)
            if row is not None or self._dataset.complete:
                self.workbench.wanted_row = None
            if row is not None:
                self._go(row)
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
        if self._dataset is not None:
            self._dataset.close()
        self._dataset = self._get = None
        self._view = RowsView()
        self._checked, self._report_folder, self._unread = None, None, False
        self._say_check("")  # what was found in another file is no word on this one
        self.open_marks(path)
        self._files.point_at(path)
        self._show_rows()
        self._show_facets()
        self._pane.say(f"opening {self.project.shorten(path)} …")
        self._open(path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="open")
    def _open(self, path: Path) -> None:
        try:
            dataset = open_dataset(path, cache=self.project.cache / "index", wait=False)
            self.post_message(self.Opened(path, dataset, ""))
        except TuiwbError as error:
            self.post_message(self.Opened(path, None, str(error)))

    @on(Opened)
    def _show_opened(self, message: Opened) -> None:
        if message.path != self._path:
            return
        self._dataset, self._stamp = message.dataset, stamp(message.path)
        if message.dataset is None:
            self._unread = True
            self._pane.say(message.problem, problem=True)
            return
        self._get = lru_cache(maxsize=512)(message.dataset.row)
        self._pane.mixed = message.dataset.format == "mixed"
        self.open_marks(message.path, message.dataset)
        self._view.grow(len(message.dataset))
        self._show_rows()
        self._look_at_checks(self.workbench.jobs)
        self._show_wanted()
        if not message.dataset.complete and self._growing is None:
            self._growing = self.set_interval(GROWS_EVERY, self._grow)

    def _grow(self) -> None:
        """Show the rows that were indexed since the last look."""
        dataset = self._dataset
        if dataset is None or dataset.complete:
            if self._growing is not None:
                self._growing.stop()
            self._growing = None
        if dataset is not None and len(dataset) != self._view.total:
            self._view.grow(len(dataset))
            self._show_rows(self._current_number(), quiet=True)
            self._show_wanted()

    # Rows

    def _show_rows(self, keep: int | None = None, quiet: bool = False) -> None:
        """Paint the table again; `keep` is the row the cursor should be on."""
        view = self._view
        cursor = view.near(keep) if keep is not None and len(view.shown) else 0

        def cells(position: int) -> tuple[str, ...]:
            row = self._row(view.row_at(position))
            if row is None:
                return ()
            return row_cells(row, view.findings(row.index), self.mark_words(row))

        self._table.show(
            len(view.shown),
            cells,
            lambda p: view.found is not None and view.row_at(p) in view.found,
            cursor,
            columns(view.total),
            quiet=quiet,
        )
        if not len(view.shown) and self._dataset is not None:
            self._pane.say(self._why_empty() if view.searched else "searching …")
        self._title(len(view.shown))

    def _row(self, n: int) -> Row | None:
        try:
            return self._get(n) if self._get is not None else None
        except (TuiwbError, OSError):
            return None

    def _title(self, shown: int) -> None:
        if self._path is None:
            return
        view = self._view
        words = [inert(self.project.shorten(self._path), one_line=True)]
        if self._dataset is not None:
            total = view.total
            rows = counted(total, "row")
            rows = f"{shown:,} of {rows}" if shown != total else rows
            words.append(rows + ("" if self._dataset.complete else " …"))
            words.append(self._dataset.format)
        if view.query.text:
            words.append(f"/{inert(view.query.text, one_line=True)}")
        if view.only_found:
            words.append("found only")
        if (view.by, view.descending) != ("row", False):
            words.append(next(w for b, d, w in SORTS if (b, d) == (view.by, view.descending)))
        self._table.border_title = Content("  ".join(words))

    @on(VirtualTable.Highlighted, "#rows")
    def _read_row(self) -> None:
        row = self._current()
        if row is not None:
            shown, found = self.as_edited(row), self._found_in(row)
            self._pane.show(shown, found, self.mark_words(row), edited=shown is not row)

    def _found_in(self, row: Row) -> Iterable[Finding]:
        return self._view.findings(row.index)

    @on(VirtualTable.Opened, "#rows")
    def _go_reading(self) -> None:
        self._pane.focus()

    def shown_path(self) -> Path | None:
        """The dataset that is shown."""
        return self._path

    def open_dataset_here(self) -> Dataset | None:
        """The dataset that is shown, once it is open."""
        return self._dataset

    def findings_by_row(self) -> Mapping[int, Sequence[Finding]]:
        """What the newest check found."""
        return self._view.found or {}

    def current_row(self) -> Row | None:
        """The row under the cursor as it stands in the file."""
        return self._current()

    def marks_changed(self) -> None:
        """Paint the rows and the facets again."""
        self._table.refresh()
        self._show_facets()
        self._read_row()

    def next_row(self) -> None:
        """Move the cursor one row on."""
        self._table.cursor += 1

    def _current_number(self) -> int | None:
        at = self._table.cursor
        return self._view.row_at(at) if at < len(self._view.shown) else None

    def _current(self) -> Row | None:
        number = self._current_number()
        return None if number is None else self._row(number)

    def action_view(self) -> None:
        """Show tokens instead of the conversation, or the conversation again."""
        if self._current_number() is None:
            self.refuse()
        else:
            self._pane.toggle_tokens()

    def action_zoom(self) -> None:
        """Give the row the whole height, or give it back."""
        self.toggle_class("-reading")
        (self._pane if self.has_class("-reading") else self._table).focus()

    def action_back(self) -> None:
        """Leave the audit, then the row's zoom, then the row, then the filter."""
        if self._pane.leave_audit():
            return
        if self.has_class("-reading"):
            self.action_zoom()
        elif not self._table.has_focus:
            self.remove_class("-facets")
            self._table.focus()
        elif self._view.narrowed:
            row = self._current_number()
            self._view.clear()
            self._show_rows(row)
            self._show_facets()

    # Facets

    def _show_facets(self) -> None:
        told = self._summary()
        shown = facets(told.facets if told else (), self._view.columns, self.mark_counts())
        empty = "no finding, no mark, no column to count" if told else self._why_no_report()
        self._facets.show(shown, self._view.query.text, empty)
        self._fit_files()

    def action_facets(self) -> None:
        """Go to the facets, or from there to the files; if narrow, in the rows' place."""
        self.add_class("-facets")
        (self._files if self._facets.has_focus else self._facets).focus()

    @on(FacetMenu.Chosen)
    def _facet(self, message: FacetMenu.Chosen) -> None:
        self.remove_class("-facets")
        self.filter_by(parse(toggled(self._view.query.text, message.facet.word)))
