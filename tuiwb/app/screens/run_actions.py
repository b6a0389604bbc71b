"""What can be done with runs of a project: tag, note, put away, delete, compare, export, run again.

Each acts on the marked runs of the table, or on the run that is shown or under the cursor. The
functions are those of the command line; they run in threads.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content

from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Ask, Pick
from tuiwb.app.screens.run_dialogs import ShowText, TypeToConfirm
from tuiwb.app.widgets.alerts_view import AlertsView
from tuiwb.app.widgets.run_view import RunView
from tuiwb.app.widgets.runs_table import RunsTable
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import labels
from tuiwb.monitor.diff import ConfigDiff, config_diff
from tuiwb.monitor.runs import RunSummary
from tuiwb.text import counted, inert

NAME = "{name}"  # in a file's name: each run's own
Files = list[tuple[Path, Path]]  # folders of runs, and the file to write of each
TagChange = tuple[list[str], list[str]]  # to add, to take off


class RunActions(WorkbenchScreen):
    """The Train screen's own half of the keys; the run's commands are RunCommands'."""

    table: RunsTable
    view: RunView
    runs: list[RunSummary]
    ready = False  # whether the widgets above are there

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("equals_sign", "difference", "Difference", key_display="="),
        Binding("v", "overlay", "Overlay"),
        Binding("t", "tags", "Tags", show=False),
        Binding("n", "note", "Note", show=False),
        Binding("A", "archive", "Archive", show=False),
        Binding("D", "delete", "Delete", show=False),
        Binding("R", "again", "Run again", show=False),
        Binding("E", "export", "Export curves", show=False),
        Binding("W", "report", "Write a report", show=False),
    ]

    @property
    def is_open(self) -> bool:
        """Whether a run is shown rather than the table."""
        raise NotImplementedError

    def open_over(self, folder: Path, others: list[Path]) -> None:
        """Show a run with others' curves over its own."""
        raise NotImplementedError

    def chosen(self) -> list[RunSummary]:
        """The marked runs, else the one that is shown, else the one under the cursor."""
        if self.table.marked:
            by_folder = {run.folder: run for run in self.runs}
            return [by_folder[folder] for folder in self.table.marked if folder in by_folder]
        return [run for run in (self.one(),) if run is not None]

    def one(self) -> RunSummary | None:
        """The run that is shown, else the one under the cursor."""
        watched = self.view.watched
        if self.is_open and watched is not None:
            return next((run for run in self.runs if run.folder == watched.folder), None)
        return self.table.current

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs two runs is there when two are marked; the rest when there is any."""
        if not self.ready:
            return False
        if action == "difference":
            return len(self.table.marked) >= 2
        if action == "overlay":
            return len(self.table.marked) >= 2 or bool(self.is_open and self.view.overlays)
        if action in ("tags", "archive", "delete", "export", "report"):
            return bool(self.chosen())
        if action in ("note", "again"):
            return self.one() is not None
        return super().check_action(action, parameters)

    @on(RunsTable.Marked)
    def _marked(self) -> None:
        self.refresh_bindings()

    def action_overlay(self) -> None:
        """Lay the marked runs over the one under the cursor; again takes them away."""
        run = self.one()
        if run is None:
            return
        if self.is_open and self.view.overlays and self.view.watched is not None:
            self.open_over(self.view.watched.folder, [])
            return
        folders = list(self.table.marked)
        base = run.folder if run.folder in folders else folders[0]
        self.open_over(base, [folder for folder in folders if folder != base])
        # They are on the screen now; what a key does next is done to the run that is shown.
        self.table.unmark()

    def action_difference(self) -> None:
        """Say what the marked runs were asked differently."""
        self._difference(list(self.table.marked))

    @work(thread=True, exclusive=True, exit_on_error=False, group="difference")
    def _difference(self, folders: Sequence[Path]) -> None:
        try:
            content = difference_words(config_diff(folders))
        except (TuiwbError, OSError) as error:
            self.complain(error)
        else:
            closing = "esc closes; the runs stay marked, esc in the table unmarks them"
            show = ShowText("What the runs were asked differently", content, closing)
            self.app.call_from_thread(self.app.push_screen, show)

    def action_tags(self) -> None:
        """Ask for tags: those named are added, those with a minus taken off."""
        runs = self.chosen()
        has = sorted({tag for run in runs for tag in run.tags})
        detail = f"has: {' '.join(has) or 'none'}; words add, -word takes off"

        def answer(change: TagChange | None) -> None:
            if change is not None and any(change):
                self._label([run.folder for run in runs], lambda folder: _retag(folder, change))

        ask = Ask(f"Tags of {_names(runs)}", tag_change, detail=detail)
        self.app.push_screen(ask, answer)

    def action_note(self) -> None:
        """Ask for a note; an empty one takes it away."""
        run = self.one()
        if run is None:
            return

        def answer(note: str | None) -> None:
            if note is not None:
                self._label([run.folder], lambda folder: labels.set_note(folder, note))

        ask = Ask(f"Note on {run.name}", _note, run.note, "kept beside the run")
        self.app.push_screen(ask, answer)

    def action_archive(self) -> None:
        """Put runs away, or take them out again; nothing is moved."""
        runs = self.chosen()
        live = [run.name for run in runs if run.running]
        if live:
            self.notify(f"{live[0]} is still running: stop it first", severity="warning")
            return
        away = not all(run.archived for run in runs)
        self._label([run.folder for run in runs], lambda folder: labels.archive(folder, away))
        self.table.unmark()
        words = "archived: H shows archived runs" if away else "taken out of the archive"
        self.notify(f"{_names(runs)} {words}")

    def action_delete(self) -> None:
        """Ask for the run's name to be typed, then move the runs to the trash."""
        runs = self.chosen()
        word = runs[0].name if len(runs) == 1 else str(len(runs))
        detail = (
            "Its adapter, checkpoints and curves"
            if len(runs) == 1
            else ", ".join(run.name for run in runs)
        )
        detail += " go to runs/.trash: tuiwb runs remove --restore NAME brings one back."

        def answer(yes: bool | None) -> None:
            if yes:
                self._delete([run.folder for run in runs])

        self.app.push_screen(TypeToConfirm(f"Delete {_names(runs)}?", detail, word), answer)

    @work(thread=True, exit_on_error=False, group="label")
    def _delete(self, folders: Sequence[Path]) -> None:
        from tuiwb.jobs.trash import remove

        try:
            for folder in folders:
                remove(folder, self.project.runs)
        except (TuiwbError, OSError) as error:
            self.complain(error)
        self.app.call_from_thread(self.workbench.read_jobs)

    def action_again(self) -> None:
        """Write the run's config into a file of its own and open it."""
        if (run := self.one()) is not None:
            self._to_config(run.folder, None)

    @on(AlertsView.FixWanted)
    def _fix(self, message: AlertsView.FixWanted) -> None:
        message.stop()
        if self.view.watched is not None:
            self._to_config(self.view.watched.folder, message.change)

    @work(thread=True, exclusive=True, exit_on_error=False, group="again")
    def _to_config(self, folder: Path, change: dict[str, Any] | None) -> None:
        from tuiwb.train.rerun import config_again

        try:
            path = config_again(self.project, folder, change)
        except (TuiwbError, OSError, ValueError) as error:
            self.complain(error)
            return
        self.workbench.wanted_config = path
        self.workbench.wanted_key = next(iter(change or ()), "")
        words = f"wrote {self.project.shorten(path)}, {_made_of(change)}: ctrl+t trains it"
        self.app.call_from_thread(self.app.run_worker, self._show_config(words))

    async def _show_config(self, words: str) -> None:
        """Go to Config, and say there what was written."""
        await self.workbench.action_go("config")
        self.app.notify(words)

    @on(AlertsView.RowsWanted)
    def _rows(self, message: AlertsView.RowsWanted) -> None:
        message.stop()
        rows = message.rows

        def show(at: int | None) -> None:
            if at is not None:
                self.workbench.wanted_row = rows[at]
                self.app.run_worker(self.workbench.action_go("data"))

        if len(rows) == 1:
            show(0)
        else:
            self.app.push_screen(Pick("Which row?", rows), show)

    def action_export(self) -> None:
        """Ask for a file, then write the run's curves into it; of several runs a file each."""
        from tuiwb.monitor.export import SUFFIXES

        self._ask_file("Export the curves of", "curves.csv", SUFFIXES, self._export)

    def action_report(self) -> None:
        """Ask for a file, then write the run's report into it; of several runs a file each."""
        from tuiwb.monitor.report import SUFFIXES

        self._ask_file("Write a report of", "report.html", SUFFIXES, self._report)

    def _ask_file(
        self, question: str, ending: str, kinds: Sequence[str], do: Callable[[Files], object]
    ) -> None:
        runs = self.chosen()
        if not runs:
            return

        def files(text: str) -> Files:
            if not text.strip():
                return []
            named = files_named(runs, text.strip())
            found = [(folder, self.project.resolve(name)) for folder, name in named]
            for _folder, path in found:
                _check_new(path, kinds)
            return found

        def answer(found: Files | None) -> None:
            if found:
                do(found)

        name = f"{_file_name(runs[0])}-{ending}" if len(runs) == 1 else f"{NAME}-{ending}"
        detail = f"{' or '.join(kinds)}, below {self.project.root}"
        if len(runs) > 1:
            detail += f"; {NAME} is each run's own"
        self.app.push_screen(Ask(f"{question} {_names(runs)}", files, name, detail), answer)

    @work(thread=True, exit_on_error=False, group="export")
    def _export(self, files: Files) -> None:
        from tuiwb.monitor.export import export_curves, read_whole

        rows = 0
        try:
            for folder, path in files:
                rows += export_curves(read_whole(folder)[0].series, path)
        except (TuiwbError, OSError) as error:
            self.complain(error)
        else:
            words = f"wrote {counted(rows, 'row')} to {self._file_words(files)}"
            self.app.call_from_thread(self.notify, words, markup=False)

    @work(thread=True, exit_on_error=False, group="export")
    def _report(self, files: Files) -> None:
        from tuiwb.monitor.report import write_report

        try:
            for folder, path in files:
                write_report(folder, path, self.project.settings.gpu_price_per_hour)
        except (TuiwbError, OSError) as error:
            self.complain(error)
        else:
            words = f"wrote {self._file_words(files)}"
            self.app.call_from_thread(self.notify, words, markup=False)

    def _file_words(self, files: Files) -> str:
        return ", ".join(self.project.shorten(path) for _, path in files)

    @work(thread=True, exit_on_error=False, group="label")
    def _label(self, folders: Sequence[Path], change: Callable[[Path], object]) -> None:
        try:
            for folder in folders:
                change(folder)
        except (TuiwbError, OSError) as error:
            self.complain(error)
        self.app.call_from_thread(self.jobs_changed, self.workbench.jobs)

    def complain(self, error: Exception) -> None:
        """Say on the screen what a thread met."""
        self.app.call_from_thread(self.notify, str(error), severity="error")


