"""The project's datasets, each with its rows and format, counted off the UI thread."""

from pathlib import Path

from textual import on, work
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tuiwb.app.widgets.here import cut
from tuiwb.app.widgets.menu import Menu
from tuiwb.data.read import open_dataset
from tuiwb.errors import TuiwbError
from tuiwb.project import Project
from tuiwb.text import counted, inert

LINES = 2  # of each dataset: its name, and what it holds


class DatasetMenu(Menu):
    """Moving through it opens; the screen hears of it by OptionHighlighted."""

    class Counted(Message):
        """What stands in the list about one dataset."""

        def __init__(self, path: Path, words: str) -> None:
            super().__init__()
            self.path, self.words = path, words

    def __init__(self, project: Project) -> None:
        super().__init__(id="files", classes="panel", markup=False)
        self.border_title = "Datasets"
        self.paths: list[Path] = []
        self._project = project
        self._words: dict[Path, str] = {}
        self._fitted = 0

    def show(self, paths: list[Path]) -> None:
        """List these files, if they are others than before."""
        if paths != self.paths:
            self.paths = paths
            self._list()
            self._count(paths)

    def point_at(self, path: Path) -> None:
        """Put the cursor on a file without opening it again."""
        if self.option_count and self.highlighted != self.paths.index(path):
            with self.prevent(OptionList.OptionHighlighted):
                self.highlighted = self.paths.index(path)

    def fit(self, height: int) -> None:
        """Take at most `height` lines, one fewer where the first could not be a dataset's name."""
        self.styles.max_height = height - (height - self.gutter.height) % LINES

    def on_resize(self) -> None:
        """Names fit anew, and what is open stays in sight."""
        if self._room != self._fitted:
            for at, path in enumerate(self.paths[: self.option_count]):
                self.replace_option_prompt_at_index(at, self._line(path))
        self._fitted = self._room
        self.scroll_to_highlight()

    @property
    def _room(self) -> int:
        """Cells of a name, with those that a scroll bar would take."""
        return max(1, (self.content_size.width or 28) - 1)

    def _list(self) -> None:
        kept = self.highlighted or 0
        with self.prevent(OptionList.OptionHighlighted):
            self.clear_options()
            self.add_options(Option(self._line(path)) for path in self.paths)
            self.highlighted = min(kept, len(self.paths) - 1) if self.paths else None

    def _line(self, path: Path) -> Content:
        name = inert(self._project.shorten(path).removeprefix("data/"), one_line=True)
        words = self._words.get(path, "…")
        return Content.assemble((cut(name, self._room), "bold"), "\n  ", (words, "$foreground 60%"))

    @work(thread=True, exclusive=True, exit_on_error=False, group="count")
    def _count(self, paths: list[Path]) -> None:
        worker = get_current_worker()
        for path in paths:
            if worker.is_cancelled:
                return
            try:
                dataset = open_dataset(path, cache=self._project.cache / "index")
                words = f"{counted(len(dataset), 'row')}  {dataset.format}"
            except TuiwbError:
                words = "✗ can't be read"
            self.post_message(self.Counted(path, words))

    @on(Counted)
    def _say(self, message: Counted) -> None:
        self._words[message.path] = message.words
        if message.path in self.paths:
            at = self.paths.index(message.path)
            self.replace_option_prompt_at_index(at, self._line(message.path))
