"""Rows that repeat another: exactly, but for letter case and white space, or in nearly the same
words.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from tuiwb.data.checks.differences import text_differences
from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.similarity import FAST_FROM, NearPairs, Pairs, clusters, load_kernels
from tuiwb.data.checks.words import folded, gathered, spoken_text
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from tuiwb.data.checks.hashes import I64

BATCH = 2_000
EXACT, NEAR, CASE_OR_SPACE = "exact_duplicate", "near_duplicate", "case_or_space"
_LABELS = {True: 0x9FB21C651E98DF25, False: 0x2127599BF4325C37}


class Rows(Protocol):
    """A dataset as far as it is needed here."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...


class Duplicates:
    """Remembers every row: two digests of its text for copies, a sketch for near ones.

    One digest is of the very text, the other leaves letter case and white space aside. Takes the
    rows in order, in batches, and keeps no text. With `row`, which opens a row by its index, near
    duplicates also say which words differ, and rows that seem the same but for case and space are
    read again before they are called so. Without `fast` the compiled kernels are not loaded; what
    is found is the same.
    """

    def __init__(self, row: Callable[[int], Row] | None = None, *, fast: bool = True) -> None:
        self._row = row
        self._kernels = load_kernels(fast)
        self._near = NearPairs(self._kernels)
        # Rows by their number in the order they came: its index, the digest of its very text.
        self._indexes, self._exactly = array("q"), array("q")
        # The first row of each folded digest; of each other text that shares it, the first too.
        self._first: dict[int, int] = {}
        self._others: dict[tuple[int, int], int] = {}
        self._copies: list[tuple[int, int]] = []
        self._same_words: list[tuple[int, int]] = []
        self._torn: list[tuple[int, int]] = []
        self._places: list[I64] = []
        self._files: dict[str, int] = {}
        self._pairs: Pairs | None = None

    def add(self, rows: Sequence[Row]) -> list[Finding]:
        """Remember the rows; a finding for each that says what an earlier one says.

        Exactly (exact_duplicate), or but for case and space (near_duplicate of that kind).
        """
        import numpy as np

        texts = gathered(rows)
        words = self._kernels.tokenise(texts.packed())
        begin = len(self._indexes)
        self._indexes.extend([row.index for row in rows])
        self._exactly.frombytes(texts.exactly().tobytes())
        speaks = (np.diff(words.bounds) > 0).tolist()
        findings: list[Finding] = []
        fresh: list[int] = []
        first = self._first
        for number, (row, digest) in enumerate(
            zip(rows, words.digests.tolist(), strict=True), begin
        ):
            if row.shape == "broken":
                continue
            of = first.setdefault(digest, number)
            if of == number and speaks[number - begin]:
                fresh.append(number - begin)
            if row.label is not None:
                digest ^= _LABELS[bool(row.label)]
                same = first.setdefault(digest, number)
                if same == number != of:
                    # The same answer marked good and bad is the preference check's finding.
                    self._torn.append((row.index, self._indexes[of]))
                of = same
            if of != number:
                finding = self._repeats(row, number, of, digest)
                if finding is not None:
                    findings.append(finding)
                elif speaks[number - begin]:
                    fresh.append(number - begin)
        if fresh:
            self._near.add(words, np.array(fresh, np.int64))
            self._places.append(self._places_of([rows[i] for i in fresh]))
        return findings

    def _repeats(self, row: Row, number: int, of: int, digest: int) -> Finding | None:
        """How the row repeats the first of its digest; None when the two only share it."""
        exactly = self._exactly[number]
        if exactly != self._exactly[of]:
            of = self._others.setdefault((digest, exactly), number)
        if of != number:
            index = self._indexes[of]
            self._copies.append((row.index, index))
            return found(row, EXACT, f"says exactly what row {index} says", of=index, score=1.0)
        index = self._indexes[self._first[digest]]
        if self._row is not None and folded(self._row(index)) != folded(row):
            return None
        self._same_words.append((row.index, index))
        sentence = f"says what row {index} says, but for letter case or white space"
        return found(row, NEAR, sentence, kind=CASE_OR_SPACE, of=index, score=1.0)

    def end(self) -> Iterator[Finding]:
        """Rows whose word set is nearly that of an earlier row, each with the one most like it."""
        self._pairs = self._near.pairs()
        names = list(self._files)
        places = self._all_places()
        nearest = self._pairs.nearest()
        for later, earlier, score in zip(*(part.tolist() for part in nearest), strict=True):
            index, line, file = places[later].tolist()
            of = int(places[earlier, 0])
            sentence = f"says nearly what row {of} says ({score:.0%} of their words are shared)"
            text = ""
            if self._row is not None:
                before, after = self._row(of), self._row(index)
                text = text_differences(spoken_text(before), spoken_text(after))
                sentence += f"; differs in: {text}" if text else "; the same words, otherwise put"
            bare = Row(file=names[file], index=index, line=line, format="", shape="broken")
            yield found(
                bare, NEAR, sentence, of=of, score=round(score, 4), text=text
            )  # fmt: skip

    def copies(self) -> list[tuple[int, int]]:
        """(row, earlier row) of the exact copies, each with the first of its kind."""
        return self._copies

    def edges(self) -> list[tuple[int, int, float]]:
        """(row, earlier row, similarity) of all pairs that were proven; after end().

        A copy, be it but for case and space, has one edge, to the first of its kind.
        """
        rows, of, score = (part.tolist() for part in self._near_rows())
        same = chain(self._copies, self._same_words)
        return sorted([*((row, of, 1.0) for row, of in same),
                       *zip(rows, of, score, strict=True)])  # fmt: skip

    def clusters(self) -> list[list[int]]:
        """Rows joined by exact or near copies, each cluster sorted; after end().

        Families of boilerplate can chain: keep a cluster together in a split, but do not delete
        by it. The same text with two labels is joined too.
        """
        rows, of, _ = (part.tolist() for part in self._near_rows())
        same = chain(self._copies, self._same_words, self._torn)
        return clusters(chain(same, zip(rows, of, strict=True)))

    def _near_rows(self) -> Pairs:
        """The proven pairs by the indexes of their rows."""
        assert self._pairs is not None
        indexes = self._all_places()[:, 0]
        later, earlier, score = self._pairs
        return Pairs(indexes[later], indexes[earlier], score)

    def _places_of(self, rows: list[Row]) -> "I64":
        """(index, line, number of the file) of each row."""
        import numpy as np

        files = self._files
        places = np.empty((len(rows), 3), np.int64)
        places[:, 0] = [row.index for row in rows]
        places[:, 1] = [row.line for row in rows]
        names = [row.file for row in rows]
        if names.count(names[0]) == len(names):
            places[:, 2] = files.setdefault(names[0], len(files))
        else:
            places[:, 2] = [files.setdefault(name, len(files)) for name in names]
        return places

    def _all_places(self) -> "I64":
        import numpy as np

        if len(self._places) != 1:
            self._places = [np.concatenate([np.empty((0, 3), np.int64), *self._places])]
        return self._places[0]


def duplicate_clusters(dataset: Rows) -> list[list[int]]:
    """Rows of a dataset joined by exact or near copies, for a split that tears none apart."""
    duplicates = Duplicates(fast=len(dataset) >= FAST_FROM)
    batch: list[Row] = []
    for row in dataset:
        batch.append(row)
        if len(batch) == BATCH:
            duplicates.add(batch)
            batch = []
    duplicates.add(batch)
    for _ in duplicates.end():
        pass
    return duplicates.clusters()