def files_named(runs: Sequence[RunSummary], text: str) -> list[tuple[Path, str]]:
    """Each run's folder with its file's name, NAME in `text` standing for the run's.

    BadInput where several runs would be written into one file.
    """
    if len(runs) > 1 and NAME not in text:
        raise BadInput(f"{len(runs)} runs need a file each: put {NAME} into the file's name")
    named = [(run.folder, text.replace(NAME, _file_name(run))) for run in runs]
    if len({name for _, name in named}) < len(named):
        raise BadInput("two of the runs would be written into one file: export them one by one")
    return named


def _file_name(run: RunSummary) -> str:
    return run.name.replace("/", "-")


def tag_change(text: str) -> TagChange:
    """The tags to add and those to take off; BadInput for what can't be one."""
    words = text.replace(",", " ").split()
    plain = [word.removeprefix("#") for word in words if not word.startswith("-")]
    gone = [word[1:].removeprefix("#") for word in words if word.startswith("-") and len(word) > 1]
    if words and not plain and not gone:
        raise BadInput("name a tag, or -tag to take one off")
    for tag in plain:
        labels.check_tag(tag)
    return plain, gone


def _retag(folder: Path, change: TagChange) -> None:
    plain, gone = change
    if plain:
        labels.add_tags(folder, plain)
    if gone:
        labels.remove_tags(folder, gone)


