"""The table of runs: what fits the width, sorted and filtered, several marked.

In: RunSummaries, as often as they may have changed. Out: the run under the cursor and the marked
ones; only lines that say something else are painted again.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tuiwb.app.run_rows import COLUMNS, ORDERS, RunColumn, cells_of, chosen_columns, order_of
from tuiwb.app.widgets.virtual_table import Column, VirtualTable
from tuiwb.monitor.run_query import sort
from tuiwb.monitor.runs import RunSummary

STYLES = {
    "running": "good",
    "starting": "accent",
    "stopping": "warning",
    "cancelled": "warning",
    "finished": "good",
    "failed": "bad",
    "died": "bad",
}


class RunsTable(VirtualTable, can_focus=True):
    """`show_runs()` gives it all runs; it keeps the cursor on the run it was on."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "runs--good",
        "runs--bad",
        "runs--warning",
        "runs--accent",
    }
    DEFAULT_CSS = """
    RunsTable {
        & > .runs--good { color: $text-success; }
        & > .runs--bad { color: $text-error; text-style: bold; }
        & > .runs--warning { color: $text-warning; }
        & > .runs--accent { color: $text-accent; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", key_display="space"),
        Binding("less_than_sign", "sort_column(-1)", "Sort by column left", show=False),
        Binding("greater_than_sign", "sort_column(1)", "Sort by column", key_display="<>"),
        Binding("o", "turn_order", "Turn order", show=False),
        Binding("ctrl+a", "mark_all", "Mark all, or none", show=False),
        Binding("enter", "open", "Open"),
    ]

    class Marked(Message):
        """Other runs are marked than before."""

        def __init__(self, marked: list[Path]) -> None:
            super().__init__()
            self.marked = marked

    class Sorted(Message):
        """Sorted by another column, or the other way."""

        def __init__(self, column: str, down: bool) -> None:
            super().__init__()
            self.column, self.down = column, down

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__([Column("run")], id=id)
        self.runs: list[RunSummary] = []
        self.marked: list[Path] = []
        self.sort_by, self.down = "age", False
        self._wide: list[RunColumn] = []
        self._painted: list[tuple[str, ...]] = []

    @property
    def current(self) -> RunSummary | None:
        """The run under the cursor."""
        return self.runs[self.cursor] if 0 <= self.cursor < len(self.runs) else None

    def show_runs(self, runs: Sequence[RunSummary], now: float | None = None) -> None:
        """Show these runs, sorted; paint only the lines that changed."""
        now = time.time() if now is None else now
        current = self.current
        known = {run.folder for run in runs}
        self.marked = [folder for folder in self.marked if folder in known]
        newest = sorted(runs, key=lambda run: -run.created)
        self.runs = sort(newest, order_of(self.sort_by, self.down), now)
        wide = chosen_columns(self.runs, self.size.width, now)
        painted = [self._line(run, wide, now) for run in self.runs]
        columns = [self._titled(column) for column in wide]
        before, self._painted = self._painted, painted
        if [r.folder for r in self.runs] == self._folders and columns == list(self._columns):
            for position, (old, line) in enumerate(zip(before, painted, strict=True)):
                if old != line:
                    self._repaint(position)
            return
        self._wide, self._folders = wide, [run.folder for run in self.runs]
        at = self._folders.index(current.folder) if current and current.folder in known else None
        self.show(
            len(self.runs),
            lambda position: self._painted[position],
            lambda position: self.runs[position].state in ("failed", "died"),
            cursor=self.cursor if at is None else at,
            columns=columns,
            quiet=at is not None,
        )

    _folders: list[Path] = []

    def put_cursor_on(self, folder: Path) -> bool:
        """Move the cursor to a run; whether it is there."""
        for position, run in enumerate(self.runs):
            if run.folder == folder:
                self.cursor = position
                return True
        return False

    def cell_styles(self, position: int, styles: list[Style]) -> list[Style]:
        """The mark and the state in the state's colour, the alerts in theirs."""
        if position >= len(self.runs):
            return styles
        run = self.runs[position]
        kind = STYLES.get(run.state)
        out = list(styles)
        for n, column in enumerate(self._wide[: len(out)]):
            if column.name in ("", "state") and kind is not None:
                out[n] = self._coloured("warning" if run.paused else kind)
            elif column.name == "*":
                out[n] = self._coloured("accent")
            elif column.name == "!" and run.alerts:
                out[n] = self._coloured("bad" if run.worst_alert == "critical" else "warning")
            elif column.name in ("name", "loss", "best") and not run.archived:
                out[n] = self.rich_style
        return out

    def _coloured(self, name: str) -> Style:
        style = self.get_component_rich_style(f"runs--{name}")
        return self.rich_style + Style(color=style.color, bold=style.bold)

    def on_resize(self) -> None:
        """Other columns fit another width."""
        self.show_runs(self.runs)
        super().on_resize()

    def on_click(self, event: events.Click) -> None:
        """A click on a title sorts by it, another turns the order."""
        if event.y > 0:
            super().on_click(event)
            return
        x = event.x
        room = self.size.width - sum(c.width + 1 for c in self._columns if c.width)
        for column, shown in zip(self._wide, self._columns, strict=False):
            x -= (shown.width or room) + 1
            if x < 0:
                if column.name in ORDERS:
                    same = column.name == self.sort_by
                    self._sort(column.name, not self.down if same else column.down)
                return

    def action_mark(self) -> None:
        """Mark the run under the cursor, or not any more, and go on to the next."""
        if (run := self.current) is not None:
            if run.folder in self.marked:
                self.marked.remove(run.folder)
            else:
                self.marked.append(run.folder)
            self._marks_changed()
            self.cursor += 1

    def action_mark_all(self) -> None:
        """Mark every run that is shown; none when all are."""
        shown = [run.folder for run in self.runs]
        self.marked = [] if set(shown) <= set(self.marked) else shown
        self._marks_changed()

    def unmark(self) -> None:
        """Mark none."""
        if self.marked:
            self.marked = []
            self._marks_changed()

    def action_sort_column(self, by: int) -> None:
        """Sort by the next or previous column that is shown."""
        names = [c.name for c in self._wide if c.name in ORDERS]
        if names:
            at = names.index(self.sort_by) if self.sort_by in names else -by
            name = names[(at + by) % len(names)]
            self._sort(name, next(c.down for c in COLUMNS if c.name == name))

    def action_turn_order(self) -> None:
        """The same column the other way round."""
        self._sort(self.sort_by, not self.down)

    def _sort(self, name: str, down: bool) -> None:
        self.sort_by, self.down = name, down
        self.show_runs(self.runs)
        self.post_message(self.Sorted(name, down))

    def _marks_changed(self) -> None:
        self.show_runs(self.runs)
        self.post_message(self.Marked(list(self.marked)))

    def _line(self, run: RunSummary, wide: Sequence[RunColumn], now: float) -> tuple[str, ...]:
        return cells_of(run, wide, now, marked=run.folder in self.marked)

    def _titled(self, column: RunColumn) -> Column:
        arrow = ("▼" if self.down else "▲") if column.name == self.sort_by else ""
        return Column(f"{column.title}{arrow}", column.width, column.right)
