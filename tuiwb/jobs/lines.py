"""Lines of a job's files: JSON appended durably and read back, the end of a log of any size."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from tuiwb.prepared import prepared

T = TypeVar("T")


def append_lines(path: Path, values: Iterable[msgspec.Struct], *, durable: bool = True) -> None:
    """Append values as lines of JSON in one durable write; a torn last line is closed first.

    What is not `durable` outlives the process all the same, but not the machine: the caller
    syncs the file later.
    """
    data = b"".join(msgspec.json.encode(value) + b"\n" for value in values)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            data = b"\n" + data
        written = os.write(fd, data)
        if written != len(data):
            os.ftruncate(fd, size)
            raise OSError(28, "No space left on device", str(path))
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def decode_lines(chunk: bytes, kind: type[T]) -> list[T]:
    """Lines of JSON as values of `kind`; a torn or foreign line is passed over."""
    decoder = msgspec.json.Decoder(prepared(kind))
    values = []
    for line in chunk.split(b"\n"):
        try:
            if line.strip():
                values.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return values


def tail(path: Path, lines: int = 20, most: int = 1 << 16, start: int = 0) -> list[str]:
    """The last lines after byte `start` of a text file that may be huge or hold any bytes."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            # A file that is shorter than that is another one.
            file.seek(max(start if start <= size else 0, size - most))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rsplit("\r", 1)[-1] for line in text.rstrip("\r\n").split("\n")][-lines:]
