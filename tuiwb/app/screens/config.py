"""Config: edit a run's YAML with every problem and every key's meaning beside it, then train."""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import OptionList, Static, TextArea
from textual.widgets.option_list import Option

from tuiwb.app.drafts import Drafts
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Ask, Confirm, Pick
from tuiwb.app.yaml_cursor import key_path
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.jobs.folder import write_atomically
from tuiwb.text import inert

if TYPE_CHECKING:
    from tuiwb.train.problems import Problem

CHECK_AFTER = 0.3
MARKS = {
    "error": ("✗", "$text-error"),
    "warning": ("!", "$text-warning"),
    "note": ("·", "$foreground 60%"),
}


class ConfigScreen(WorkbenchScreen):
    """One file at a time; unsaved edits survive a lost connection as drafts."""

    MODE = "config"
    CSS_PATH = "config.tcss"
    HELP_TEXT = (
        "Parameter names are TRL's and PEFT's own. The file is checked as you type; the panel "
        "below explains the key under the cursor. Unsaved edits are kept if the connection drops."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+t", "train", "Train", priority=True),
        Binding("ctrl+s", "save", "Save", priority=True),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+e", "next_problem", "To problem", priority=True),
        Binding("f2", "step_file(1)", "Next file"),
        Binding("escape", "leave_editor", "Leave editor", key_display="esc", priority=True),
        Binding("f1", "app.help", "Help"),
    ]

    class Checked(Message):
        """What checking a text brought."""

        def __init__(self, text: str, problems: "list[Problem]") -> None:
            super().__init__()
            self.text = text
            self.problems = problems

    class Explained(Message):
        """What the key under the cursor means."""

        def __init__(self, content: Content) -> None:
            super().__init__()
            self.content = content

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal():
            files = OptionList(id="files", classes="panel", markup=False)
            files.border_title = "Configs"
            yield files
            with Vertical():
                yield self._editor()
                with Horizontal(id="below"):
                    with VerticalScroll(id="problems", classes="panel", can_focus=False) as box:
                        box.border_title = "Check"
                        yield Static(id="problem-lines", markup=False)
                    with VerticalScroll(id="doc", classes="panel", can_focus=False) as box:
                        box.border_title = "Key"
                        yield Static(id="doc-lines", markup=False)

    def _editor(self) -> TextArea:
        editor = TextArea(
            id="editor",
            classes="panel",
            show_line_numbers=True,
            tab_behavior="indent",
            highlight_cursor_line=True,
            compact=True,
            placeholder="no config open: ctrl+n makes a commented one",
        )
        editor.indent_width = 2
        editor.cursor_blink = False
        with contextlib.suppress(Exception):  # a platform without the tree-sitter wheels
            editor.language = "yaml"
        return editor

    def on_mount(self) -> None:
        self._drafts = Drafts(self.project.cache / "drafts")
        self._files: list[Path] = []
        self._path: Path | None = None
        self._on_disk: str | None = None
        self._problems: list[Problem] = []
        self._timer: Timer | None = None
        self._doc_key = ""
        self._list_files()
        if self._files:
            self._open(self._files[0])
        self.query_one("#editor", TextArea).focus()

    @property
    def modified(self) -> bool:
        """Whether the editor holds what the file does not."""
        text = self.query_one("#editor", TextArea).text
        return self._path is not None and text != (self._on_disk or "")

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        wanted, self.workbench.wanted_config = self.workbench.wanted_config, None
        if wanted is not None:
            self._settled()
            self._open(wanted)
        self._list_files()

    def _list_files(self) -> None:
        files = self.project.configs()
        if self._path and self._path not in files:
            files.append(self._path)
        if files == self._files:
            return
        self._files = files
        menu = self.query_one("#files", OptionList)
        menu.clear_options()
        menu.add_options(Option(inert(self.project.shorten(path), one_line=True)) for path in files)
        if self._path in files:
            menu.highlighted = files.index(self._path)

    def _open(self, path: Path) -> None:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.notify(f"can't read {path}: {error}", severity="error", markup=False)
            return
        draft = self._drafts.read(path)
        outdated = self._drafts.outdated(path)
        self._path, self._on_disk = path, text
        editor = self.query_one("#editor", TextArea)
        editor.load_text(text)
        if draft is not None and draft != text:
            self._bring_back(path, draft, ask=outdated)
        self._title()
        self._check()
        self._explain_key()

    def _bring_back(self, path: Path, draft: str, *, ask: bool) -> None:
        """Put unsaved edits back into the editor; nothing is written until they are saved."""

        def load(yes: bool | None) -> None:
            if yes and self._path == path:
                self.query_one("#editor", TextArea).load_text(draft)
                self.notify(f"{path.name}: unsaved edits brought back")

        if ask:
            detail = "The file was changed on disk after them. Yes shows the edits, no drops them."
            self.app.push_screen(
                Confirm(f"Bring back the unsaved edits of {path.name}?", detail), load
            )
        else:
            load(True)

    def _title(self) -> None:
        editor = self.query_one("#editor", TextArea)
        name = self.project.shorten(self._path) if self._path else "no file"
        title = Content(f"{inert(name, one_line=True)}{' ● not saved' if self.modified else ''}")
        if editor.border_title != title:
            editor.border_title = title

    @on(OptionList.OptionSelected, "#files")
    def _choose(self, event: OptionList.OptionSelected) -> None:
        if event.option_index < len(self._files):
            self._settled()
            self._open(self._files[event.option_index])
            self.query_one("#editor").focus()

    @on(TextArea.Changed, "#editor")
    def _edited(self) -> None:
        self._title()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER, self._settled)

    def _settled(self) -> None:
        if self._path is not None:
            if self.modified:
                self._drafts.write(self._path, self.query_one("#editor", TextArea).text)
            else:
                self._drafts.drop(self._path)
        self._check()
        self._explain_key()

    def _check(self) -> None:
        if self._path is not None:
            self._check_text(self.query_one("#editor", TextArea).text, self._path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="check")
    def _check_text(self, text: str, path: Path) -> None:
        from tuiwb.train.config import check_text

        _, problems = check_text(text, path)
        self.post_message(self.Checked(text, problems))

    @on(Checked)
    def _show_problems(self, message: Checked) -> None:
        order = ("error", "warning", "note")
        problems = sorted(message.problems, key=lambda p: (order.index(p.severity), p.line))
        self._problems = problems
        counts = [sum(p.severity == kind for p in problems) for kind in order]
        box = self.query_one("#problems")
        box.border_title = "Check: " + (
            ", ".join(
                f"{n} {kind}{'s' if n > 1 else ''}"
                for n, kind in zip(counts, order, strict=True)
                if n
            )
            or "fine"
        )
        lines = [
            Content.assemble(
                (f"{MARKS[p.severity][0]} {p.line:>3} ", MARKS[p.severity][1]), inert(p.message)
            )
            for p in problems
        ]
        if not counts[0]:
            lines.insert(0, Content.styled("✓ ready: ctrl+t trains it", "$text-success"))
        self.query_one("#problem-lines", Static).update(Content("\n").join(lines))

    @on(TextArea.SelectionChanged, "#editor")
    def _explain_key(self) -> None:
        editor = self.query_one("#editor", TextArea)
        key = key_path(editor.document.lines, editor.cursor_location[0])
        if key != self._doc_key:
            self._doc_key = key
            self._describe(key)

    @work(thread=True, exclusive=True, exit_on_error=False, group="doc")
    def _describe(self, key: str) -> None:
        from tuiwb.train.config import describe

        try:
            doc = describe(key)
        except TuiwbError as error:
            content = Content.styled(inert(str(error)), "$foreground 60%") if key else Content("")
        else:
            kind = (
                doc.type
                if doc.type == "section" or doc.required
                else (f"{doc.type}, default {_plain(doc.default)}")
            )
            content = Content.assemble(
                (doc.name, "bold"), "  ", (kind, "$foreground 60%"), "\n", doc.description
            )
        self.post_message(self.Explained(content))

    @on(Explained)
    def _show_doc(self, message: Explained) -> None:
        self.query_one("#doc-lines", Static).update(message.content)

    def action_next_problem(self) -> None:
        """Put the cursor on the next line that has a problem."""
        if not self._problems:
            self.notify("no problems", markup=False)
            return
        editor = self.query_one("#editor", TextArea)
        lines = sorted({p.line for p in self._problems})
        here = editor.cursor_location[0] + 1
        line = next((n for n in lines if n > here), lines[0])
        editor.move_cursor((line - 1, 0), center=True)
        editor.focus()

    def action_step_file(self, by: int) -> None:
        """Open the next config; unsaved edits of this one are kept as a draft."""
        if self._files:
            at = self._files.index(self._path) if self._path in self._files else -1
            self._settled()
            self._open(self._files[(at + by) % len(self._files)])

    def action_leave_editor(self) -> None:
        """Let go of the editor, so that 1-6 move between screens again."""
        files = self.query_one("#files")
        if files.display:
            files.focus()
        else:
            self.set_focus(None)

    def action_save(self) -> None:
        """Write the file, after a question if it changed on disk meanwhile."""
        self._save_then(lambda: self.notify(f"saved {self._path}", markup=False))

    def _save_then(self, then: Callable[[], object]) -> None:
        path = self._path
        if path is None:
            return
        text = self.query_one("#editor", TextArea).text

        def write(yes: bool | None = True) -> None:
            if not yes:
                return
            try:
                write_atomically(path, text.encode("utf-8"))
            except OSError as error:
                self.notify(
                    f"can't write {path}: {error.strerror}; the edit is kept as a draft",
                    severity="error",
                    markup=False,
                )
                return
            self._on_disk = text
            self._drafts.drop(path)
            self._title()
            then()

        try:
            current = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            current = self._on_disk or ""
        if current not in (self._on_disk, text):
            self.app.push_screen(
                Confirm("Overwrite?", f"{path.name} was changed on disk since it was opened."),
                write,
            )
        elif text == self._on_disk:
            then()
        else:
            write()

    def action_new(self) -> None:
        """Make a commented config for one of the project's datasets."""
        datasets = self.project.datasets()
        if not datasets:
            self.notify("put a dataset into data/ first", severity="warning", markup=False)
            return

        def make(index: int | None) -> None:
            if index is not None:
                self._make(datasets[index])

        # The largest file is most likely the training set.
        likely = max(range(len(datasets)), key=lambda n: datasets[n].stat().st_size)
        names = [self.project.shorten(path) for path in datasets]
        self.app.push_screen(Pick("New config: train on", names, likely), make)

    @work(thread=True, exclusive=True, exit_on_error=False, group="new")
    def _make(self, dataset: Path) -> None:
        from tuiwb.train.template import new_config

        folder = self.project.root / "configs"
        names = (f"{dataset.stem}-lora{n}.yaml" for n in ("", *(f"-{k}" for k in range(2, 999))))
        path = next(folder / name for name in names if not (folder / name).exists())
        try:
            path = new_config(self.project, path, data=self.project.shorten(dataset))
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)
        else:
            self.app.call_from_thread(self._made, path)

    def _made(self, path: Path) -> None:
        self._list_files()
        self._open(path)
        self.query_one("#editor").focus()

    def action_train(self) -> None:
        """Save, check, ask for the run's name, start it and go and watch."""
        if any(p.severity == "error" for p in self._problems):
            self.notify(
                "the config has errors: ctrl+e goes to them", severity="error", markup=False
            )
            return
        path = self._path
        if path is None:
            self.notify("open or make a config first", severity="warning", markup=False)
            return
        self._save_then(lambda: self._propose(path))

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _propose(self, path: Path) -> None:
        from tuiwb.train.names import free_name
        from tuiwb.train.plan import plan

        try:
            folder, spec = plan(self.project, path)
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(
                self.notify, str(error), severity="error", markup=False, timeout=12
            )
            return

        def start(name: str | None) -> None:
            if name:
                self._start(path, name)

        base = Path(str(spec["model"]["base"])).name
        rows = ", ".join(Path(str(p)).name for p in spec["data"]["train"])
        ask = Ask(
            "Train as",
            lambda name: free_name(self.project, name.strip()),
            folder.name,
            f"{base} on {rows}; it goes on without this terminal",
        )
        self.app.call_from_thread(self.app.push_screen, ask, start)

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _start(self, path: Path, name: str) -> None:
        from tuiwb.train.start import start

        try:
            folder = start(self.project, path, name)
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(
                self.notify, str(error), severity="error", markup=False, timeout=12
            )
            return
        self.workbench.wanted_run = folder
        self.app.call_from_thread(self.workbench.read_jobs)
        self.app.call_from_thread(self.app.run_worker, self.workbench.action_go("train"))


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
