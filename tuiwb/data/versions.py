"""Versions of a dataset: a new folder NAME-vN for every result, with a manifest; sources untouched.

In: records and dropped rows, streamed. Out: data/versions/NAME-vN/ with data.jsonl (a split:
train.jsonl and heldout.jsonl), dropped.jsonl and manifest.json. The folder is filled under a hidden
name and renamed when it is whole, so a reader never sees half a version.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

import tuiwb
from tuiwb.data.manifest import (
    DATA,
    DROPPED,
    JOURNAL,
    MANIFEST,
    ROWS,
    VERSION_FOLDER,
    Operation,
    Output,
    Parent,
    Version,
    sha256_of,
)
from tuiwb.data.records import encode_line
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.project import SETTINGS

Progress = Callable[[str, int, int], None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_BEGUN = re.compile(r"\.[A-Za-z0-9._-]+-begun-[0-9a-f]{12}")
_BUFFER = 1 << 20


class Outcome(msgspec.Struct, kw_only=True):
    """What came of cleaning, splitting or mixing: the new version, both None in a dry run."""

    folder: str | None
    operations: list[Operation]
    notes: list[str] = []
    version: Version | None = None


class Source:
    """A dataset that is being read: what its files were when the work began.

    `files` are those that are read of a folder, which may hold others, such as its own versions. A
    dataset that is no path here (a hub id) is known by the file, or the folder, it was read from.
    """

    def __init__(
        self, path: str | Path, rows: int, files: Sequence[Path] = (), role: str = ROWS
    ) -> None:
        self.path = Path(path)
        if files and not self.path.exists():
            self.path = files[0] if len(files) == 1 else Path(os.path.commonpath(files))
        folder = self.path.is_dir()
        self._names = [os.path.relpath(file, self.path) for file in files] if folder else []
        self.rows, self.role = rows, role
        self._stamp = self._look()

    def parent(self, folder: Path) -> Parent:
        """Its entry in a manifest in `folder`; BadInput when it changed meanwhile."""
        digest = sha256_of(self.path, self._names)
        if self._look() != self._stamp:
            raise BadInput(
                f"{self.path} changed while it was read: nothing was written; do it again when "
                "nobody writes to it"
            )
        manifest = self.path.parent / MANIFEST
        return Parent(
            path=_seen_from(folder, self.path),
            rows=self.rows,
            bytes=sum(size for _name, size, _time in self._stamp),
            sha256=digest,
            manifest=_seen_from(folder, manifest) if manifest.is_file() else None,
            role=self.role,
            files=self._names,
        )

    def _look(self) -> list[tuple[str, int, int]]:
        found = []
        for name in self._names or ("",):
            try:
                stat = (self.path / name if name else self.path).stat()
                found.append((name, stat.st_size, stat.st_mtime_ns))
            except FileNotFoundError:
                found.append((name, -1, 0))
        return found


class Journal:
    """The marks that are applied: the beginning of a journal that may grow meanwhile."""

    def __init__(self, path: Path, rows: int, size: int) -> None:
        self.path, self.rows, self.size = path, rows, size

    def parent(self, folder: Path) -> Parent:
        """Its entry in a manifest in `folder`."""
        return Parent(
            path=_seen_from(folder, self.path),
            rows=self.rows,
            bytes=self.size,
            sha256=sha256_of(self.path, size=self.size),
            role=JOURNAL,
        )


class VersionWriter:
    """A version in the making; a context that leaves nothing behind unless `finish` was called."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = check_name(name)
        self.folder = root
        self._lock = -1
        self._files: dict[str, _File] = {}
        self._dropped: Counter[str] = Counter()

    def __enter__(self) -> "VersionWriter":
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            held = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX)
                _sweep(self.root)
                self.folder = self.root / f".{self.name}-begun-{uuid.uuid4().hex[:12]}"
                self.folder.mkdir()
                # Held until the end, so that another process knows this folder's writer lives.
                self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            finally:
                os.close(held)
        except OSError as error:
            raise BadInput(f"can't write a version in {self.root}: {_why(error)}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.abandon()
        if self.folder.name.startswith("."):
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise BadInput(
                f"can't write a version in {self.root}: {_why(error)}; nothing was left behind"
            ) from None

    def write(self, record: dict[str, Any], file: str = DATA) -> None:
        """Append a record to one of the version's files."""
        self.write_line(encode_line(record), file)

    def write_line(self, line: bytes, file: str = DATA) -> None:
        """Append a record that is encoded already, newline included."""
        self._file(file).add(line)

    def drop(self, row: Row, operation: str, reason: str, why: str, of: int | None = None) -> None:
        """List a row that the version leaves out: the operation, a word for it, a sentence."""
        self._dropped[reason] += 1
        entry: dict[str, Any] = {"file": row.file, "row": row.index, "line": row.line}
        entry |= {"operation": operation, "reason": reason, "why": why}
        if of is not None:
            entry["of"] = of
        self._file(DROPPED).add(encode_line(entry))

    def finish(
        self,
        sources: Sequence[Source | Journal],
        operations: list[Operation],
        *,
        seed: int | None = None,
        files: tuple[str, ...] = (DATA,),
        notes: tuple[str, ...] = (),
    ) -> tuple[Path, Version]:
        """Write the manifest and give the folder its name; its path and its manifest."""
        outputs = [self._file(name).close(name) for name in files]
        if DROPPED in self._files:
            outputs.append(self._file(DROPPED).close(DROPPED))
        version = Version(
            name="",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            tuiwb=tuiwb.__version__,
            parents=[source.parent(self.root / "-") for source in sources],
            operations=operations,
            seed=seed,
            outputs=outputs,
            dropped=dict(self._dropped),
            notes=list(notes),
        )
        return self._publish(version), version

    def _publish(self, version: Version) -> Path:
        number = _last_number(self.root, self.name)
        while True:
            number += 1
            version.name = f"{self.name}-v{number}"
            target = self.root / version.name
            if target.exists():
                continue
            # Python's json: it has an escape for what in a file's name is not UTF-8.
            text = json.dumps(msgspec.to_builtins(version), indent=2)
            write_atomically(self.folder / MANIFEST, text.encode("ascii") + b"\n")
            os.fsync(self._lock)
            try:
                # A folder with files in it is never replaced: the loser of a race takes the next.
                self.folder.rename(target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    continue
                raise
            self.folder = target
            _sync(self.root)
            return target

    def _file(self, name: str) -> "_File":
        if name not in self._files:
            self._files[name] = _File(self.folder / name)
        return self._files[name]


class _File:
    """One output: counted and hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("wb", buffering=_BUFFER)
        self._digest = hashlib.sha256()
        self._rows = self._bytes = 0

    def add(self, line: bytes) -> None:
        self._stream.write(line)
        self._digest.update(line)
        self._rows += 1
        self._bytes += len(line)

    def close(self, name: str) -> Output:
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        return Output(
            file=name, rows=self._rows, bytes=self._bytes, sha256=self._digest.hexdigest()
        )

    def abandon(self) -> None:
        try:
            self._stream.close()
        except OSError:
            pass


def check_name(name: str) -> str:
    """`name` if a version may be called so, else BadInput."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise BadInput(
            f"{name[:80]!r} can't be a version's name: use letters, digits, '.', '_' and '-', "
            "starting with a letter or digit, at most 80"
        )
    return name


def name_of(path: str | Path) -> str:
    """What versions of a dataset are called: support.jsonl.gz -> support, support-v2 -> support."""
    path = Path(path)
    if (path.parent / MANIFEST).is_file() and (match := VERSION_FOLDER.fullmatch(path.parent.name)):
        return match["name"]
    stem = path.name
    for suffix in (".gz", ".zst", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    plain = re.sub(r"[^A-Za-z0-9._-]+|\.\.+", "-", stem).strip("-._")
    return plain[:60] or "dataset"


def versions_root(path: str | Path) -> Path:
    """Where versions of a dataset go: data/versions of its project, else versions/ beside it."""
    folder = Path(path).absolute().parent
    if VERSION_FOLDER.fullmatch(folder.name) and (folder / MANIFEST).is_file():
        return folder.parent
    for above in (folder, *folder.parents):
        if (above / SETTINGS).is_file() and (above / "data").is_dir():
            return above / "data" / "versions"
    return folder / "versions"


def _sweep(root: Path) -> None:
    """Remove what writers that are gone left half-made; the caller holds the root's lock."""
    for folder in root.iterdir():
        if not _BEGUN.fullmatch(folder.name) or not folder.is_dir():
            continue
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(held)


def _last_number(root: Path, name: str) -> int:
    matches = (VERSION_FOLDER.fullmatch(p.name) for p in root.iterdir())
    return max((int(m["number"]) for m in matches if m and m["name"] == name), default=0)


def _seen_from(folder: Path, path: Path) -> str:
    """A path relative to a version's folder where both lie in one project, else absolute."""
    path, top = path.resolve(), folder.resolve().parent.parent
    if path.is_relative_to(top) and top != Path("/"):
        return os.path.relpath(path, folder.resolve())
    return str(path)


def _sync(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _why(error: OSError) -> str:
    return error.strerror or str(error)
