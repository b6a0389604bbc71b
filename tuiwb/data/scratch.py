"""Rows set aside on disk while a version is made: written once, read in order or opened again.

In: rows in ascending order of their index. Out: their lines of JSON, and rows. The file has no
name, so nothing is left of it when the process ends, however it ends.
"""

import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from tuiwb.data.formats import to_row
from tuiwb.data.records import encode_line, record_of
from tuiwb.data.rows import Row
from tuiwb.data.sources import decode

_BUFFER = 1 << 20


class Scratch:
    """A file of rows; 24 bytes a row are kept in memory. `folder` None: the system's own."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
        self._rows, self._lines, self._starts = array("q"), array("q"), array("q")
        self._end = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row) -> None:
        """Set a row aside."""
        line = encode_line(record_of(row))
        self._rows.append(row.index)
        self._lines.append(row.line)
        self._starts.append(self._end)
        self._end += len(line)
        self._file.write(line)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(index, the record as a line of JSON) of every row, in order."""
        self._file.seek(0)
        return zip(self._rows, self._file, strict=True)

    def __iter__(self) -> Iterator[Row]:
        """The rows again, in order."""
        self._file.seek(0)
        for index, line, record in zip(self._rows, self._lines, self._file, strict=True):
            yield to_row(decode(record, line).value, "", index, line)

    def open(self, indexes: Sequence[int]) -> Iterator[Row]:
        """The rows with those indexes again, which all were added."""
        for index in indexes:
            n = bisect_left(self._rows, index)
            self._file.seek(self._starts[n])
            record = decode(self._file.readline(), self._lines[n]).value
            yield to_row(record, "", index, self._lines[n])
