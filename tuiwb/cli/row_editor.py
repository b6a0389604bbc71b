"""A row edited in $EDITOR from the command line: nothing that was typed is lost."""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from tuiwb.data.editing import NAME, PREFIX, diff, edit_file, edit_text, parse_edit
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, MissingHere, TuiwbError
from tuiwb.text import inert

Save = Callable[[dict[str, Any]], None]


def edited_by_hand(file: Path, row: Row, save: Save, options: Sequence[str] = ()) -> list[str]:
    """Let the user change a row of `file` and save it: the diff, empty when nothing was changed.

    In a terminal, what can't be saved is asked about: the editor opens again with what was typed.
    What is left unsaved stays in a file; the error names it, and how to go on: by `data edit` with
    `options`, which has it saved as `save` would have.
    """
    before = edit_text(row)
    try:
        path = Path(tempfile.mkdtemp(prefix=PREFIX)) / NAME
        path.write_text(before, "utf-8")
    except OSError as error:
        raise MissingHere(f"can't write a file to edit: {error.strerror or error}") from None
    changes, problem = _attempt(row, path, before, save)
    while problem is not None and _typed(path, before) and _goes_on(problem):
        changes, problem = _attempt(row, path, before, save)
    if problem is None or not _typed(path, before):
        shutil.rmtree(path.parent, ignore_errors=True)
        if problem is not None:
            raise problem
        return changes
    words = ["tuiwb", "data", "edit", str(file), str(row.index), "--from", str(path), *options]
    kept = f"kept: mend {path}, then" if _faulty(path) else f"kept in {path}: once that is mended,"
    problem.on_screen = f"{problem}; what you typed is {kept} {shlex.join(words)}"
    problem.args = (problem.on_screen,)
    raise problem


def _attempt(row: Row, path: Path, before: str, save: Save) -> tuple[list[str], TuiwbError | None]:
    """Edit once and save: what changed, or why it is not saved."""
    try:
        typed = edit_file(path)
        if typed == before:
            return [], None
        record = parse_edit(typed)
        changes = diff(row, record)
        if changes:
            save(record)
    except TuiwbError as error:
        return [], error
    return changes, None


def _typed(path: Path, before: str) -> bool:
    """Whether the file holds something that the user wrote."""
    try:
        return path.read_bytes() != before.encode()
    except OSError:
        return False


def _faulty(path: Path) -> bool:
    """Whether what was typed is itself what can't be saved."""
    try:
        parse_edit(path.read_bytes().decode("utf-8-sig"))
    except (BadInput, UnicodeDecodeError):
        return True
    return False


def _goes_on(problem: TuiwbError) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        return typer.confirm(f"{inert(str(problem))}\nEdit on?", default=True, err=True)
    except typer.Abort:
        return False
