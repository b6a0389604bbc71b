"""The files a config names and their rows: can they train the method, and how many are there."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.examples import fits
from tuiwb.data.read import open_dataset, training_examples
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput
from tuiwb.project import Project
from tuiwb.train.schema import RunConfig

WHOLE_SCAN = 64 << 20  # datasets up to this many bytes are read through before launch
FIRST_ROWS = 2000
GLANCED = 100
A_MOMENT = 0.2  # seconds that an editor waits for a file's rows to be counted


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What files hold: how many rows (None: not known), whether some are chats."""

    count: int | None
    chats: bool


def train_files(project: Project, config: RunConfig) -> list[Path]:
    """The training files, resolved."""
    train = config.data.train
    return [project.resolve(path) for path in ([train] if isinstance(train, str) else train)]


def heldout_file(project: Project, config: RunConfig) -> Path | None:
    """The held-out file, resolved."""
    return project.resolve(config.data.heldout) if config.data.heldout else None


def canary_file(project: Project, config: RunConfig) -> Path | None:
    """The file of general rows, resolved."""
    return project.resolve(config.data.canary) if config.data.canary else None


def missing_file(project: Project, path: Path) -> str | None:
    """That a dataset's file is not there, with the nearest name; None where something is."""
    folder = str(path).rpartition(":")[0]  # a saved dataset may be followed by :SPLIT
    if path.exists() or (folder and Path(folder).is_dir()):
        return None
    shown = project.shorten(path)
    there = {project.shorten(known): known.name for known in project.datasets()}
    names = {name: known for known, name in there.items()}
    near = [
        *get_close_matches(shown, there, 1),
        *map(names.get, get_close_matches(path.name, names, 1)),
    ]
    return f"there is no file {shown}" + (f": did you mean {near[0]}?" if near else "")


def check_rows(files: Sequence[Path], config: RunConfig) -> Rows:
    """Open the files and see that their rows can train the method; all of them where they are
    small, the first FIRST_ROWS else. BadInput with file:line of the first that can't."""
    if all(_size(path) <= WHOLE_SCAN for path in files):
        examples, _ = training_examples(files, config.method, config.data.malformed)
        return Rows(count=len(examples), chats=any(_is_chat(e) for e in examples))
    chats: set[bool] = set()
    count = 0
    for path in files:
        dataset = open_dataset(path)
        count += len(dataset)
        for n in range(min(FIRST_ROWS, len(dataset))):
            row = dataset.row(n)
            problem = fits(row, config.method)
            if problem is None:
                chats.add(_chats(row))
            elif config.data.malformed == "error":
                raise BadInput(
                    f"{row.where} {problem}: mend the file, or set data.malformed to skip"
                )
    if not chats:
        raise BadInput(f"{files[0]} has no row in its first {FIRST_ROWS} that can be trained on")
    return Rows(count=count, chats=True in chats)


def glance(files: Sequence[Path], config: RunConfig, cache: Path) -> Rows:
    """The same from the first GLANCED rows of each file, for an editor: the count is None where
    finding all of a file's rows takes longer than A_MOMENT. BadInput as check_rows."""
    chats: set[bool] = set()
    count: int | None = 0
    for path in files:
        dataset = open_dataset(path, wait=False, cache=cache)
        try:
            for n in range(min(GLANCED, len(dataset))):
                row = dataset.row(n)
                problem = fits(row, config.method)
                if problem is None:
                    chats.add(_chats(row))
                elif config.data.malformed == "error":
                    raise BadInput(
                        f"{row.where} {problem}: mend the file, or set data.malformed to skip"
                    )
            known = dataset.wait(A_MOMENT) and config.data.malformed == "error"
            count = count + len(dataset) if known and count is not None else None
        finally:
            dataset.close()
    return Rows(count=count, chats=True in chats)


def _chats(row: Row) -> bool:
    return row.shape == "chat" or isinstance(row.prompt, list)


def _is_chat(example: dict[str, Any]) -> bool:
    return "messages" in example or isinstance(example.get("prompt"), list)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
