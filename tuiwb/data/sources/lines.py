"""JSONL: one record a line."""

from collections.abc import Iterator

from tuiwb.data.sources.entry import BOM, Entry, decode
from tuiwb.data.sources.records import Records

# What bytes.strip() takes for blank.
_BLANK = b" \t\n\r\x0b\x0c"


class JsonLines(Records):
    """JSONL: lines end at \\n only (U+2028 stands inside strings). Blank lines hold no record."""

    container = "jsonl"

    def _find(self) -> Iterator[None]:
        import numpy as np

        blank = np.zeros(256, bool)
        blank[list(_BLANK)] = True
        start, line, base = 0, 1, 0
        for chunk in self.file.chunks():
            if base == 0 and chunk.startswith(BOM):
                start = len(BOM)
            view = np.frombuffer(chunk, np.uint8)
            ends = np.flatnonzero(view == 10)
            starts = np.empty_like(ends)
            if len(ends):
                starts[0], starts[1:] = start - base, ends[:-1] + 1
                self._add(chunk, base, starts, ends, blank[view[np.maximum(starts, 0)]], line)
                start, line = base + int(ends[-1]) + 1, line + len(ends)
            base += len(chunk)
            self._scanned = base
            yield
        if start < self.file.size and not self._blank(b"", start, start, self.file.size):
            self.index.add(start, self.file.size, line)

    def _add(self, chunk, base, starts, ends, suspect, line) -> None:  # type: ignore[no-untyped-def]
        """Add a chunk's lines but the blank ones; `suspect` marks those that could be."""
        import numpy as np

        if starts[0] < 0:
            suspect[0] = True
        maybe = np.flatnonzero(suspect)
        empty = [
            i
            for i in maybe.tolist()
            if self._blank(chunk, base, base + int(starts[i]), base + int(ends[i]))
        ]
        kept = np.delete(np.arange(len(ends)), empty) if empty else slice(None)
        named = [(0, line)]
        if empty:
            numbers = kept + line  # type: ignore[operator]
            jumps = np.flatnonzero(np.diff(numbers, prepend=line - 1) != 1)
            named = [(int(i), int(numbers[i])) for i in jumps]
            if len(numbers) and (not named or named[0][0] != 0):
                named.insert(0, (0, int(numbers[0])))
        self.index.extend((starts[kept] + base).tobytes(), (ends[kept] + base).tobytes(), named)

    def _blank(self, chunk: bytes, base: int, start: int, end: int) -> bool:
        """Whether the line holds nothing; its beginning may lie before the chunk."""
        if start >= base and chunk:
            return not chunk[start - base : end - base].strip()
        for at in range(start, end, 1 << 20):
            if self.file.read(at, min(end - at, 1 << 20)).strip():
                return False
        return True

    def raw(self, n: int) -> bytes | None:
        """The bytes of record `n`, without its line end."""
        return super().raw(n)

    def pieces(self, first: int) -> list[tuple[int, bytes]] | None:
        """Lines are JSON by themselves."""
        return self._read(first)

    def _decode(self, data: bytes, line: int) -> Entry:
        return decode(data, line)
