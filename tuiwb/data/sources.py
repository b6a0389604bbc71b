"""The files themselves: where each record begins, and one record at a time.

Every source finds its records once (byte offsets, never the content), then opens any of them
without reading the rest. A record that can't be decoded is an entry with a problem.
"""

import csv
import json
import os
import re
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from tuiwb.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

BOM = b"\xef\xbb\xbf"
CHUNK = 8 << 20
_STRUCTURED = frozenset(
    ("messages", "conversations", "tools", "history", "chosen", "rejected", "prompt", "completion")
)


class Entry(NamedTuple):
    """One decoded record: its 1-based line, and either a value or why there is none."""

    line: int
    value: Any
    problem: str | None = None
    raw: str = ""


class Source(Protocol):
    """A file as a sequence of records."""

    container: str

    def __len__(self) -> int: ...

    def entry(self, n: int) -> Entry:
        """Record `n`, opened alone."""
        ...

    def entries(self) -> Iterator[Entry]:
        """All records in order, read once from front to back."""
        ...


def decode(data: bytes, line: int) -> Entry:
    """One JSON document: strictly and fast, else leniently (NaN, raw controls, lone surrogates)."""
    try:
        return Entry(line, msgspec.json.decode(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return Entry(line, json.loads(data.decode("utf-8"), strict=False))
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte {error.start} of the row): save it as UTF-8"
    except json.JSONDecodeError as error:
        at = f"column {error.colno}"
        at = f"line {line + error.lineno - 1}, {at}" if error.lineno > 1 else at
        if error.msg.startswith("Unterminated") or not error.doc[error.pos :].strip():
            problem = f"breaks off: half a JSON row (what begins at {at} never ends)"
        else:
            problem = f"is not JSON: {_lower(error.msg)} at {at}"
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON that can be read: {str(error) or 'nested too deep'}"
    return Entry(line, None, problem, data[:8000].decode("utf-8", "replace"))


class JsonLines:
    """JSONL: one record a line, lines end at \\n only. Blank lines hold no record."""

    container = "jsonl"

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._size = os.fstat(self._fd).st_size
        self._starts, self._ends, self._lines = self._find()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def _find(self) -> "tuple[np.ndarray, np.ndarray, np.ndarray | None]":
        import numpy as np

        found = []
        for at in range(0, self._size, CHUNK):
            chunk = np.frombuffer(os.pread(self._fd, CHUNK, at), dtype=np.uint8)
            found.append(np.flatnonzero(chunk == 10) + at)
        ends = np.concatenate(found) if found else np.empty(0, np.int64)
        if len(ends) == 0 or ends[-1] != self._size - 1:
            ends = np.append(ends, self._size)
        starts = np.empty_like(ends)
        starts[0] = len(BOM) if os.pread(self._fd, 3, 0) == BOM else 0
        starts[1:] = ends[:-1] + 1
        short = np.flatnonzero(ends - starts <= 64)
        blank = [i for i in short if not os.pread(self._fd, ends[i] - starts[i], starts[i]).strip()]
        if not blank:
            return starts, ends, None
        keep = np.ones(len(ends), bool)
        keep[blank] = False
        return starts[keep], ends[keep], np.flatnonzero(keep) + 1

    def __len__(self) -> int:
        return len(self._starts)

    def _line(self, n: int) -> int:
        return n + 1 if self._lines is None else int(self._lines[n])

    def raw(self, n: int) -> bytes:
        """The bytes of record `n`, without its line end."""
        start, end = int(self._starts[n]), int(self._ends[n])
        return os.pread(self._fd, end - start, start)

    def entry(self, n: int) -> Entry:
        """Record `n`, opened alone."""
        return decode(self.raw(n), self._line(n))

    def entries(self) -> Iterator[Entry]:
        """All records in order, read in large blocks."""
        first = 0
        while first < len(self):
            base = int(self._starts[first])
            last = max(first + 1, int(self._ends.searchsorted(base + CHUNK, "right")))
            block = os.pread(self._fd, int(self._ends[last - 1]) - base, base)
            for n in range(first, last):
                piece = block[int(self._starts[n]) - base : int(self._ends[n]) - base]
                yield decode(piece, self._line(n))
            first = last


class JsonArray:
    """A JSON array of records; an element's line is the one where it begins."""

    container = "json"
    _blank = re.compile(r"[ \t\r\n\ufeff]*")
    _tokens = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)

    def __init__(self, path: Path) -> None:
        self._text = path.read_bytes().decode("utf-8", "surrogateescape")
        self._starts, self._ends, self._lines = array("q"), array("q"), array("q")
        self._tail: Entry | None = None
        self._find()

    def _find(self) -> None:
        text, scan = self._text, json.JSONDecoder(strict=False).raw_decode
        at, line, counted = self._skip(self._skip(0) + 1), 1, 0
        while at < len(text) and text[at] != "]":
            line += text.count("\n", counted, at)
            counted = at
            try:
                end: int | None = scan(text, at)[1]
            except (ValueError, RecursionError):
                end = self._closing(at)
            if end is None:
                where = f"the array breaks off in the element that begins on line {line}"
                self._tail = Entry(line, None, f"{where}: the file was cut", text[at : at + 8000])
                return
            self._starts.append(at)
            self._ends.append(end)
            self._lines.append(line)
            at = self._skip(end)
            if at < len(text) and text[at] == ",":
                at = self._skip(at + 1)
            elif at < len(text) and text[at] != "]":
                line += text.count("\n", counted, at)
                problem = f"no comma after the element before line {line}: the rest is unreadable"
                self._tail = Entry(line, None, problem, text[at : at + 8000])
                return
        line += text.count("\n", counted, at)
        rest = self._skip(at + 1)
        if at >= len(text):
            self._tail = Entry(line, None, "the file ends inside the JSON array: it was cut off")
        elif rest < len(text):
            line += text.count("\n", at, rest)
            problem = "stands after the end of the JSON array: it is read by no one"
            self._tail = Entry(line, None, problem, text[rest : rest + 8000])

    def _skip(self, at: int) -> int:
        match = self._blank.match(self._text, at)
        return match.end() if match else at

    def _closing(self, at: int) -> int | None:
        """Where a broken element ends, by its brackets; None when they never close."""
        depth = 0
        for token in self._tokens.finditer(self._text, at):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth <= 0:
                after = self._skip(token.end())
                return token.end() if depth == 0 and self._text[after : after + 1] in ",]" else None
        return None

    def __len__(self) -> int:
        return len(self._starts) + (self._tail is not None)

    def entry(self, n: int) -> Entry:
        """Record `n`, decoded alone."""
        if n == len(self._starts) and self._tail is not None:
            return self._tail
        text = self._text[self._starts[n] : self._ends[n]]
        data = text.encode("utf-8", "surrogateescape")
        return decode(data, self._lines[n])

    def entries(self) -> Iterator[Entry]:
        """All records in order."""
        return (self.entry(n) for n in range(len(self)))


