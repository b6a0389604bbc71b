"""CSV and TSV: a header, then one record a row; quoted cells may span lines."""

import csv
from collections.abc import Iterator
from typing import Any

from tuiwb.data.index import Cache
from tuiwb.data.sources.entry import BOM, Entry, beginning, decode
from tuiwb.data.sources.file import File
from tuiwb.data.sources.records import Records

_STRUCTURED = frozenset(
    ("messages", "conversations", "tools", "history", "chosen", "rejected", "prompt", "completion")
)
# A quote that never closes would hold the rest of the file as one cell.
CELL_LIMIT = 1 << 26


class Csv(Records):
    """CSV with a header; cells of structured columns may hold JSON. Lines are physical lines."""

    container = "csv"

    def __init__(self, file: File, cache: Cache | None = None) -> None:
        super().__init__(file, cache)
        csv.field_size_limit(CELL_LIMIT)
        head = file.head().removeprefix(BOM).split(b"\n", 1)[0]
        first = head.decode("utf-8", "replace")
        self._delimiter = max(",;\t|", key=lambda mark: (first.count(mark), mark == ","))

    @property
    def _header(self) -> list[str]:
        header: list[str] = self._extra.get("header", [])
        return header

    def _find(self) -> Iterator[None]:
        position, line = 0, 0

        def lines() -> Iterator[str]:
            nonlocal position, line
            for data in _lines(self.file.chunks()):
                position += len(data)
                line += 1
                text = data.removeprefix(BOM) if line == 1 else data
                yield text.decode("utf-8", "surrogateescape")

        reader = csv.reader(lines(), delimiter=self._delimiter, strict=True)
        told = 0
        while True:
            start, first = position, line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells = ["?"]
            if not self._header:
                self._extra["header"] = [cell.strip() for cell in cells]
            elif cells:
                self.index.add(start, position, first)
            if position - told >= 1 << 18:
                told = self._scanned = position
                yield

    def _decode(self, data: bytes, line: int) -> Entry:
        text = data.decode("utf-8", "surrogateescape").removesuffix("\n")
        pieces = [piece + "\n" for piece in text.split("\n")]
        try:
            cells = next(csv.reader(pieces, delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            why = f"is not CSV: {error}"
            if "unexpected end" in str(error) or "field limit" in str(error):
                why = "opens a quote that is never closed: everything after it is inside"
            return Entry(line, None, why, beginning(data))
        if len(cells) != len(self._header):
            problem = f"has {len(cells)} cells where the header names {len(self._header)}"
            return Entry(line, None, problem, beginning(data))
        pairs = zip(self._header, cells, strict=True)
        return Entry(line, {name: _cell(name, cell) for name, cell in pairs})


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines with their ends, from consecutive pieces of a file."""
    open_: list[bytes] = []
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        open_.append(first)
        for other in others:
            yield b"".join(open_) + b"\n"
            open_ = [other]
    if rest := b"".join(open_):
        yield rest


def _cell(name: str, cell: str) -> Any:
    """A cell as its column means it: JSON in structured columns, null where it is empty."""
    if name in _STRUCTURED and cell[:1] in ("[", "{"):
        value = decode(cell.encode("utf-8", "surrogateescape"), 1).value
        return cell if value is None else value
    if name in ("label", "kto_tag") and cell.strip().lower() in ("true", "false"):
        return cell.strip().lower() == "true"
    return None if cell == "" and name in ("system", "tools", "history", "label") else cell
