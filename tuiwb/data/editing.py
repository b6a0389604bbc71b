"""A row as text a person edits, and that text as a record again.

In: a row. Out: its record as indented JSON; back: a record that reads as a row, or one sentence
that says what is wrong and in which line.
"""

import codecs
import difflib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.formats import to_row
from tuiwb.data.records import record_of
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, MissingHere

PREFIX, NAME = "tuiwb-edit-", "row.json"  # of the folder and the file an editor is given
USUAL = ("vi", "nano")  # where none is set, as git does
# What an editor would hide, a terminal would obey, or no UTF-8 has: shown as escapes, which JSON
# reads back.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f"
    "\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


class NotARow(BadInput):
    """An edited text that can't be read: where in it, from 1."""

    def __init__(self, sentence: str, line: int, column: int) -> None:
        super().__init__(sentence)
        self.line, self.column = line, column


class EditorFailed(BadInput):
    """The user's editor did not end well; `text` is what it left."""

    def __init__(self, sentence: str, text: str) -> None:
        super().__init__(sentence)
        self.text = text


def edit_text(row: Row) -> str:
    """The row's record as indented JSON; of a broken row the beginning that was kept of it."""
    if row.shape == "broken":
        return visible(row.text or "") + "\n"
    return record_text(record_of(row))


def record_text(record: dict[str, Any]) -> str:
    """A record as indented JSON, unseen characters as escapes."""
    plain = msgspec.to_builtins(record, enc_hook=str)
    return visible(json.dumps(plain, ensure_ascii=False, indent=2)) + "\n"


def parse_edit(text: str) -> dict[str, Any]:
    """The record an edited text holds; BadInput says what is wrong with it, with the line."""
    if not text.strip():
        raise BadInput("the edit is empty: mark the row drop to leave it out")
    try:
        record = json.loads(text, strict=False, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise NotARow(
            f"the edit is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            error.lineno,
            error.colno,
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the edit can't be read: {error}") from None
    return check_record(record)


def check_record(record: Any) -> dict[str, Any]:
    """`record` if it reads as a row, else BadInput with what keeps it from being one."""
    row = to_row(record, "the edit", 0, 1)
    if row.shape == "broken":
        raise BadInput(f"the edited row {row.problem}: nothing was changed")
    result: dict[str, Any] = record
    return result


def diff(before: Row, after: dict[str, Any]) -> list[str]:
    """What an edit changes, as the lines of a unified diff; empty when nothing."""
    old, new = edit_text(before).splitlines(), record_text(after).splitlines()
    return list(difflib.unified_diff(old, new, "before", "after", lineterm="", n=1))


def edit_in_editor(text: str) -> str:
    """Let the user change `text` in their editor; the text as it was left."""
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
            path = Path(folder) / NAME
            path.write_text(visible(text), "utf-8")
            return edit_file(path)
    except OSError as error:
        raise MissingHere(f"can't write a file to edit: {error.strerror or error}") from None


def edit_file(path: Path) -> str:
    """Let the user change a file in $VISUAL or $EDITOR, else vi or nano; its text as it was left.

    MissingHere when no editor runs; EditorFailed, with the text, when it ended with an error or
    left bytes that are not UTF-8: those stand in the text as \\xNN.
    """
    command = _editor()
    try:
        with _interrupts_are_the_editors():
            done = subprocess.run([*shlex.split(command), str(path)], check=False)
    except (OSError, ValueError) as error:
        raise MissingHere(f"can't run the editor {command!r}: {error}") from None
    try:
        left = path.read_bytes()
    except OSError as error:
        said = error.strerror or error
        raise BadInput(f"the editor {command!r} left no file: {said}: nothing changed") from None
    text = left.decode("utf-8-sig", "backslashreplace")
    if done.returncode != 0:
        ended = f"the editor {command!r} ended with code {done.returncode}: nothing is saved"
        raise EditorFailed(ended, text)
    if text.encode() != left.removeprefix(codecs.BOM_UTF8):
        raise EditorFailed("the editor left a file that is not UTF-8: nothing is saved", text)
    return text


def _editor() -> str:
    """The command of the user's editor; in a terminal, where none is set, of one that is here."""
    if command := os.environ.get("VISUAL") or os.environ.get("EDITOR"):
        return command
    # Without a terminal it would wait for keys that nobody can press.
    here = [name for name in USUAL if os.isatty(0) and shutil.which(name)]
    if not here:
        raise MissingHere("no editor is set: set EDITOR to the one you use, e.g. EDITOR=nano")
    return here[0]


@contextmanager
def _interrupts_are_the_editors() -> Iterator[None]:
    """ctrl+c in an editor goes to all of its terminal: it is not ours to end by."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A function, not SIG_IGN, which the editor would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def visible(text: str) -> str:
    """The text with what an editor or a terminal would not show as JSON's escapes."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands twice in one object")
    return fields