class Csv:
    """CSV with a header; cells of structured columns may hold JSON. Lines are physical lines."""

    container = "csv"

    def __init__(self, path: Path) -> None:
        csv.field_size_limit(1 << 30)
        self._fd = os.open(path, os.O_RDONLY)
        self._starts, self._ends, self._lines = array("q"), array("q"), array("q")
        head = os.pread(self._fd, 1 << 16, 0).removeprefix(BOM).split(b"\n", 1)[0]
        first = head.decode("utf-8", "replace")
        self._delimiter = max(",;\t|", key=lambda mark: (first.count(mark), mark == ","))
        self._header: list[str] = []
        self._find(path)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def _find(self, path: Path) -> None:
        position = line = 0
        with path.open("rb") as file:
            if file.read(3) == BOM:
                position = 3
            file.seek(position)

            def lines() -> Iterator[str]:
                nonlocal position, line
                for data in file:
                    position += len(data)
                    line += 1
                    yield data.decode("utf-8", "surrogateescape")

            reader = csv.reader(lines(), delimiter=self._delimiter, strict=True)
            while True:
                start, first = position, line + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    cells = ["?"]
                if not self._header:
                    self._header = [cell.strip() for cell in cells]
                elif cells:
                    self._starts.append(start)
                    self._ends.append(position)
                    self._lines.append(first)

    def __len__(self) -> int:
        return len(self._starts)

    def entry(self, n: int) -> Entry:
        """Record `n`, opened alone."""
        start, line = self._starts[n], self._lines[n]
        raw = os.pread(self._fd, self._ends[n] - start, start).decode("utf-8", "surrogateescape")
        pieces = [piece + "\n" for piece in raw.removesuffix("\n").split("\n")]
        try:
            cells = next(csv.reader(pieces, delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            why = f"is not CSV: {error}"
            if "unexpected end" in str(error):
                why = "opens a quote that is never closed: everything after it is inside"
            return Entry(line, None, why, raw[:8000])
        if len(cells) != len(self._header):
            problem = f"has {len(cells)} cells where the header names {len(self._header)}"
            return Entry(line, None, problem, raw[:8000])
        pairs = zip(self._header, cells, strict=True)
        return Entry(line, {name: _cell(name, cell) for name, cell in pairs})

    def entries(self) -> Iterator[Entry]:
        """All records in order."""
        return (self.entry(n) for n in range(len(self)))


class Parquet:
    """Parquet; a row's line is its index + 1."""

    container = "parquet"

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        self._lock = threading.Lock()
        try:
            self._file = parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError) as error:
            words = str(error).split("\n")[0]
            raise BadInput(f"{path} is not a Parquet file that can be read: {words}") from None
        counts = [
            self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)
        ]
        self._firsts = [0]
        for count in counts:
            self._firsts.append(self._firsts[-1] + count)
        self._group: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return self._firsts[-1]

    def entry(self, n: int) -> Entry:
        """Row `n`; its row group is read and kept until another is asked for."""
        group = bisect_right(self._firsts, n) - 1
        try:
            with self._lock:
                if self._group[0] != group:
                    self._group = (group, self._file.read_row_group(group))
                table = self._group[1]
            return Entry(n + 1, _without_nulls(table.slice(n - self._firsts[group], 1).to_pylist()))
        except (OSError, ValueError) as error:
            return Entry(n + 1, None, f"can't be read: {str(error).split(chr(10))[0]}")

    def entries(self) -> Iterator[Entry]:
        """All rows in order."""
        return (self.entry(n) for n in range(len(self)))


def _cell(name: str, cell: str) -> Any:
    """A cell as its column means it: JSON in structured columns, null where it is empty."""
    if name in _STRUCTURED and cell[:1] in ("[", "{"):
        value = decode(cell.encode("utf-8", "surrogateescape"), 1).value
        return cell if value is None else value
    if name in ("label", "kto_tag") and cell.strip().lower() in ("true", "false"):
        return cell.strip().lower() == "true"
    return None if cell == "" and name in ("system", "tools", "history", "label") else cell


def _without_nulls(value: Any) -> Any:
    """Arrow pads structs to one schema; drop the keys it invented. A one-row list is unwrapped."""

    def drop(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: drop(inner) for key, inner in item.items() if inner is not None}
        return [drop(inner) for inner in item] if isinstance(item, list) else item

    rows: Sequence[Any] = value
    return drop(rows[0])


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
