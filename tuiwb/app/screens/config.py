"""Config: a run's YAML with every problem and every key's meaning beside it, then train.

Letters are keys until `e` or enter lets them into the text, and again after escape.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static, TextArea

from tuiwb.app.drafts import Drafts
from tuiwb.app.screens.config_files import ConfigFiles
from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.widgets.config_editor import ConfigEditor, ConfigList
from tuiwb.app.widgets.config_problems import lines_of, title_of
from tuiwb.app.yaml_cursor import key_path, row_of
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.text import inert

if TYPE_CHECKING:
    from tuiwb.train.machine import Machine
    from tuiwb.train.problems import Problem

CHECK_AFTER = 0.3
LISTED_FROM = 100  # columns; below, config.tcss hides the list


class ConfigScreen(ConfigFiles):
    """One file at a time; unsaved edits survive a lost connection as drafts."""

    MODE = "config"
    CSS_PATH = "config.tcss"
    HELP_TEXT = (
        "e or enter edits the text, esc ends that: letters are keys again. Parameter names are "
        "TRL's and PEFT's own; the panel below explains the key under the cursor. The file is "
        "checked as you type, the rows and this machine too. Edits that are not saved are kept if "
        "the connection drops or you quit (●); ctrl+r goes back to the saved file."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave_editor", "Done", key_display="esc", priority=True),
        Binding("escape", "to_list", "List", key_display="esc", priority=True),
        Binding("e,enter", "edit", "Edit", tooltip="let letters go into the text"),
        Binding("ctrl+s", "save", "Save", priority=True, tooltip="write the file"),
        Binding("ctrl+t", "train", "Train", priority=True, tooltip="save, check, start a run"),
        Binding("ctrl+n", "new", "New", priority=True, tooltip="a commented config"),
        Binding(
            "ctrl+e", "next_problem", "To problem", priority=True, tooltip="to the next problem"
        ),
        Binding(
            "ctrl+r", "revert", "Revert", priority=True, tooltip="back to the file, edits dropped"
        ),
        Binding("right_square_bracket,f2", "step_file(1)", "Next file", key_display="]"),
        Binding(
            "left_square_bracket", "step_file(-1)", "Previous file", key_display="[", show=False
        ),
        Binding("f1", "keys", "Help"),
    ]

    class Checked(Message):
        """What checking a text brought."""

        def __init__(self, text: str, path: Path | None, problems: "Sequence[Problem]") -> None:
            super().__init__()
            self.text, self.path, self.problems = text, path, problems

    class Explained(Message):
        """What the key under the cursor means."""

        def __init__(self, content: Content) -> None:
            super().__init__()
            self.content = content

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal():
            files = ConfigList(id="files", classes="panel", markup=False)
            files.border_title = "Configs"
            yield files
            with Vertical():
                yield ConfigEditor()
                with Horizontal(id="below"):
                    with VerticalScroll(id="problems", classes="panel", can_focus=False) as box:
                        box.border_title = "Check"
                        yield Static(id="problem-lines", markup=False)
                    with VerticalScroll(id="doc", classes="panel", can_focus=False) as box:
                        box.border_title = "Key"
                        yield Static(id="doc-lines", markup=False)

    def on_mount(self) -> None:
        self._drafts = Drafts(self.project.cache / "drafts")
        self.workbench.unkept = self._unkept
        self._files = []
        self._path = None
        self._on_disk = self._typed = ""
        self._problems: list[Problem] = []
        self._machine: Machine | None = None
        self._timer: Timer | None = None
        self._doc_key = ""
        self._list_files()
        self._open(self._files[0] if self._files else None)
        self._focus_for_keys()

    def on_screen_resume(self) -> None:
        """Look at the machine anew: a package may have been installed meanwhile."""
        self._machine = None
        self._check()
        super().on_screen_resume()

    def on_screen_suspend(self) -> None:
        """Another screen, and no dialog over this one: nobody comes back into half a word."""
        if self.app.current_mode != self.MODE:
            self._end_editing()

    def on_unmount(self) -> None:
        """The program ends, and the editor is gone already: what was typed last is kept too."""
        self._keep(self._typed)

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        wanted, self.workbench.wanted_config = self.workbench.wanted_config, None
        key, self.workbench.wanted_key = self.workbench.wanted_key, ""
        if wanted is not None:
            self._keep_draft()
            self._open(wanted)
            if key:
                row = row_of(self.editor.document.lines, key)
                self.editor.move_cursor((row, 0), center=True)
                self.editor.focus()
        else:
            self._look_at_disk()
        self._list_files()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Each key is there while it does something."""
        if not self.is_mounted or not hasattr(self, "_problems"):
            return True
        editing = self.editor.editing
        match action:
            case "leave_editor" | "keys":
                return editing
            case "to_list":
                return not editing and self._listed and self.focused is self.editor
            case "edit":
                return not editing
            case "save" | "revert":
                return editing or self.modified if action == "save" else self.modified
            case "step_file":
                return not editing and len(self._files) > 1
            case "next_problem":
                return bool(self._lines_to_mend())
        return True

    @property
    def _listed(self) -> bool:
        """Whether there is a list to move in."""
        return self.app.size.width >= LISTED_FROM and len(self._files) > 1

    def _focus_for_keys(self) -> None:
        """Where the arrows move and letters are keys: the list, or the text where there is none."""
        (self.query_one("#files") if self._listed else self.editor).focus()

    def on_resize(self, event: events.Resize) -> None:
        """Nobody is left in a list that is hidden now."""
        if event.size.width < LISTED_FROM and self.focused is self.query_one("#files"):
            self.editor.focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Into the list by mouse: letters are its keys, and the screen's."""
        if event.widget is not self.editor:
            self._end_editing()

    def action_edit(self) -> None:
        """Let letters go into the text."""
        self.editor.edit_on(True)
        self.editor.focus()
        self.refresh_bindings()

    def action_leave_editor(self) -> None:
        """Letters are keys again; the arrows still move in the text. Toasts go too."""
        self._end_editing()
        self.app.clear_notifications()

    def action_to_list(self) -> None:
        """From the text to the list of files."""
        self.query_one("#files").focus()

    def _end_editing(self) -> None:
        if self.editor.editing:
            self.editor.edit_on(False)
            self._settled()
            self._list_files()
        self.refresh_bindings()

    async def action_keys(self) -> None:
        """The help, where `?` would type a question mark."""
        await self.workbench.action_help()

    @on(TextArea.Changed, "#editor")
    def _edited(self) -> None:
        self._typed = self.editor.text
        self._changed()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER, self._settled)

    def _settled(self) -> None:
        self._keep_draft()
        self._check()
        self._explain_key()

    def _opened(self) -> None:
        self._changed()
        self._check()
        self._explain_key()

    def _changed(self) -> None:
        title = self._title()
        if self.editor.border_title != title:
            self.editor.border_title = title
            self._list_files()
            self.refresh_bindings()

    def _check(self) -> None:
        self._check_text(self.editor.text, self._path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="check")
    def _check_text(self, text: str, path: Path | None) -> None:
        from tuiwb.train.check import examine
        from tuiwb.train.config import read_text
        from tuiwb.train.machine import look

        if not text.strip():
            self.post_message(self.Checked(text, path, []))
            return
        if self._machine is None:
            self._machine = look(self.project)
        reading = read_text(text, path or self.project.root / "configs" / "untitled.yaml")
        found = examine(self.project, reading, self._machine, quick=True)
        self.post_message(self.Checked(text, path, found.problems))

    @on(Checked)
    def _show_problems(self, message: Checked) -> None:
        if message.text != self.editor.text or message.path != self._path:
            return  # the check of what is shown now is on its way
        self._problems = list(message.problems)
        box, lines = self.query_one("#problems"), self.query_one("#problem-lines", Static)
        if message.text.strip():
            box.border_title = title_of(self._problems)
            lines.update(lines_of(self._problems))
        else:
            box.border_title = "Check"
            empty = "empty: ctrl+n makes a commented config"
            lines.update(Content.styled(empty, "$foreground 60%"))
        self.refresh_bindings()

    @on(TextArea.SelectionChanged, "#editor")
    def _explain_key(self) -> None:
        key = key_path(self.editor.document.lines, self.editor.cursor_location[0])
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
        lines = self._lines_to_mend()
        here = self.editor.cursor_location[0] + 1
        line = next((n for n in lines if n > here), lines[0])
        self.editor.move_cursor((line - 1, 0), center=True)
        self.editor.focus()

    def _lines_to_mend(self) -> list[int]:
        return sorted({p.line for p in self._problems if p.severity != "note"})

    @work(thread=True, exclusive=True, exit_on_error=False, group="new")
    def action_new(self) -> None:
        """Ask what a new config is to train, and make it."""
        from tuiwb.app.screens.config_new import NewConfig
        from tuiwb.train.choices import bases, datasets

        found = datasets(self.project)
        if not found:
            self.app.call_from_thread(
                self.notify,
                "no dataset yet: put JSONL, JSON, CSV or Parquet under data/ first",
                severity="warning",
            )
            return
        form = NewConfig(self.project, found, bases(self.project))
        self.app.call_from_thread(self.app.push_screen, form, self._made)

    def _made(self, path: Path | None) -> None:
        if path is not None:
            self._keep_draft()
            self._open(path)
            self._focus_for_keys()
            self.notify(f"wrote {self.project.shorten(path)}: e edits it, ctrl+t trains it")

    def action_train(self) -> None:
        """Save, check, ask for the run's name, start it and go and watch."""
        if not self.editor.text.strip():
            self.notify("no config yet: ctrl+n makes one", severity="warning", markup=False)
        elif any(p.severity == "error" for p in self._problems):
            self.notify(
                "the config has errors: ctrl+e goes to them", severity="error", markup=False
            )
        else:
            self._save_then(self._propose_saved)

    def _propose_saved(self) -> None:
        if self._path is not None:
            self._propose(self._path, self.editor.text)

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _propose(self, path: Path, text: str) -> None:
        """Check it whole, every row and the hub too, and ask for the run's name."""
        from tuiwb.train.check import examine
        from tuiwb.train.config import read_text
        from tuiwb.train.machine import look
        from tuiwb.train.names import free_name, run_name
        from tuiwb.train.plan import spec_of

        reading = read_text(text, path)
        try:
            found = examine(self.project, reading, look(self.project))
            self.post_message(self.Checked(text, path, found.problems))
            if found.errors or reading.config is None:
                self._complain(f"{path.name}:{found.errors[0].line}: {found.errors[0].message}")
                return
            folder = self.project.runs / run_name(self.project, reading.config, path, None)
            spec = spec_of(self.project, path, reading.config, found)
        except (TuiwbError, OSError) as error:
            self._complain(str(error))
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
            self._complain(str(error))
            return
        self.workbench.wanted_run = folder
        self.app.call_from_thread(self.workbench.read_jobs)
        self.app.call_from_thread(self.app.run_worker, self.workbench.action_go("train"))

    def _complain(self, sentence: str) -> None:
        """A toast, from a thread."""
        self.app.call_from_thread(self.notify, sentence, severity="error", markup=False, timeout=12)


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
