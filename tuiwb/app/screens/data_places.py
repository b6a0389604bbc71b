"""Where a row stands that another screen names as file:line; what a look at a file tells."""

from collections.abc import Callable
from pathlib import Path

from tuiwb.data.rows import Row

READ = 20_000  # bytes of a file's beginning


def place_of(root: Path, place: str) -> tuple[Path, int]:
    """A place `file:line` as a path, absolute or below `root`, and a line counted from 1."""
    name, _, line = place.rpartition(":")
    return root / name, int(line) if line.isdecimal() else 1


def row_at_line(get: Callable[[int], Row], total: int, line: int) -> int | None:
    """The row that begins at or last before a line; None where the index ends before it.

    Lines rise with the rows of one file, so a few rows are read, not all of them.
    """
    if total == 0 or get(total - 1).line < line:
        return None
    low, high = 0, min(total - 1, line - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if get(middle).line <= line:
            low = middle
        else:
            high = middle - 1
    return low


def stamp(path: Path) -> tuple[int, int] | None:
    """When a file was written and its size in bytes; None where it can't be seen."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size


def beginning(path: Path) -> str:
    """The start of a config; nothing where it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(READ).decode("utf-8", "replace")
    except OSError:
        return ""
