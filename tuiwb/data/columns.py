"""Small typed columns beside a dataset: what rows are sorted, filtered and counted by.

In: the rows of one pass. Out: an .npz next to a check's report, a few bytes a row, so that sorting
a million rows never decodes them. Safe to delete: the next check writes it again.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuiwb.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_VALUES = 40
NUMBERS = ("turns", "chars", "answer_chars")


class RowColumns:
    """Numbers of every row, and a code for each value of the tags that take few values.

    `numbers[name]` has one entry a row: turns, characters in all, characters of the last answer.
    `codes[name]` indexes `values[name]`; -1 where the row has no such tag.
    """

    def __init__(
        self,
        numbers: "dict[str, NDArray[np.uint32]]",
        codes: "dict[str, NDArray[np.int16]]",
        values: dict[str, list[str]],
    ) -> None:
        self.numbers, self.codes, self.values = numbers, codes, values

    def __len__(self) -> int:
        return len(self.numbers["turns"])

    def order(self, by: str, descending: bool = False) -> "NDArray[np.int64]":
        """Row numbers sorted by a number or a facet, ties in file order; KeyError if none."""
        import numpy as np

        column = self.numbers[by] if by in self.numbers else self.codes[by]
        wide = column.astype(np.int64)
        return np.argsort(-wide if descending else wide, kind="stable")

    def counts(self) -> dict[str, list[tuple[str, int]]]:
        """Of each facet its values with their numbers of rows, the most frequent first."""
        import numpy as np

        counted = {}
        for name, codes in self.codes.items():
            sizes = np.bincount(codes[codes >= 0], minlength=len(self.values[name]))
            pairs = zip(self.values[name], sizes.tolist(), strict=True)
            counted[name] = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
        return counted

    def save(self, path: Path) -> None:
        """Write them to an .npz file."""
        import numpy as np

        arrays: dict[str, Any] = {f"n_{k}": v for k, v in self.numbers.items()}
        arrays |= {f"c_{k}": v for k, v in self.codes.items()}
        arrays["values"] = np.frombuffer(json.dumps(self.values).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "RowColumns | None":
        """Read them back; None when they are not there or not whole."""
        import numpy as np

        try:
            with np.load(path, allow_pickle=False) as kept:
                values = json.loads(bytes(kept["values"]))
                numbers = {k[2:]: kept[k] for k in kept.files if k.startswith("n_")}
                codes = {k[2:]: kept[k] for k in kept.files if k.startswith("c_")}
        except (OSError, ValueError, KeyError, EOFError):
            return None
        except Exception as error:  # a torn zip raises zipfile's own kind
            if type(error).__name__ != "BadZipFile":
                raise
            return None
        return cls(numbers, codes, values) if set(NUMBERS) <= set(numbers) else None


class ColumnsBuilder:
    """Collects the columns in one pass over the rows."""

    def __init__(self) -> None:
        from array import array

        self._numbers = {name: array("I") for name in NUMBERS}
        self._codes: dict[str, array[int]] = {}
        self._values: dict[str, dict[str, int]] = {}
        self._given_up: set[str] = set()
        self._rows = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Measure the next rows."""
        for row in rows:
            turns = chars = answer = 0
            for _field, role, text in row.fields():
                turns += 1
                chars += len(text)
                if role in ("assistant", ""):
                    answer = len(text)
            self._numbers["turns"].append(turns)
            self._numbers["chars"].append(min(chars, 0xFFFFFFFF))
            self._numbers["answer_chars"].append(min(answer, 0xFFFFFFFF))
            for name, value in _facets(row):
                self._count(name, value)
            self._rows += 1

    def columns(self) -> RowColumns:
        """What was collected."""
        import numpy as np

        codes = {}
        for name, column in self._codes.items():
            if name in self._given_up:
                continue
            whole = np.full(self._rows, -1, np.int16)
            whole[: len(column)] = np.frombuffer(column, np.int16) if len(column) else []
            codes[name] = whole
        return RowColumns(
            {name: np.array(column, np.uint32) for name, column in self._numbers.items()},
            codes,
            {name: list(self._values[name]) for name in codes},
        )

    def _count(self, name: str, value: str) -> None:
        from array import array

        if name in self._given_up:
            return
        known = self._values.setdefault(name, {})
        code = known.get(value)
        if code is None:
            if len(known) == MOST_VALUES:
                self._given_up.add(name)
                self._codes.pop(name, None)
                return
            code = known[value] = len(known)
        column = self._codes.setdefault(name, array("h"))
        if len(column) < self._rows:
            column.extend([-1] * (self._rows - len(column)))
        column.append(code)


def _facets(row: Row) -> Iterator[tuple[str, str]]:
    """The row's format, its label, and its tags that hold short plain values."""
    yield "format", row.format
    if row.label is not None:
        yield "label", "good" if row.label else "bad"
    for name, value in row.tags.items():
        if isinstance(value, (str, bool, int)) and len(str(value)) <= 60:
            yield f"tag.{name}", str(value)
