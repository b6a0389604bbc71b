"""A byte-offset index: where each record of a file begins and ends, and on which line.

In: offsets, as a scan finds them. Out: record N's place, at once. It can be kept in a cache folder
and is taken from there again only for the very same file; anything doubtful is built anew.
"""

import fcntl
import hashlib
import os
import re
import tempfile
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

VERSION = 1
# A file written so recently could change again within one tick of its clock, unseen.
SETTLED_NS = 2_000_000_000
# A file of the cache that is still being written.
_HALF = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{16}\.[a-z]+\.\w+")


class Stamp(NamedTuple):
    """What tells one state of a file from another: device, inode, size, time of change."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, seen: os.stat_result) -> "Stamp":
        """The stamp of what stat saw."""
        return cls(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)


class Index:
    """Byte offsets of records, growing at the end; one thread adds while others read.

    The line of record n is n + 1 + its shift; shifts are kept only where they change, so that a
    file of one record a line costs 16 bytes a record.
    """

    def __init__(self) -> None:
        self.starts, self.ends = array("q"), array("q")
        self._changes, self._shifts = array("q"), array("q")

    def __len__(self) -> int:
        return len(self.ends)

    def add(self, start: int, end: int, line: int) -> None:
        """Append one record."""
        self._shift(len(self.ends), line)
        self.starts.append(start)
        self.ends.append(end)

    def extend(self, starts: bytes, ends: bytes, lines: Sequence[tuple[int, int]]) -> None:
        """Append records as native int64 bytes; `lines` names (offset among them, line) anew.

        A line is named only where it is not the line before plus one.
        """
        count = len(self.ends)
        for offset, line in lines:
            self._shift(count + offset, line)
        self.starts.frombytes(starts)
        self.ends.frombytes(ends)

    def line(self, n: int) -> int:
        """The 1-based line of record `n`."""
        at = bisect_right(self._changes, n)
        return n + 1 + (self._shifts[at - 1] if at else 0)

    def _shift(self, n: int, line: int) -> None:
        shift = line - n - 1
        if shift != (self._shifts[-1] if self._shifts else 0):
            # The shift first: a reader that sees the change finds its shift.
            self._shifts.append(shift)
            self._changes.append(n)

    def _arrays(self) -> tuple["array[int]", ...]:
        return self.starts, self.ends, self._changes, self._shifts

    def save(self, file: Path, extra: dict[str, Any]) -> None:
        """Write to `file` atomically with `extra`; a disk that refuses is no error."""
        lengths = [len(a) for a in self._arrays()]
        check = 0
        for numbers in self._arrays():
            check = zlib.crc32(numbers, check)
        header = {"version": VERSION, "lengths": lengths, "crc32": check, **extra}
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            number, name = temporary(file)
            try:
                with os.fdopen(number, "wb") as out:
                    head = msgspec.json.encode(header) + b"\n"
                    out.write(zlib.crc32(head).to_bytes(4, "little") + head)
                    for numbers in self._arrays():
                        numbers.tofile(out)
                    out.flush()
                    os.replace(name, file)
            except BaseException:
                os.unlink(name)
                raise

    @classmethod
    def load(cls, file: Path) -> "tuple[Index, dict[str, Any]] | None":
        """The index in `file` and its extra; None where there is none or it is damaged."""
        index = cls()
        try:
            with file.open("rb") as source:
                check = int.from_bytes(source.read(4), "little")
                head = source.readline(1 << 20)
                if zlib.crc32(head) != check:
                    return None
                header: dict[str, Any] = msgspec.json.decode(head)
                if header["version"] != VERSION:
                    return None
                check = 0
                for numbers, length in zip(index._arrays(), header["lengths"], strict=True):
                    numbers.fromfile(source, length)
                    check = zlib.crc32(numbers, check)
                if check != header["crc32"] or source.read(1):
                    return None
        except (OSError, ValueError, LookupError, TypeError, EOFError, msgspec.MsgspecError):
            return None
        return index, header


class Cache:
    """One dataset file's corner of a cache folder: files named for its path and its stamp."""

    def __init__(self, folder: Path, path: Path, stamp: Stamp) -> None:
        self._folder = folder
        place = os.fsencode(os.path.realpath(path))
        self._prefix = hashlib.blake2b(place, digest_size=8).hexdigest()
        state = repr(tuple(stamp)).encode()
        self._name = f"{self._prefix}-{hashlib.blake2b(state, digest_size=8).hexdigest()}"

    def file(self, suffix: str) -> Path:
        """Where what is kept under `suffix` stands for this state of the file."""
        return self._folder / f"{self._name}.{suffix}"

    def sized(self, suffix: str) -> Path | None:
        """The file kept under `suffix`-SIZE, if it still has that size."""
        kept = self.file(suffix)
        for path in self._folder.glob(f"{kept.name}-*"):
            with suppress(OSError):
                if path.name == f"{kept.name}-{path.stat().st_size}":
                    return path
        return None

    def forget_others(self) -> None:
        """Remove what was kept for other states of the file."""
        with suppress(OSError):
            for path in self._folder.glob(f"{self._prefix}-*"):
                if not path.name.startswith(self._name):
                    path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what processes that are gone left half-written in the folder, of any dataset."""
        with suppress(OSError):
            for path in self._folder.glob(".*"):
                if _HALF.fullmatch(path.name):
                    with suppress(OSError), path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        path.unlink()

    def spool(self) -> BinaryIO:
        """A file without a name in the folder, for what is needed only while it is open."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return spool(self._folder)


def spool(folder: Path | None = None) -> BinaryIO:
    """A file without a name, unbuffered; in the system's folder where none is given."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder, buffering=0))


def temporary(target: Path) -> tuple[int, str]:
    """A new file beside `target`, to be renamed to it: its descriptor and its name.

    It is locked while it is open: one that nobody holds was left by a process that is gone.
    """
    while True:
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with suppress(OSError):  # Where nothing can be locked, nothing is swept either.
                fcntl.flock(number, fcntl.LOCK_EX)
            if os.path.exists(name):  # A sweep may have come between the two.
                return number, name
        except BaseException:
            os.close(number)
            raise
        os.close(number)
