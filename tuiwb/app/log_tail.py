"""The end of a growing text file: its last lines at once, then what is added, whatever it holds.

In: the path of a worker's log. Out: lines, each at most `LONGEST` characters and a word on what was
left out, so that a line of 10 MB or a binary file costs no more than any other.
"""

import os
import threading
from pathlib import Path

LONGEST = 4000  # characters of a line that are kept
FIRST_LOOK = 256 << 10  # bytes from the end that the first poll reads
AT_ONCE = 4 << 20  # bytes a later poll reads at most; the rest waits


class LogTail:
    """`poll()` returns the lines that came since; `rest` is the last line while it has no end.

    A carriage return begins a line anew, as progress bars mean it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rest = ""
        self._offset = -1
        self._inode = 0
        self._head = b""  # the start of the line that has no end yet
        self._length = 0  # all its bytes, kept or not
        self._lock = threading.Lock()

    def poll(self) -> list[str]:
        """New whole lines in order; a file that shrank or was replaced is read from its end again.

        A missing or unreadable file has no lines.
        """
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    stat = os.fstat(file.fileno())
                    if (
                        self._offset < 0
                        or stat.st_size < self._offset
                        or stat.st_ino != self._inode
                    ):
                        cut = max(0, stat.st_size - FIRST_LOOK)
                        self._offset, self._inode = cut, stat.st_ino
                        self._head, self._length = b"", 0
                        if cut:
                            file.seek(cut)
                            self._offset += len(file.readline(FIRST_LOOK))
                    if stat.st_size == self._offset:
                        return []
                    file.seek(self._offset)
                    chunk = file.read(AT_ONCE)
            except OSError:
                return []
            self._offset += len(chunk)
            return self._split(chunk)

    def _split(self, chunk: bytes) -> list[str]:
        lines = []
        *whole, last = chunk.split(b"\n")
        for part in whole:
            self._grow(part)
            lines.append(self._line())
            self._head, self._length = b"", 0
        self._grow(last)
        self.rest = self._line()
        return lines

    def _grow(self, part: bytes) -> None:
        if b"\r" in part.rstrip(b"\r"):
            part = part.rstrip(b"\r").rsplit(b"\r", 1)[1]
            self._head, self._length = b"", 0
        self._length += len(part)
        self._head += part[: max(0, 4 * LONGEST - len(self._head))]

    def _line(self) -> str:
        text = self._head.decode("utf-8", "replace").rstrip("\r")
        if len(text) <= LONGEST and self._length <= 4 * LONGEST:
            return text
        left_out = self._length - len(text[:LONGEST].encode("utf-8", "replace"))
        return f"{text[:LONGEST]} … {left_out:,} more bytes"
