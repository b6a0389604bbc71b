"""JSON in a text, read as a reader sees it: escapes decoded, every place led back to the source.

In: any text. Out: the text with the strings of its JSON decoded in place, and which stretches of
the source may be replaced so that what was JSON stays JSON. JSON is a whole text, a fenced block,
or a line.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

_BLOCK = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_LINE = re.compile(r"^[ \t]*([{\[].*[}\]])[ \t\r]*$", re.MULTILINE)
_TOKEN = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|-?\d[\d.eE+-]*', re.DOTALL)
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\."
)

Kind = Literal["text", "key", "string", "number"]


class Cell(NamedTuple):
    """A stretch of the source that may be replaced; a number only whole, by a quoted string."""

    start: int
    end: int
    kind: Kind


class Shown:
    """A text with its JSON strings decoded: `text`; `cells` count characters of the source."""

    def __init__(self, source: str) -> None:
        parts = _parts(source)
        self.cells: list[Cell] = []
        self._at, self._from = [0], [0]
        pieces: list[str] = []
        at = 0
        for start, end in parts:
            if at < start:
                self.cells.append(Cell(at, start, "text"))
            for token in _TOKEN.finditer(source, start, end):
                if token[1] is None:
                    self.cells.append(Cell(*token.span(), "number"))
                elif token[1]:
                    self.cells.append(Cell(*token.span(1), "key" if token[2] else "string"))
            at = end
        if at < len(source):
            self.cells.append(Cell(at, len(source), "text"))
        self._ends = [cell.end for cell in self.cells]
        at = size = 0
        for cell in self.cells if parts and "\\" in source else ():
            if cell.kind in ("key", "string"):
                for escape in _ESCAPE.finditer(source, cell.start, cell.end):
                    said = str(json.loads(f'"{escape[0]}"'))
                    pieces += (source[at : escape.start()], said)
                    size += escape.start() - at + len(said)
                    at = escape.end()
                    # The escape ends where what follows it begins.
                    self._at += (size - len(said), size)
                    self._from += (escape.start(), at)
        self.text = "".join((*pieces, source[at:])) if pieces else source

    def places(self, start: int, end: int) -> Iterator[Cell]:
        """What of the source makes up text[start:end], cut at the cells.

        A key is among them only where the stretch lies in it alone.
        """
        first, last = self._source(start), self._source(end)
        for number in range(bisect_right(self._ends, first), len(self.cells)):
            cell = self.cells[number]
            if cell.start >= last:
                return
            within = cell.start <= first and last <= cell.end
            if cell.kind == "number":
                yield cell
            elif cell.kind != "key" or within:
                yield Cell(max(first, cell.start), min(last, cell.end), cell.kind)

    def _source(self, place: int) -> int:
        segment = bisect_right(self._at, place) - 1
        return self._from[segment] + place - self._at[segment]


def as_shown(value: Any) -> str:
    """A value as JSON with its strings decoded; a string as it is."""
    if isinstance(value, str):
        return value
    try:
        written = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):  # brackets in brackets beyond what is written
        return "\n".join(_strings(value))
    return Shown(written).text if "\\" in written else written


def _strings(value: Any) -> Iterator[str]:
    """Every string in a value however deep, names and what they name together."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, (dict, list)):
                    yield str(name)
                    todo.append(inner)
                else:
                    yield f"{name}: {inner}"
        elif isinstance(value, list):
            todo.extend(value)
        elif value is not None:
            yield str(value)


def _parts(text: str) -> list[tuple[int, int]]:
    """Where the JSON documents of a text are: objects and arrays."""
    if "{" not in text and "[" not in text:
        return []
    if _is_json(text):
        return [(0, len(text))]
    blocks = [block.span(1) for block in _BLOCK.finditer(text) if _is_json(block[1])]
    starts = [start for start, _end in blocks]
    lines = []
    for line in _LINE.finditer(text):
        place = bisect_right(starts, line.start(1)) - 1
        inside = place >= 0 and line.start(1) < blocks[place][1]
        if not inside and _is_json(line[1]):
            lines.append(line.span(1))
    return sorted(blocks + lines)


def _is_json(text: str) -> bool:
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