def _note(text: str) -> str:
    return labels.check_note(text.strip())


def _check_new(path: Path, suffixes: Sequence[str]) -> None:
    """BadInput unless a file of one of these kinds can be made there."""
    from tuiwb.monitor.export import check_target

    if path.exists():
        raise BadInput(f"{path} exists already: give another name")
    check_target(path, suffixes, replace=False)


def _made_of(change: dict[str, Any] | None) -> str:
    """What a new config of a run holds."""
    if not change:
        return "what the run was asked"
    return f"with {', '.join(f'{key} {value}' for key, value in change.items())}"


def _names(runs: Sequence[RunSummary]) -> str:
    return runs[0].name if len(runs) == 1 else f"{len(runs)} runs"


def difference_words(diff: ConfigDiff) -> Content:
    """Each key that differs, then its value in every run, one below the other."""
    if not diff.differs:
        return Content("The runs were asked the same: config, data, base model, code.")
    width = max(len(name) for name in diff.runs)
    lines: list[Content] = []
    for row in diff.differs:
        lines.append(Content.styled(inert(row.key, one_line=True), "bold $accent"))
        lines += [
            Content.assemble(
                (f"  {inert(name, one_line=True):<{width}}  ", "$foreground 60%"),
                inert(row.said(name), one_line=True),
            )
            for name in diff.runs
        ]
    return Content("\n").join(lines)
