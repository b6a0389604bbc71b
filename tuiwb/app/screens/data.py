"""Data: the project's datasets, their rows, one row as the model will see it, what checks found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
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
from textual.worker import get_current_worker

from tuiwb.app import checking
from tuiwb.app.rows_view import RowsView
from tuiwb.app.screens.data_checks import CheckActions
from tuiwb.app.screens.data_places import place_of, row_at_line
from tuiwb.app.screens.dialogs import Ask, Pick
from tuiwb.app.widgets.dataset_menu import DatasetMenu
from tuiwb.app.widgets.facet_menu import FacetMenu
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.app.widgets.row_table import columns, row_cells
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.data.checks.finding import Finding
from tuiwb.data.facets import facets
from tuiwb.data.query import Query, parse, toggled
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.render import check_tokenizer
from tuiwb.data.rows import Row
from tuiwb.data.search import search
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import JobState
from tuiwb.text import counted, inert

GROWS_EVERY = 0.25
SORTS = (
    ("row", False, "file order"),
    ("found", False, "what was found, errors first"),
    ("chars", True, "longest first"),
    ("chars", False, "shortest first"),
    ("answer_chars", True, "longest answer first"),
    ("answer_chars", False, "shortest answer first"),
    ("turns", True, "most turns first"),
)
FILTER_HELP = (
    "text  /regex/  role:user text  check:pii  mark:drop\n"
    "turns>4  chars<200  topic=shipping  -word; empty shows all"
)


class DataScreen(CheckActions):
    """Datasets and facets, rows, the row. Every file is opened and searched off the UI thread."""

    MODE = "data"
    CSS_PATH = "data.tcss"
    HELP_TEXT = (
        "v shows a row as the trainer will see it, made by transformers' and TRL's own code: "
        "trained tokens are underlined, special tokens reversed, cut ones struck out; t sets it "
        "beside another model's template. c checks the whole file as a job; n and N go through "
        "what it found, a tells what it counted. / filters by text, /regex/, role:user, check:pii, "
        "mark:drop, turns>4, column=value; a leading minus turns a word round. d, h and y mark a "
        "row drop, hard or keep; w makes a cleaned, split or mixed version, r reviews a sample."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "Tokens"),
        Binding("t", "templates", "Templates", show=False),
        Binding("c", "check", "Check"),
        Binding("a", "audit", "Audit", show=False),
        Binding("n", "finding(1)", "Next"),
        Binding("N", "finding(-1)", "Previous", show=False),
        Binding("f", "only_findings", "Found", show=False),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort", show=False),
        Binding("F", "facets", "Facets", show=False),
        Binding("g", "go_to", "Go to", show=False),
        Binding("right_square_bracket", "file(1)", "Next file", key_display="]", show=False),
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

        def __init__(self, dataset: Dataset, query: Query, found: list[int], done: bool) -> None:
            super().__init__()
            self.dataset, self.query, self.found, self.done = dataset, query, found, done

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
                model = checking.base_model(self.project)
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
                self._select(again if again in paths else paths[0])
            else:
                self._show_rows()
                self._pane.say("no datasets yet: put .jsonl, .json, .csv or .parquet in data/")
        self._look_at_checks(jobs)
        self.versions_changed(jobs)
        self._show_wanted()

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
        self._checked, self._report_folder = None, None
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
        self._dataset, self._stamp = message.dataset, _stamp(message.path)
        if message.dataset is None:
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
            unchecked = view.query.found and self._summary() is None
            done = "no check yet: c runs one" if unchecked else "no rows match"
            words = (
                f"{done}; esc clears the filter" if unchecked else f"{done}: esc clears the filter"
            )
            self._pane.say(words if view.searched else "searching …")
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
            self._pane.show(self.as_edited(row), self._found_in(row), self.mark_words(row))

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

    def action_zoom(self) -> None:
        """Give the row the whole height, or give it back."""
        self.toggle_class("-reading")
        (self._pane if self.has_class("-reading") else self._table).focus()

    def action_back(self) -> None:
        """Leave the row's zoom, then the row, then the filter."""
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

    # Prompts are pushed at once, not by a worker: keys typed after them must not run as commands.

    def action_go_to(self) -> None:
        """Ask for a row's number and put the cursor there."""
        if self._dataset is not None:
            detail = f"0 to {self._view.total - 1:,}"
            prompt = Ask("Go to row", self._number_of, detail=detail)
            self.app.push_screen(prompt, self._go_said)

    def _number_of(self, said: str) -> int | None:
        """A row's number as it was typed, None for nothing; BadInput where there is no such row."""
        last = self._view.total - 1
        digits = said.strip().replace(",", "")
        if not digits:
            return None
        # As many digits as the last one has: more are no number worth reading.
        known = digits.isdecimal() and len(digits) <= len(str(max(0, last)))
        if not known or int(digits) > last:
            raise BadInput(f"there is no row {said.strip()}: give one from 0 to {last:,}")
        return int(digits)

    def _go_said(self, number: int | None) -> None:
        if number is not None and number < self._view.total:
            self._go(number)

    def _go(self, n: int) -> None:
        position = self._view.position_of(n)
        if position is not None:
            self._table.cursor = position
        else:
            self._view.clear()
            self._show_rows(n)

    def action_filter(self) -> None:
        """Ask for a filter; only rows that pass it stay."""
        if self._dataset is not None:
            prompt = Ask("Filter rows", _query_of, self._view.query.text, FILTER_HELP)
            self.app.push_screen(prompt, self._filter_said)

    def _filter_said(self, query: Query | None) -> None:
        if query is not None and self._dataset is not None:
            self.filter_by(query)

    def filter_by(self, query: Query) -> None:
        """Show the rows that pass a filter."""
        row = self._current_number()
        self._view.filter(query)
        self._show_rows(row)
        self._show_facets()
        if query.tests and self._dataset is not None:
            self._match(self._dataset, query)

    @work(thread=True, exclusive=True, exit_on_error=False, group="filter")
    def _match(self, dataset: Dataset, query: Query) -> None:
        worker, found, told = get_current_worker(), list[int](), 0
        try:
            for some in search(dataset, query, self._view.found or {}, self.mark_of):
                if worker.is_cancelled:
                    return
                found.extend(some.rows)
                if len(found) >= max(200, 2 * told):
                    told = len(found)
                    self.post_message(self.Matched(dataset, query, list(found), False))
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)
        self.post_message(self.Matched(dataset, query, found, True))

    @on(Matched)
    def _show_matches(self, message: Matched) -> None:
        if message.dataset is self._dataset and message.query is self._view.query:
            row = self._current_number()
            self._view.match(message.found, message.done)
            self._show_rows(row)

    @work
    async def action_sort(self) -> None:
        """Ask for an order of the rows."""
        if self._dataset is None:
            return
        now = next(i for i, (b, d, _) in enumerate(SORTS)
                   if (b, d) == (self._view.by, self._view.descending))  # fmt: skip
        picked = await self.app.push_screen_wait(Pick("Sort rows", [w for *_, w in SORTS], now))
        if picked is None:
            return
        by, descending, _words = SORTS[picked]
        if by not in ("row", "found") and self._view.columns is None:
            self.notify("sizes come with a check of the file: c runs one", markup=False)
            return
        row = self._current_number()
        self._view.sort(by, descending)
        self._show_rows(row if by == "row" else None)

    # Facets

    def _show_facets(self) -> None:
        told = self._summary()
        shown = facets(told.facets if told else (), self._view.columns, self.mark_counts())
        self._facets.show(shown, self._view.query.text, "c checks the file and counts")

    def action_facets(self) -> None:
        """Go to the facets; below 100 columns they take the table's place."""
        self.add_class("-facets")
        self._facets.focus()

    @on(FacetMenu.Chosen)
    def _facet(self, message: FacetMenu.Chosen) -> None:
        self.remove_class("-facets")
        self.filter_by(parse(toggled(self._view.query.text, message.facet.word)))

    def action_view(self) -> None:
        """Show tokens instead of the conversation, or the conversation again."""
        self._pane.toggle_tokens()

    def action_templates(self) -> None:
        """Set the row beside the same row in another model's template."""
        if self._pane.comparing:
            self._pane.compare_with(None)
            return
        prompt = Ask(
            "Beside which model's template?",
            self._model_of,
            self._pane.other_model or "",
            "a model folder, or a hub id whose tokenizer is cached",
        )
        self.app.push_screen(prompt, self._template_said)

    def _model_of(self, said: str) -> str | None:
        """The model as it was typed, None for nothing; BadInput for what can hold no tokenizer."""
        if not (name := said.strip()):
            return None
        folder = self.project.resolve(name)
        model = str(folder) if folder.exists() or name.count("/") != 1 else name
        check_tokenizer(model)
        return model

    def _template_said(self, model: str | None) -> None:
        if model is not None:
            self._pane.compare_with(model)


def _query_of(said: str) -> Query:
    return parse(said.strip())


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size
