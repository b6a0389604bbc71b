"""Small typed columns beside a dataset: what rows are sorted, filtered and counted by.

In: the rows of one pass. Out: an .npz next to a check's report, a few bytes a row, so that sorting
a million rows never decodes them. Safe to delete: the next check writes it again.
"""

import io
import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuiwb.data.rows import Row
from tuiwb.jobs.folder import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_VALUES = 40
# Names of tags that are counted; rows whose keys are data of their own have ever new ones.
MOST_NAMES = 64
LONGEST = 60
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
        """Write them to an .npz file, whole or not at all."""
        import numpy as np

        arrays: dict[str, Any] = {f"n_{k}": v for k, v in self.numbers.items()}
        # By number: a tag's name can be anything, and a zip's entry can't.
        arrays |= {f"c_{i}": self.codes[name] for i, name in enumerate(self.values)}
        arrays["values"] = np.frombuffer(json.dumps(self.values).encode(), np.uint8)
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        write_atomically(path, packed.getvalue())

    @classmethod
    def load(cls, path: Path) -> "RowColumns | None":
        """Read them back; None when they are not there or not whole."""
        import numpy as np

        try:
            with np.load(path, allow_pickle=False) as kept:
                values = json.loads(bytes(kept["values"]))
                numbers = {k[2:]: kept[k] for k in kept.files if k.startswith("n_")}
                codes = {name: kept[f"c_{i}"] for i, name in enumerate(values)}
        except Exception:  # a damaged archive raises a dozen kinds of errors
            return None
        columns = cls(numbers, codes, values)
        return columns if columns._whole() else None

    def _whole(self) -> bool:
        """Whether all columns are there, of one length, and every code has its value."""
        if not set(NUMBERS) <= self.numbers.keys() or not isinstance(self.values, dict):
            return False
        columns: list[NDArray[Any]] = [*self.numbers.values(), *self.codes.values()]
        if any(c.ndim != 1 or c.dtype.kind not in "iu" for c in columns):
            return False
        return len({len(column) for column in columns}) == 1 and all(
            isinstance(self.values[name], list)
            and (not len(codes) or -1 <= codes.min() <= codes.max() < len(self.values[name]))
            for name, codes in self.codes.items()
        )


class ColumnsBuilder:
    """Collects the columns in one pass over the rows.

    Of tags the first MOST_NAMES names are counted, each until it takes too many values.
    """

    def __init__(self) -> None:
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
        if name in self._given_up:
            return
        known = self._values.get(name)
        if known is None:
            if len(self._values) >= MOST_NAMES and name.startswith("tag."):
                return
            known = self._values[name] = {}
        code = known.get(value)
        if code is None:
            if len(known) == MOST_VALUES:
                self._given_up.add(name)
                self._codes.pop(name, None)
                known.clear()
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
        if len(name) <= LONGEST and isinstance(value, (str, bool, int)):
            said = _said(value)
            if len(said) <= LONGEST:
                yield f"tag.{name}", said


def _said(value: str | int) -> str:
    """A tag's value in words; too long a one is cut. Python refuses to write huge numbers out."""
    if isinstance(value, str):
        return value[: LONGEST + 1]
    return str(value) if value.bit_length() < 4 * LONGEST else "0" * (LONGEST + 1)
