"""JSONL: one record a line."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tuiwb.data.sources.entry import BOM, Entry, decode
from tuiwb.data.sources.file import Changed
from tuiwb.data.sources.records import Records

if TYPE_CHECKING:
    import numpy as np

# Longer lines are found faster one by one than by comparing every byte.
_LONG = 200


class JsonLines(Records):
    """JSONL: lines end at \\n only (U+2028 stands inside strings). Blank lines hold no record."""

    container = "jsonl"

    def _find(self) -> Iterator[None]:
        import numpy as np

        blank = np.zeros(256, bool)
        blank[list(b" \t\n\r\x0b\x0c")] = True  # What bytes.strip() takes for blank.
        # `start` is where the open line began, `opens_blank` whether it began like a blank one.
        start, line, length, opens_blank = 0, 1, 0, False
        for chunk in self.file.chunks():
            base, data = self._scanned, np.frombuffer(chunk, np.uint8)
            if base == 0 and chunk.startswith(BOM):
                start = len(BOM)
            ends = _line_ends(chunk, data, length)
            length = len(chunk) // (len(ends) + 1)
            if len(ends):
                starts = np.empty_like(ends)
                starts[0], starts[1:] = start - base, ends[:-1] + 1
                begin = data[np.maximum(starts, 0)]
                suspect = blank[begin]
                suspect[0] = opens_blank if starts[0] < 0 else suspect[0]
                self._add(chunk, starts, ends, np.flatnonzero(suspect).tolist(), line)
                start, line = base + int(ends[-1]) + 1, line + len(ends)
            if base <= start < base + len(chunk):
                opens_blank = bool(blank[chunk[start - base]])
            self._scanned += len(chunk)
            yield
        rest = self.file.size - self._scanned
        if start < self.file.size and not self._blank(b"", start - self._scanned, rest):
            self.index.add(start, self.file.size, line)

    def _add(
        self,
        chunk: bytes,
        starts: "np.ndarray[Any, Any]",
        ends: "np.ndarray[Any, Any]",
        suspects: list[int],
        line: int,
    ) -> None:
        """Add a chunk's lines but the blank ones, which are among `suspects`.

        `starts` and `ends` count from the chunk; `line` is the number of the first of them.
        """
        import numpy as np

        named = [(0, line)]
        if blank := [i for i in suspects if self._blank(chunk, int(starts[i]), int(ends[i]))]:
            kept = np.delete(np.arange(len(ends)), blank)
            starts, ends = starts[kept], ends[kept]
            # A record's line must be named where it is not the one after the record before.
            jumps = np.flatnonzero(np.diff(kept, prepend=-2) != 1).tolist()
            named = [(i, line + int(kept[i])) for i in jumps]
        at = self._scanned
        self.index.extend((starts + at).tobytes(), (ends + at).tobytes(), named)

    def _blank(self, chunk: bytes, start: int, end: int) -> bool:
        """Whether the line holds nothing; it may have begun before the chunk."""
        if start >= 0 and chunk:
            return not chunk[start:end].strip()
        start, end = start + self._scanned, end + self._scanned
        pieces = range(start, end, 1 << 20)
        return not any(self.file.read(at, min(end - at, 1 << 20)).strip() for at in pieces)

    def raw(self, n: int) -> bytes | None:
        """The bytes of record `n`; Changed where the file was written over and holds no line."""
        data = super().raw(n)
        if data is not None and self.file.written_to() and not self._framed(n, data):
            raise Changed("can't be read any more: the file changed since it was opened")
        return data

    def _framed(self, n: int, data: bytes) -> bool:
        start, end = self.index.starts[n], self.index.ends[n]
        before = self.file.read(start - 1, 1) if start > len(BOM) else b"\n"
        after = self.file.read(end, 1) if end < self.file.size else b"\n"
        return before == after == b"\n" and b"\n" not in data

    def pieces(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """Lines are JSON by themselves."""
        return self._read(first)

    def _decode(self, data: bytes, line: int) -> Entry:
        return decode(data, line)


def _line_ends(chunk: bytes, data: "np.ndarray[Any, Any]", length: int) -> "np.ndarray[Any, Any]":
    """Where the line ends of `chunk` stand, lines being about `length` bytes long."""
    import numpy as np

    if length < _LONG:
        return np.flatnonzero(data == 10)
    # Going from line to line (memchr) skips the bytes that a comparison would look at.
    ends = np.fromiter(map(len, io.BytesIO(chunk)), np.int64).cumsum() - 1
    return ends if chunk.endswith(b"\n") else ends[:-1]
