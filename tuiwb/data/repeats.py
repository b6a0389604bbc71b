"""Which rows to leave out so that no two that are left say the same, keeping the best of each.

In: the exact copies and near pairs the duplicate check proves, and what each row is worth. Out:
the rows to drop, each with the kept row it repeats. A row is dropped only when a row that is kept
is its copy or within the check's threshold of it: families that chain are never dropped whole.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tuiwb.data.checks.duplicates import CASE_OR_SPACE, EXACT, NEAR, Duplicates
from tuiwb.data.checks.similarity import FAST_FROM
from tuiwb.data.checks.words import folded
from tuiwb.data.records import batches
from tuiwb.data.rows import Row

__all__ = ["CASE_OR_SPACE", "EXACT", "NEAR", "Dropped", "Repeats", "Worth"]


class Worth(msgspec.Struct, frozen=True):
    """What decides between copies: marked keep, then no findings, then the longer answer.

    Then the first of them. Rows with another `label` (a KTO thumb) are no copies of each other.
    """

    keep: bool
    findings: int
    answer: int
    label: bool | None = None

    def order(self, row: int) -> tuple[bool, bool, int, int]:
        """Sorts the best first."""
        return (not self.keep, self.findings > 0, -self.answer, row)


class Dropped(msgspec.Struct, frozen=True):
    """Why a row is left out: an exact or near duplicate of `of`, which stays.

    A near duplicate of score 1 has the same words.
    """

    reason: str
    of: int
    score: float


Weigh = Callable[[Sequence[int]], dict[int, Worth]]
Open = Callable[[Sequence[int]], Iterable[Row]]


class Repeats:
    """Sees all rows once, in order, in batches; then says which to drop."""

    def __init__(self, rows: int, *, near: bool) -> None:
        self._near = near
        self._fast = rows >= FAST_FROM
        self._duplicates = Duplicates(fast=self._fast)
        self._first: dict[int, int] = {}
        self._same_words: list[tuple[int, int]] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows; their `index` names them."""
        for finding in self._duplicates.add(rows):
            if finding.of is None:
                continue
            if finding.check == EXACT:
                self._first[finding.row] = finding.of
            elif self._near:
                self._same_words.append((finding.row, finding.of))

    def to_drop(self, weigh: Weigh, open_rows: Open) -> dict[int, Dropped]:
        """The rows to leave out.

        `weigh` gives the worth of rows, `open_rows` opens rows again; both are asked only for rows
        that repeat one, in ascending order.
        """
        edges: list[tuple[int, int, float]] = []
        if self._near:
            for _finding in self._duplicates.end():
                pass
            # A digest that leaves case and space aside can be made to fit: the rows are read.
            unlike = {pair for pair in self._same_words if not _same_words(pair, open_rows)}
            edges = [edge for edge in self._duplicates.edges() if edge[:2] not in unlike]
        asked = {*self._first, *self._first.values()}
        asked.update(row for edge in edges for row in edge[:2])
        worth = weigh(sorted(asked))
        copies = exact_to_drop(self._first, worth)
        # Of copies the best stays, which need not be the one that the edges name.
        stays = {self._first.get(row, row): drop.of for row, drop in copies.items()}
        pairs: dict[tuple[int, int], float] = {}
        for a, b, score in edges:
            a, b = stays.get(a, a), stays.get(b, b)
            if a != b and a not in copies and b not in copies:
                pairs[min(a, b), max(a, b)] = score
        near: dict[int, Dropped] = {}
        more = pairs
        while more:
            near = near_to_drop([(a, b, score) for (a, b), score in pairs.items()], worth)
            # A crowd's pairs are not all proven at once: those that stay are compared again.
            left = sorted({row for pair in pairs for row in pair} - near.keys())
            again = self._pairs_of(left, open_rows) if near else {}
            more = {pair: score for pair, score in again.items() if pair not in pairs}
            pairs |= more
        # A copy of a row that is not kept either is near to the one that is.
        return near | {row: near.get(drop.of, drop) for row, drop in copies.items()}

    def _pairs_of(self, rows: Sequence[int], open_rows: Open) -> dict[tuple[int, int], float]:
        duplicates = Duplicates(fast=self._fast)
        for batch in batches(open_rows(rows)):
            duplicates.add(batch)
        for _finding in duplicates.end():
            pass
        copies = set(duplicates.copies())
        return {(b, a): score for a, b, score in duplicates.edges() if (a, b) not in copies}


def _same_words(pair: tuple[int, int], open_rows: Open) -> bool:
    """Whether the two rows say the same but for letter case and white space."""
    one, other = open_rows(sorted(pair))
    return folded(one) == folded(other)


def exact_to_drop(first: dict[int, int], worth: dict[int, Worth]) -> dict[int, Dropped]:
    """Of each group of copies all but the best, and but those marked keep.

    `first` names for each copy the first row that says the same.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for row, of in first.items():
        groups[of].append(row)
    dropped: dict[int, Dropped] = {}
    for of, copies in groups.items():
        best, *rest = sorted((of, *copies), key=lambda row: worth[row].order(row))
        dropped.update((row, Dropped(EXACT, best, 1.0)) for row in rest if not worth[row].keep)
    return dropped


def near_to_drop(
    pairs: Iterable[tuple[int, int, float]], worth: dict[int, Worth]
) -> dict[int, Dropped]:
    """The best first, every row stays that no kept row is near to; rows marked keep stay."""
    near: dict[int, dict[int, float]] = defaultdict(dict)
    for a, b, score in pairs:
        if a != b and worth[a].label == worth[b].label:
            near[a][b] = near[b][a] = score
    kept: set[int] = set()
    dropped: dict[int, Dropped] = {}
    for row in sorted(near, key=lambda row: worth[row].order(row)):
        close = [(score, -other) for other, score in near[row].items() if other in kept]
        if close and not worth[row].keep:
            score, other = max(close)
            dropped[row] = Dropped(NEAR, -other, score)
        else:
            kept.add(row)
    return dropped
