"""Train: all runs in a table, one run with its curves, hardware, log, outputs and alerts."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from tuiwb.app.run_words import brief
from tuiwb.app.screens.run_actions import RunActions
from tuiwb.app.widgets.run_view import RunView
from tuiwb.app.widgets.runs_table import RunsTable
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import JobState
from tuiwb.monitor.run_query import select
from tuiwb.monitor.runs import RunSummary, summarise
from tuiwb.monitor.watched import Watched, open_watched
from tuiwb.text import inert

FILTER_HELP = "text  state:failed  tag:good  loss<1.5  age<3d  is:archived  -word; empty shows all"


class TrainScreen(RunActions):
    """The table, or the run that was opened; where it is wide, the table slim beside the run."""

    MODE = "train"
    CSS_PATH = "train.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (160, "-huge")]
    HELP_TEXT = (
        "A run goes on whatever happens to this terminal. enter opens a run, esc goes back to the "
        "table. There: space marks runs, = says what they were asked differently, v lays their "
        "curves over the one that is opened, / filters (state:failed, tag:good, loss<1.5, "
        "age<3d), < and > choose the column to sort by, o turns the order. In a run: d, L, O, a, "
        "g choose what stands below, tab moves between it and the charts, z zooms."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", key_display="esc"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("H", "archived", "Show archived", show=False),
        Binding("right_square_bracket", "step_run(1)", "Next run", key_display="]", show=False),
        Binding("left_square_bracket", "step_run(-1)", "Previous run", key_display="[", show=False),
    ]

    class Summed(Message):
        """All runs in a line each."""

        def __init__(self, runs: list[RunSummary]) -> None:
            super().__init__()
            self.runs = runs

    class Opened(Message):
        """A run can be watched, with others laid over it."""

        def __init__(self, watched: Watched, overlays: list[Watched]) -> None:
            super().__init__()
            self.watched, self.overlays = watched, overlays

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal():
            with Vertical(id="list", classes="panel") as box:
                box.border_title = "Runs"
                yield RunsTable(id="runs")
                yield Static(id="brief", markup=False)
                field = Input(id="filter", placeholder=FILTER_HELP, compact=True)
                field.cursor_blink = False
                yield field
                yield Static(id="filter-problem", markup=False)
            yield RunView(layout_file=self.project.cache / "charts.json", id="run")

    def on_mount(self) -> None:
        self.table = self.query_one("#runs", RunsTable)
        self.view = self.query_one("#run", RunView)
        self.view.python = self.project.train_python
        self.runs: list[RunSummary] = []
        self.query_text = ""
        self.with_archived = False
        self._said = "?"
        self._first = True
        self.ready = True
        self.set_interval(30, self._show_runs)
        self.table.focus()

    # The table

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        self._sum_up(dict(jobs))
        watched = self.view.watched
        state = jobs.get(watched.folder) if watched is not None else None
        if watched is not None and state is not None and state.state != watched.state.state:
            self.view.look_now()

    # A description spells out all arguments, every second.
    @work(thread=True, exclusive=True, exit_on_error=False, group="sum", description="")
    def _sum_up(self, jobs: dict[Path, JobState]) -> None:
        price = self.project.settings.gpu_price_per_hour
        self.post_message(self.Summed([summarise(f, s, price) for f, s in jobs.items()]))

    @on(Summed)
    def _summed(self, message: Summed) -> None:
        self.runs = message.runs
        self._show_runs()
        wanted = self.workbench.wanted_run
        if wanted in {run.folder for run in self.runs}:
            self.workbench.wanted_run = None
            self.open_run(wanted)
        elif self._first and self.table.runs:
            live = next((run for run in self.table.runs if run.running), None)
            alone = self.table.runs[0] if len(self.table.runs) == 1 else None
            if (chosen := live or alone) is not None:
                self.open_run(chosen.folder)
        self._first = self._first and not self.table.runs
        watched = self.view.watched
        if watched is not None and watched.folder not in {run.folder for run in self.runs}:
            self.close_run()

    def _show_runs(self) -> None:
        kinds = "kind:" in self.query_text
        shown = [run for run in self.runs if kinds or run.kind == "train"]
        try:
            found = select(shown, self.query_text, archived=self.with_archived)
        except BadInput as error:
            self.notify(str(error), severity="warning")
            self.query_text, found = "", select(shown, archived=self.with_archived)
        self.table.show_runs(found)
        box = self.query_one("#list")
        hidden = len(shown) - len(found)
        said = f"{len(found)} of {len(shown)}" if hidden else f"{len(shown)}" if shown else ""
        said += f"  /{self.query_text}" if self.query_text else ""
        if box.border_subtitle != said:
            box.border_subtitle = said
        self._show_brief()

    @on(VirtualTable.Highlighted, "#runs")
    def _moved(self) -> None:
        self._show_brief()
        self.refresh_bindings()
        run = self.table.current
        if self.is_open and run is not None and self.table.has_focus:
            self.open_run(run.folder, focus=False)

    @on(VirtualTable.Opened, "#runs")
    def _chosen(self) -> None:
        if (run := self.table.current) is not None:
            self.open_run(run.folder)

    def _show_brief(self) -> None:
        if self.is_open:
            return  # it does not show
        words = self.query_one("#brief", Static)
        run = self.table.current
        if run is None:
            said = brief(None, bool(self.runs), time.time())
        else:
            said = brief(run, True, time.time())
        if said.plain != self._said:
            self._said = said.plain
            words.update(said)

    def action_filter(self) -> None:
        """Ask which runs to show."""
        field = self.query_one("#filter", Input)
        field.value = self.query_text
        field.add_class("-open")
        field.focus()

    @on(Input.Submitted, "#filter")
    def _filtered(self, event: Input.Submitted) -> None:
        event.stop()
        words = event.value.strip()
        try:
            select([], words)
        except BadInput as error:
            self._say_problem(str(error))
            return
        self.query_text = words
        self._end_filter()
        self._show_runs()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        event.stop()
        self._say_problem("")

    def _say_problem(self, sentence: str) -> None:
        """What can't be read of the filter, below the field that keeps it."""
        line = self.query_one("#filter-problem", Static)
        line.update(Content.assemble(("✗ ", "$text-error"), inert(sentence)))
        line.set_class(bool(sentence), "-said")

    def _end_filter(self) -> None:
        self._say_problem("")
        self.query_one("#filter").remove_class("-open")
        self.table.focus()

    def action_archived(self) -> None:
        """Show archived runs too, or not."""
        self.with_archived = not self.with_archived
        self._show_runs()
        self.notify("archived runs are shown" if self.with_archived else "archived runs are hidden")

    # The run

    @property
    def is_open(self) -> bool:
        """Whether a run is shown."""
        return self.has_class("-open")

    def open_run(self, folder: Path, focus: bool = True) -> None:
        """Show a run, with the marked ones over its curves."""
        self.add_class("-open")
        self.table.put_cursor_on(folder)
        if focus:
            self.view.focus_charts()
        watched = self.view.watched
        if watched is None or watched.folder != folder:
            self._open(folder, [])
        self.refresh_bindings()

    def open_over(self, folder: Path, others: list[Path]) -> None:
        """Show a run with others' curves over its own."""
        self.add_class("-open")
        self.view.focus_charts()
        self._open(folder, others)
        self.refresh_bindings()

    @work(thread=True, exclusive=True, exit_on_error=False, group="open")
    def _open(self, folder: Path, others: list[Path]) -> None:
        try:
            watched = open_watched(folder)
            overlays = [open_watched(other) for other in others]
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error")
            self.app.call_from_thread(self.close_run)
        else:
            self.post_message(self.Opened(watched, overlays))

    @on(Opened)
    def _opened(self, message: Opened) -> None:
        self.view.watch_run(message.watched, message.overlays)
        self.refresh_bindings()

    @on(RunView.Changed)
    def _changed(self) -> None:
        self.refresh_bindings()

    def close_run(self) -> None:
        """Back to the table."""
        self.remove_class("-open")
        self._show_brief()
        self.table.focus()
        self.refresh_bindings()

    def action_back(self) -> None:
        """Close the field, the zoom, the run; unmark; end the filter: one at a time."""
        if self.query_one("#filter").has_class("-open"):
            self._end_filter()
        elif self.is_open and (self.view.has_class("-charts") or self.view.has_class("-pane")):
            self.view.action_zoom()
        elif self.is_open:
            self.close_run()
        elif self.table.marked:
            self.table.unmark()
        elif self.query_text:
            self.query_text = ""
            self._show_runs()

    def action_step_run(self, by: int) -> None:
        """Open the next or previous run of the table."""
        at = self.table.cursor + by
        if 0 <= at < len(self.table.runs):
            self.open_run(self.table.runs[at].folder, focus=not self.is_open)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the table are not shown in a run, and the other way round."""
        if not self.ready:
            return False
        if action == "step_run":
            return self.is_open
        if action == "filter":
            return not self.is_open or self.table.has_focus
        if action == "back":
            return self.is_open or bool(self.table.marked or self.query_text) or self._filtering
        return super().check_action(action, parameters)

    @property
    def _filtering(self) -> bool:
        return self.query_one("#filter").has_class("-open")
