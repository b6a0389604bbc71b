"""What lies in the project: name, base model, datasets and configs with their sizes."""

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widgets import Static

from tuiwb.app.files import Files
from tuiwb.project import Project
from tuiwb.text import inert, short_bytes

MUTED = "$foreground 60%"
SIZE = 9  # cells of a file's size
NARROWEST = 12  # cells of names beside which sizes are shown; with fewer all would look alike
FEWEST = 3  # lines that the configs have where the datasets could take all


class Here(Static):
    """Fits itself into its panel: names are cut before sizes, unless little would be left of them,
    and what has no room is counted."""

    def __init__(self, project: Project) -> None:
        super().__init__(id="here", classes="panel", markup=False)
        self.border_title = "Here"
        self._project = project
        self._files = Files()
        self._painted = ""

    def show(self, files: Files) -> None:
        """Say what is there now."""
        self._files = files
        self._paint()

    def on_resize(self) -> None:
        """Fit anew."""
        self._paint()

    def _paint(self) -> None:
        width, height = self.content_size
        if not width:
            return
        content = Content("\n").join(here_lines(self._project, self._files, width, height))
        if content.plain != self._painted:
            self._painted = content.plain
            self.update(content, layout=False)


def here_lines(project: Project, files: Files, width: int, height: int) -> list[Content]:
    """The lines of a panel of this many columns and lines."""
    facts = (
        ("project", project.name),
        ("folder", _at_home(project.root)),
        ("model", project.settings.base_model or "not set"),
    )
    lines = [
        Content.assemble((f"{name:<8} ", MUTED), cut(inert(value, one_line=True), width - 9))
        for name, value in facts
    ]
    datasets = _named(project, files.datasets, "data/")
    configs = _named(project, files.configs, "configs/")
    # Two titles, a blank line before each.
    room = max(2, height - len(lines) - 4)
    of_configs = min(len(configs), max(FEWEST, room - len(datasets)))
    of_datasets = min(len(datasets), max(1, room - of_configs))
    datasets, configs = _fitted(datasets, of_datasets), _fitted(configs, of_configs)
    names = [cell_len(name) for entries in (datasets, configs) for name, size in entries if size]
    room, longest = width - SIZE - 2, max(names, default=0)
    sized = longest <= room or room >= NARROWEST
    longest = min(longest, room if sized else width - 1)
    for title, count, entries in (
        ("datasets", len(files.datasets), datasets),
        ("configs", len(files.configs), configs),
    ):
        lines += [Content(""), Content.styled(f"{title} ({count})", "bold")]
        lines += [_line(name, size, longest, sized) for name, size in entries]
    return lines


def _named(
    project: Project, files: Sequence[tuple[Path, int]], usual: str
) -> list[tuple[str, str]]:
    """Names without the folder they usually lie in, and sizes."""
    return [
        (inert(project.shorten(path).removeprefix(usual), one_line=True), short_bytes(size))
        for path, size in files
    ]


def _fitted(entries: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """At most so many; the last one, without a size, counts what has no room."""
    if len(entries) <= most:
        return entries
    return [*entries[: most - 1], (f"and {len(entries) - most + 1} more", "")]


def _line(name: str, size: str, longest: int, sized: bool) -> Content:
    if not size:
        return Content.styled(f" {name}", MUTED)
    if not sized:
        return Content(f" {cut(name, longest)}")
    padded = set_cell_size(cut(name, longest), longest)
    return Content.assemble(f" {padded} ", (f"{size:>{SIZE}}", MUTED))


def cut(name: str, room: int) -> str:
    """A name in at most so many cells: the start goes first, which many share."""
    if cell_len(name) <= room:
        return name
    kept = name
    while kept and cell_len(kept) > room - 1:
        kept = kept[1:]
    return f"…{kept}"


def _at_home(path: Path) -> str:
    """The path as a shell would shorten it: ~ for the user's home."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
