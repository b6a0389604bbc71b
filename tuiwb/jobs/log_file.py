"""The bytes of a log that grows while it is read: whole lines, in bounded memory.

Another file under the same name, one that shrank, or one whose last lines read are not there any
more is another log: it is read from its beginning again.
"""

import os
from pathlib import Path
from typing import BinaryIO

LONGEST = 64 << 20  # bytes; a longer line is passed over, so that memory stays bounded
_KNOWN = 64  # bytes before the offset that are looked at again


class LogFile:
    """`lines()` gives what was added since the last call; `offset` is where it stands.

    `generation` rises when the file turned out to be another log.
    """

    def __init__(self, path: Path, offset: int = 0, *, longest: int = LONGEST) -> None:
        self.path = path
        self.offset = offset
        self.generation = 0
        self.size = 0
        self.inode: int | None = None
        self._longest = longest
        self._last = b""
        self._torn_at = -1
        self._skipping = False

    @property
    def share(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        return min(1.0, self.offset / self.size) if self.size else 1.0

    def resume(self, offset: int, inode: int) -> None:
        """Go on after `offset` of the file with this inode."""
        self.offset, self.inode = offset, inode

    def skip(self, offset: int) -> None:
        """Go on after `offset`, the end of a line of the file; OSErrors are the caller's."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(max(0, offset - _KNOWN))
            self._last = file.read(min(_KNOWN, offset))
        self.offset = offset

    def lines(self, limit: int) -> bytes:
        """Whole lines, about `limit` bytes of them at most but at least one; b"" if none is new.

        A missing file is empty; other OSErrors are the caller's.
        """
        try:
            file = self.path.open("rb", buffering=0)
        except FileNotFoundError:
            return b""
        with file:
            self._look(file)
            while self.size not in (self.offset, self._torn_at):
                file.seek(self.offset)
                chunk = self._chunk(file, max(1, min(limit, self.size - self.offset)))
                whole = chunk.rfind(b"\n") + 1
                begin = chunk.find(b"\n") + 1 if self._skipping else 0
                if whole:
                    self._passed(chunk[:whole])
                    self._skipping = False
                    if begin < whole:
                        return chunk[begin:whole]
                elif self._skipping or len(chunk) >= self._longest:
                    self._passed(chunk)
                    self._skipping = True
                else:
                    self._torn_at = self.size
                if not chunk:
                    break
        return b""

    def _passed(self, data: bytes) -> None:
        self.offset += len(data)
        self._last = (self._last + data)[-_KNOWN:] if len(data) < _KNOWN else data[-_KNOWN:]

    def _look(self, file: BinaryIO) -> None:
        """See how long the file is, and start over when it is another one."""
        about = os.fstat(file.fileno())
        other = about.st_size < self.offset or self.inode not in (None, about.st_ino)
        if not other and about.st_size > self.offset and self._last:
            file.seek(self.offset - len(self._last))
            other = file.read(len(self._last)) != self._last
        if other:
            self.generation += 1
            self.offset, self._last, self._torn_at, self._skipping = 0, b"", -1, False
        self.inode, self.size = about.st_ino, about.st_size

    def _chunk(self, file: BinaryIO, limit: int) -> bytes:
        """About `limit` bytes; where no line ends within, just that line, up to the longest."""
        chunk = file.read(limit)
        pieces = [chunk]
        length = len(chunk)
        while chunk and b"\n" not in chunk and not self._skipping and length < self._longest:
            # Never past the size seen: what is written meanwhile is the next call's.
            chunk = file.read(min(max(limit, length), self.size - self.offset - length))
            chunk = chunk[: chunk.find(b"\n") + 1] or chunk
            pieces.append(chunk)
            length += len(chunk)
        return b"".join(pieces)
