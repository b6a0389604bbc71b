"""The manifest of a version: what it was made of, what was done, and what came out.

In: a version's folder. Out: its manifest, and what no longer agrees with it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import fingerprint
from tuiwb.prepared import prepared

FORMAT = 1
MANIFEST = "manifest.json"
DATA = "data.jsonl"
TRAIN = "train.jsonl"
HELD_OUT = "heldout.jsonl"
DROPPED = "dropped.jsonl"
ROWS, HELD_OUT_ROWS, JOURNAL = "rows", "held_out", "marks"
_CHUNK = 1 << 20
VERSION_FOLDER = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)-v(?P<number>[1-9]\d{0,8})")


class Parent(msgspec.Struct, kw_only=True):
    """What a version was made of; paths are relative to the version's folder.

    `role`: "rows" came from it; "held_out", rows were left out that ask what it asks; "marks", the
    journal that said what to do with the rows, `rows` of them marked. `manifest` is the parent's
    own, when it is a version itself. `bytes` and `sha256` are those of the file; of a folder those
    of `files`, what was read of it (see sha256_of); of a journal, which is only appended to, those
    of the beginning that was read.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    manifest: str | None = None
    role: str = ROWS
    files: list[str] = []


class Operation(msgspec.Struct, kw_only=True):
    """One thing that was done, in order: rows in, rows out, dropped by reason, rows changed."""

    op: str
    parameters: dict[str, Any] = {}
    counts: dict[str, Any] = {}


class Output(msgspec.Struct, kw_only=True):
    """A file of the version."""

    file: str
    rows: int
    bytes: int
    sha256: str


class Version(msgspec.Struct, kw_only=True):
    """manifest.json. `created` is UTC, ISO 8601; `dropped` counts rows left out by reason."""

    format: int = FORMAT
    name: str
    created: str
    tuiwb: str
    parents: list[Parent]
    operations: list[Operation]
    seed: int | None = None
    outputs: list[Output]
    dropped: dict[str, int] = {}
    notes: list[str] = []

    @property
    def rows(self) -> int:
        """Rows that can be trained on or held out."""
        return sum(output.rows for output in self.outputs if output.file != DROPPED)


def read_manifest(folder: Path) -> Version:
    """The manifest of the version in `folder`; BadInput when it has none that can be read."""
    path = folder / MANIFEST
    try:
        # Python's json: a file's name that is not UTF-8 stands there as lone surrogates.
        version = msgspec.convert(json.loads(path.read_bytes()), prepared(Version))
    except FileNotFoundError:
        raise BadInput(f"{folder} is not a version of a dataset (no {MANIFEST} in it)") from None
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BadInput(f"can't read {path}: {error}") from None
    if version.format > FORMAT:
        raise BadInput(f"{path} is of format {version.format}: this tuiwb reads {FORMAT}")
    return version


def versions_in(root: Path) -> Iterator[Path]:
    """The folders of versions under `root`, by name and number."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        match = VERSION_FOLDER.fullmatch(folder.name)
        if match and (folder / MANIFEST).is_file():
            found.append((match["name"], int(match["number"]), folder))
    return (folder for _name, _number, folder in sorted(found))


def verify(folder: Path) -> list[str]:
    """What in a version is not as its manifest says, a sentence each; nothing when all is."""
    try:
        version = read_manifest(folder)
    except BadInput as error:
        return [str(error)]
    problems = []
    if version.name != folder.name:
        problems.append(f"{folder} calls itself {version.name}: it was renamed or copied")
    for output in version.outputs:
        # A manifest is a file like another: it must not make us read outside its folder.
        if "/" in output.file or output.file in ("", ".", ".."):
            problems.append(f"{folder / MANIFEST} names {output.file!r}, which is no file of it")
            continue
        problem = _differs(folder / output.file, output.bytes, output.sha256)
        problems += [problem] if problem else []
    return problems


def changed_parents(folder: Path) -> list[str]:
    """Which of a version's parents are gone or are no longer what they were, a sentence each."""
    version = read_manifest(folder)
    found = (_parent_differs(folder, parent) for parent in version.parents)
    return [problem for problem in found if problem]


def sha256_of(path: Path, files: Sequence[str] = (), size: int | None = None) -> str:
    """sha256 of a file, of its first `size` bytes, or of a folder's `files`, as hex digits.

    Of several files: over each one's name, a NUL and its content, in order.
    """
    digest = hashlib.sha256()
    for name in files or ("",):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" if name else b"")
        left = size
        with (path / name if name else path).open("rb") as stream:
            while chunk := stream.read(_CHUNK if left is None else min(left, _CHUNK)):
                digest.update(chunk)
                left = None if left is None else left - len(chunk)
    return digest.hexdigest()


def _parent_differs(folder: Path, parent: Parent) -> str | None:
    path = (folder / parent.path).resolve()
    if parent.role != JOURNAL:
        return _differs(path, parent.bytes, parent.sha256, parent.files)
    try:
        if sha256_of(path, size=parent.bytes) != parent.sha256:
            return f"{path} begins otherwise than it did when its marks were read: it was changed"
    except FileNotFoundError:
        return f"{path} is gone"
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"
    return None


def _differs(path: Path, size: int, sha256: str, files: Sequence[str] = ()) -> str | None:
    try:
        for name in files:
            if not (path / name).is_file():
                return f"{path / name} is gone"
        if path.is_file() and (now := path.stat().st_size) != size:
            return f"{path} has {now:,} bytes, not {size:,}: it was changed"
        if not path.exists():
            return f"{path} is gone"
        now_sha = sha256_of(path, files) if files else fingerprint(path).removeprefix("sha256:")
        if now_sha != sha256:
            return f"{path} has another sha256 than the manifest says: it was changed"
    except OSError as error:
        return f"{path} can't be read: {error.strerror or error}"
    return None
