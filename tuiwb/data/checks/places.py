"""Where things stood in a dataset, in a few bytes each, for findings that come at the end."""

from array import array
from collections.abc import Sequence
from typing import Any

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.rows import Row


class Places:
    """Numbers places (a row and one of its fields) from 0 in the order they are added."""

    def __init__(self) -> None:
        self._rows, self._lines = array("I"), array("I")
        self._files, self._fields = array("I"), array("I")
        self._ids: dict[str, int] = {}
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Row, field: str = "") -> int:
        """Remember a place; returns its number."""
        self._rows.append(row.index)
        self._lines.append(row.line)
        self._files.append(self._id(row.file))
        self._fields.append(self._id(field))
        return len(self._rows) - 1

    def extend(self, rows: Sequence[Row], fields: Sequence[str]) -> None:
        """Remember a place for each row, in order."""
        self._rows.extend([row.index for row in rows])
        self._lines.extend([row.line for row in rows])
        files = [row.file for row in rows]
        ids = self._ids
        for name in {*files, *fields}:
            self._id(name)
        self._files.extend([ids[file] for file in files])
        self._fields.extend([ids[field] for field in fields])

    def row(self, place: int) -> int:
        """The index of the row at that place."""
        return self._rows[place]

    def field(self, place: int) -> str:
        """The field at that place."""
        return self._names[self._fields[place]]

    def found(self, place: int, check: str, sentence: str, **more: Any) -> Finding:
        """A finding at that place."""
        row = Row(
            file=self._names[self._files[place]],
            index=self._rows[place],
            line=self._lines[place],
            format="",
            shape="broken",
        )
        return found(row, check, sentence, **{"field": self.field(place), **more})

    def _id(self, name: str) -> int:
        number = self._ids.get(name)
        if number is None:
            number = self._ids[name] = len(self._names)
            self._names.append(name)
        return number
