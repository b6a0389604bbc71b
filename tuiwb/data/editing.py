"""A row as text a person edits, and that text as a record again.

In: a row. Out: its record as indented JSON; back: a record that reads as a row, or one sentence
that says what is wrong and in which line.
"""

import difflib
import json
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.formats import to_row
from tuiwb.data.records import record_of
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, MissingHere

# What an editor would hide, or could not save as UTF-8: shown as escapes, which JSON reads back.
_UNSEEN = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def edit_text(row: Row) -> str:
    """The row's record as indented JSON; of a broken row the beginning that was kept of it."""
    if row.shape == "broken":
        return _visible(row.text or "") + "\n"
    return record_text(record_of(row))


def record_text(record: dict[str, Any]) -> str:
    """A record as indented JSON, unseen characters as escapes."""
    plain = msgspec.to_builtins(record, enc_hook=str)
    return _visible(json.dumps(plain, ensure_ascii=False, indent=2)) + "\n"


def parse_edit(text: str) -> dict[str, Any]:
    """The record an edited text holds; BadInput says what is wrong with it, with the line."""
    if not text.strip():
        raise BadInput("the edit is empty: mark the row drop to leave it out")
    try:
        record = json.loads(text, strict=False, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"the edit is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
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
    """Let the user change `text` in $VISUAL or $EDITOR; the text as it was left."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not command:
        raise MissingHere("no editor is set: set EDITOR to the one you use, e.g. EDITOR=nano")
    with tempfile.TemporaryDirectory(prefix="tuiwb-edit-") as folder:
        path = Path(folder) / "row.json"
        path.write_text(text, "utf-8")
        try:
            done = subprocess.run([*shlex.split(command), str(path)], check=False)
            left = path.read_bytes()
        except (OSError, ValueError) as error:
            raise MissingHere(f"can't run the editor {command!r}: {error}") from None
    if done.returncode != 0:
        raise BadInput(f"the editor {command!r} ended with code {done.returncode}: nothing changed")
    try:
        return left.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("the editor left a file that is not UTF-8: nothing changed") from None


def _visible(text: str) -> str:
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands twice in one object")
    return fields
