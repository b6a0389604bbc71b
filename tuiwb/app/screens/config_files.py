"""The configs' files on the Config screen: list, open, keep unsaved edits, save, revert."""

from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuiwb.app.drafts import Drafts
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Ask, Confirm
from tuiwb.app.widgets.config_editor import ConfigEditor
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.text import inert

NO_NAME = "(no name yet)"
HERE_ONLY = "is in this window only"


class ConfigFiles(WorkbenchScreen):
    """Mixed into the Config screen. `_path` is None for a text that has no file yet, which is
    kept as a draft like any other unsaved edit."""

    _drafts: Drafts
    _files: list[Path | None]
    _path: Path | None
    _on_disk: str
    _typed: str
    _told = ""

    # What the Config screen gives.

    def _opened(self) -> None:
        """Another text is shown."""
        raise NotImplementedError

    def _changed(self) -> None:
        """Whether the text differs from its file has changed."""
        raise NotImplementedError

    @property
    def editor(self) -> ConfigEditor:
        """The text."""
        return self.query_one("#editor", ConfigEditor)

    @property
    def modified(self) -> bool:
        """Whether the editor holds what the file does not."""
        return self.editor.text != self._on_disk

    @property
    def _draft_of(self) -> Path:
        """What the draft of the shown text is kept under."""
        return self._path or self._nameless

    @property
    def _nameless(self) -> Path:
        return self.project.root / "configs" / "untitled"

    def _list_files(self) -> None:
        """Show what is there now, each with a mark where its edits are not saved."""
        files: list[Path | None] = list(self.project.configs())
        if self._path is not None and self._path not in files:
            files.append(self._path)
        shown_nameless = self._path is None and bool(self.editor.text)
        if shown_nameless or self._drafts.read(self._nameless):
            files.append(None)
        menu = self.query_one("#files", OptionList)
        lines = [self._line(path) for path in files]
        if files != self._files or lines != [str(o.prompt) for o in menu.options]:
            self._files = files
            with self.prevent(OptionList.OptionHighlighted):
                menu.clear_options()
                menu.add_options(Option(line) for line in lines)
        if self._path in files and menu.highlighted != files.index(self._path):
            with self.prevent(OptionList.OptionHighlighted):
                menu.highlighted = files.index(self._path)

    def _line(self, path: Path | None) -> str:
        shown = path == self._path
        unsaved = self.modified if shown else self._drafts.read(path or self._nameless) is not None
        name = NO_NAME if path is None else self.project.shorten(path).removeprefix("configs/")
        return f"{'●' if unsaved else ' '} {inert(name, one_line=True)}"

    def _open(self, path: Path | None) -> None:
        """Show a file, with its unsaved edits where there are some; None: the text without one."""
        text = ""
        if path is not None:
            try:
                text = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                name = self.project.shorten(path)
                self.notify(f"can't read {name}: {why}", severity="error", markup=False)
                return
        self._path, self._on_disk = path, text
        self.editor.edit_on(False)
        draft = self._drafts.read(self._draft_of)
        self.editor.load_text(text)
        self._typed = text
        if draft is not None and draft != text:
            self._bring_back(path, draft, ask=path is not None and self._drafts.outdated(path))
        self._list_files()
        self._opened()

    def _bring_back(self, path: Path | None, draft: str, *, ask: bool) -> None:
        """Put unsaved edits back into the editor; nothing is written until they are saved."""
        name = path.name if path is not None else "the text without a name"

        def load(yes: bool | None) -> None:
            if yes and self._path == path:
                self.editor.take_back(draft)
                how = "ctrl+s saves, ctrl+r reverts" if path else "ctrl+s gives it a name"
                self.notify(f"{name}: unsaved edits brought back; {how}")

        if ask:
            detail = "The file was changed on disk after them. Yes shows the edits, no drops them."
            self.app.push_screen(Confirm(f"Bring back the unsaved edits of {name}?", detail), load)
        else:
            load(True)

    def _keep_draft(self) -> None:
        """Keep what is not saved, so that it survives the program; say once that it can't be."""
        problem = self._keep(self.editor.text)
        if problem and problem != self._told:
            self.notify(problem, severity="warning", markup=False)
        self._told = problem

    def _keep(self, text: str) -> str:
        """Keep `text` as a draft where it is not what the file holds; '', or why it can't be."""
        if text != self._on_disk:
            why = self._drafts.write(self._draft_of, text)
            return f"no draft can be kept ({why}): what is not saved {HERE_ONLY}" if why else ""
        why = self._drafts.drop(self._draft_of)
        return f"the draft can't be deleted ({why}): it comes back at the next start" if why else ""

    def _unkept(self) -> list[str]:
        """Names of the files whose edits would be lost with the program."""
        self._keep(self.editor.text)
        return [
            NO_NAME if path == self._nameless else self.project.shorten(path)
            for path in self._drafts.held
        ]

    def _look_at_disk(self) -> None:
        """Show a file as it is now where it was changed by others and no edit is in the way."""
        if self._path is None or self.modified or self.editor.editing:
            return
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return
        if text != self._on_disk:
            at = self.editor.cursor_location
            self._on_disk = text
            self.editor.load_text(text)
            self._typed = text
            self.editor.move_cursor(at)
            self.notify(f"{self._path.name} was changed on disk: this is how it is now")
            self._opened()

    @on(OptionList.OptionHighlighted, "#files")
    def _moved_to(self, event: OptionList.OptionHighlighted) -> None:
        at = event.option_index
        if at < len(self._files) and self._files[at] != self._path:
            self._keep_draft()
            self._open(self._files[at])

    def action_step_file(self, by: int) -> None:
        """Open the next config; unsaved edits of this one are kept as a draft."""
        if self._files:
            at = self._files.index(self._path) if self._path in self._files else -1
            self._keep_draft()
            self._open(self._files[(at + by) % len(self._files)])

    def action_revert(self) -> None:
        """Back to the saved file, after a question."""
        if not self.modified:
            return

        def revert(yes: bool | None) -> None:
            if yes:
                self.editor.take_back(self._on_disk)
                self._keep_draft()
                self._changed()

        again = "ctrl+z while editing brings them back until another file is opened."
        if self._path is None:
            question, detail = "Throw this text away?", f"It was never saved. {again}"
        else:
            question = f"Revert {self._path.name} to the saved file?"
            detail = f"The unsaved edits are dropped. {again}"
        self.app.push_screen(Confirm(question, detail), revert)

    def action_save(self) -> None:
        """Write the file, after a question if it changed on disk meanwhile."""
        if self._path is None and not self.editor.text.strip():
            self.notify("nothing to save: ctrl+n makes a config", severity="warning")
            return
        self._save_then(self._say_saved)

    def _say_saved(self) -> None:
        if self._path is not None:
            self.notify(f"saved {self.project.shorten(self._path)}", markup=False)

    def _save_then(self, then: Callable[[], object]) -> None:
        path = self._path
        if path is None:
            self._name_then(then)
            return
        text = self.editor.text

        def write(yes: bool | None = True) -> None:
            if yes and self._write(path, text):
                then()

        try:
            current = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            current = self._on_disk
        if current not in (self._on_disk, text):
            self.app.push_screen(
                Confirm("Overwrite?", f"{path.name} was changed on disk since it was opened."),
                write,
            )
        elif text == self._on_disk:
            then()
        else:
            write()

    def _name_then(self, then: Callable[[], object]) -> None:
        """Ask for the name of a text that has no file yet, and save it."""

        def save(path: Path | None) -> None:
            if path is None or not self._write(path, self.editor.text):
                return
            self._drafts.drop(self._nameless)
            self._path = path
            self._list_files()
            self._opened()
            then()

        detail = "A name goes into configs/; a path counts from the project's root."
        self.app.push_screen(Ask("Save as", self._new_place, "", detail), save)

    def _new_place(self, named: str) -> Path:
        from tuiwb.train.choices import place_of

        if not named.strip():
            raise BadInput("give it a name, such as mine")
        path = self.project.resolve(place_of(self.project, named.strip()))
        if path.exists():
            raise BadInput(f"{self.project.shorten(path)} exists already: choose another name")
        return path

    def _write(self, path: Path, text: str) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode("utf-8"))
        except OSError as error:
            self._told = self._keep(text)
            kept = (
                f"nor a draft: the edit {HERE_ONLY}"
                if self._told
                else "the edit is kept as a draft"
            )
            self.notify(
                f"can't write {self.project.shorten(path)}: {error.strerror}; {kept}",
                severity="error",
                markup=False,
            )
            return False
        self._on_disk = text
        self._drafts.drop(path)
        self._changed()
        return True

    def _title(self) -> Content:
        name = self.project.shorten(self._path) if self._path else ""
        if self._path is None:
            name = NO_NAME if self.editor.text else "no config"
        return Content(f"{inert(name, one_line=True)}{' ● not saved' if self.modified else ''}")
