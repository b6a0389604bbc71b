"""What people say of a run: tags, a note, whether it is put away. In labels.json beside job.yaml.

In: a job folder. Out: its labels; changes are written whole and renamed into place, under a lock
so that a screen and a command line that write at once lose nothing.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.lock import alone
from tuiwb.prepared import prepared

LABELS = "labels.json"
MOST_NOTE = 20_000  # characters
MOST_BYTES = 1 << 20
_TAG = re.compile(r"[\w][\w.+/-]{0,39}")


class Labels(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Tags in alphabetical order, a note of any text, `archived` for a run put away."""

    v: int = 1
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False


NONE = Labels()


def check_tag(tag: str) -> str:
    """Return `tag` if it is one: letters, digits and . _ + / -, at most 40; else BadInput."""
    if not _TAG.fullmatch(tag):
        raise BadInput(
            f"{tag[:60]!r} can't be a tag: use letters, digits, '.', '_', '+', '/' and '-', "
            "starting with a letter or digit, at most 40"
        )
    return tag


def check_note(note: str) -> str:
    """Return `note` if it may be one: at most MOST_NOTE characters; else BadInput."""
    if len(note) > MOST_NOTE:
        raise BadInput(f"a note has at most {MOST_NOTE:,} characters, not {len(note):,}")
    return note


def read_labels(folder: Path) -> Labels:
    """The labels of a run, none when nobody gave it any; BadInput when they can't be read."""
    path = folder / LABELS
    try:
        with path.open("rb") as file:
            labels = msgspec.json.decode(file.read(MOST_BYTES), type=prepared(Labels))
    except FileNotFoundError:
        return NONE
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"can't read {path}: {error}: mend it, or delete it") from None
    return labels


def add_tags(folder: Path, tags: Iterable[str]) -> Labels:
    """Give a run tags; those it has already stay."""
    new = {check_tag(tag) for tag in tags}
    return _change(folder, lambda old: _tagged(old, {*old.tags, *new}))


def remove_tags(folder: Path, tags: Iterable[str]) -> Labels:
    """Take tags off a run; those it hasn't are no error."""
    gone = set(tags)
    return _change(folder, lambda old: _tagged(old, {*old.tags} - gone))


def set_note(folder: Path, note: str) -> Labels:
    """Write a run's note; an empty one removes it."""
    check_note(note)
    # JSON is UTF-8: a lone surrogate from a shell's argument can't stand in it.
    clean = note.encode("utf-8", "replace").decode()
    return _change(folder, lambda old: msgspec.structs.replace(old, note=clean))


def archive(folder: Path, archived: bool = True) -> Labels:
    """Put a run away, or take it out again; nothing of it is moved."""
    return _change(folder, lambda old: msgspec.structs.replace(old, archived=archived))


def _tagged(old: Labels, tags: set[str]) -> Labels:
    return msgspec.structs.replace(old, tags=tuple(sorted(tags)))


def _change(folder: Path, change: Callable[[Labels], Labels]) -> Labels:
    try:
        with alone(folder):
            old = read_labels(folder)
            new = change(old)
            if new != old:
                write_atomically(folder / LABELS, msgspec.json.encode(new) + b"\n")
    except OSError as error:
        raise BadInput(f"can't write {folder / LABELS}: {error.strerror or error}") from None
    return new
