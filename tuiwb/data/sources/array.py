"""A JSON array of records, found without loading the file: by its brackets, quotes and commas."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tuiwb.data.sources.entry import Entry, decode
from tuiwb.data.sources.records import Records, cut

if TYPE_CHECKING:
    import numpy as np

_BLANK = re.compile(rb"[ \t\r\n]*")
_QUOTE, _SLASH, _COMMA, _NEWLINE, _OPEN, _CLOSE = 1, 2, 3, 4, 5, 6
_KINDS = bytes(
    {34: _QUOTE, 92: _SLASH, 44: _COMMA, 10: _NEWLINE, 91: _OPEN, 123: _OPEN, 93: _CLOSE,
     125: _CLOSE}.get(byte, 0)
    for byte in range(256)
)  # fmt: skip


class JsonArray(Records):
    """A JSON array: what stands between two of its own commas is a record, whole or broken.

    An element's line is the one where it begins. What is wrong after the last element (an array
    that breaks off, text after its end) is one broken row.
    """

    container = "json"

    def _find(self) -> Iterator[None]:
        scan = _Scan()
        for chunk in self.file.chunks():
            for start, end, line in scan.feed(chunk):
                self.index.add(start, end, line)
            self._scanned += len(chunk)
            yield
        self._tail = self._after(scan)

    def _after(self, scan: "_Scan") -> Entry | None:
        size = self.file.size
        if not scan.ended:
            if scan.start is None or scan.whole:
                if scan.start is not None:
                    self.index.add(scan.start, size, scan.start_line)
                problem = "the file ends inside the JSON array: it was cut off"
                return Entry(scan.line, None, problem)
            where = f"the array breaks off in the element that begins on line {scan.start_line}"
            raw = self.file.read(scan.start, min(size - scan.start, 8000))
            return cut(scan.start_line, f"{where}: the file was cut", raw)
        rest = self.file.read(scan.end, min(size - scan.end, 1 << 20))
        blank = _BLANK.match(rest)
        after = blank.end() if blank else 0
        if after == len(rest):
            return None
        line = scan.line + rest.count(b"\n", 0, after)
        return cut(
            line, "stands after the end of the JSON array: it is read by no one", rest[after:]
        )

    def pieces(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """Elements are JSON by themselves."""
        return self._read(first)

    def _decode(self, data: bytes, line: int) -> Entry:
        return decode(data, line)


class _Scan:
    """Finds the elements in consecutive chunks of bytes; knows what a chunk leaves open.

    `start` is where the open element began, None while it has not; `end` is where the array ended.
    """

    def __init__(self) -> None:
        self.at, self.line, self.end = 0, 1, 0
        self.start: int | None = None
        self.start_line = 1
        self.ended = False
        # Inside the array, its own commas stand at depth 1.
        self._depth, self._quoted, self._odd, self._seeking = 1, False, False, False

    @property
    def whole(self) -> bool:
        """Whether the open element, if there is one, lacks no bracket and no quote."""
        return self._depth == 1 and not self._quoted

    def feed(self, chunk: bytes) -> Iterator[tuple[int, int, int]]:
        """(start, end, line) of each element that ends in `chunk`."""
        if self.ended:
            return
        import numpy as np

        kinds = np.frombuffer(chunk.translate(_KINDS), np.uint8)
        places = np.flatnonzero(kinds)
        marks = kinds[places]
        newlines = places[marks == _NEWLINE]
        opened = chunk.index(b"[") + 1 if self.at == 0 else 0
        if opened or self._seeking:
            self._seek(chunk, opened, newlines)
        kept = (places >= opened) & (marks != _NEWLINE)
        for place, comma in self._stops(chunk, places[kept], marks[kept]):
            line = self.line + int(newlines.searchsorted(place))
            if self.start is not None:
                yield self.start, self._stripped(chunk, self.start, place), self.start_line
            elif comma:
                yield self.at + place, self.at + place, line
            self.start = None
            if not comma:
                self.ended, self.end, self.line = True, self.at + place + 1, line
                return
            self._seek(chunk, place + 1, newlines)
        self.at += len(chunk)
        self.line += len(newlines)

    def _stripped(self, chunk: bytes, start: int, place: int) -> int:
        """Where the element ends, without the blanks before `place`."""
        begin = max(0, start - self.at)
        if place > begin and chunk[place - 1] > 32:
            return self.at + place
        return self.at + begin + len(chunk[begin:place].rstrip(b" \t\r\n"))

    def _seek(self, chunk: bytes, at: int, newlines: "np.ndarray[Any, Any]") -> None:
        """Find where the next element begins, from `at` on; it may be beyond the chunk."""
        match = _BLANK.match(chunk, at)
        found = match.end() if match else at
        self._seeking = found >= len(chunk)
        if not self._seeking and chunk[found] not in b",]":
            self.start = self.at + found
            self.start_line = self.line + int(newlines.searchsorted(found))

    def _stops(
        self, chunk: bytes, places: "np.ndarray[Any, Any]", marks: "np.ndarray[Any, Any]"
    ) -> list[tuple[int, bool]]:
        """(place, whether it is a comma) of what ends an element: commas at depth 1, the last ]."""
        import numpy as np

        kept = self._outside_escapes(chunk, places, marks)
        places, marks = places[kept], marks[kept]
        inside = (np.cumsum(marks == _QUOTE) + self._quoted) & 1 == 1
        steps = (marks == _OPEN).astype(np.int32) - (marks == _CLOSE)
        steps[inside] = 0
        depths = np.cumsum(steps) + self._depth
        if len(marks):
            self._quoted, self._depth = bool(inside[-1]), int(depths[-1])
        comma = (marks == _COMMA) & ~inside & (depths == 1)
        stops = np.flatnonzero(comma | ((steps == -1) & (depths == 0)))
        return list(zip(places[stops].tolist(), comma[stops].tolist(), strict=True))

    def _outside_escapes(
        self, chunk: bytes, places: "np.ndarray[Any, Any]", marks: "np.ndarray[Any, Any]"
    ) -> "np.ndarray[Any, Any]":
        """Which marks count: no backslash, and no quote after an odd run of them."""
        import numpy as np

        slashes = marks == _SLASH
        was_odd, self._odd = self._odd, False
        escaped = np.zeros_like(slashes)
        if was_odd and chunk[:1] == b'"':
            escaped[:1] = True
        if slashes.any():
            follows = np.diff(places, prepend=-2) == 1
            begins = slashes & ~(follows & np.concatenate(([False], slashes[:-1])))
            order = np.arange(len(places))
            run = order - np.maximum.accumulate(np.where(begins, order, 0)) + 1
            if was_odd:
                run[: len(chunk) - len(chunk.lstrip(b"\\"))] += 1
            odd = slashes & (run % 2 == 1)
            escaped[1:] |= odd[:-1] & follows[1:]
            self._odd = bool(odd[-1] and places[-1] == len(chunk) - 1)
        counts: np.ndarray[Any, Any] = ~(slashes | escaped & (marks == _QUOTE))
        return counts
