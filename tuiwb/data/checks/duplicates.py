"""Rows that repeat another: exactly, or in nearly the same words."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from tuiwb.data.checks.differences import text_differences
from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.similarity import FAST_FROM, NearPairs, Pairs, clusters, load_kernels
from tuiwb.data.checks.words import spoken_text, whole_texts
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from tuiwb.data.checks.hashes import I64

BATCH = 2_000
_LABELS = {True: 0x9FB21C651E98DF25, False: 0x2127599BF4325C37}


class Rows(Protocol):
    """A dataset as far as it is needed here."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...


class Duplicates:
    """Remembers every row: a digest of its text for exact copies, a sketch for near ones.

    Takes the rows in order, in batches, and keeps no text. With `row`, which opens a row by its
    index, near duplicates also say which words differ. Without `fast` the compiled kernels are
    not loaded; what is found is the same.
    """

    def __init__(self, row: Callable[[int], Row] | None = None, *, fast: bool = True) -> None:
        self._row = row
        self._kernels = load_kernels(fast)
        self._near = NearPairs(self._kernels)
        self._first: dict[int, int] = {}
        self._copies: list[tuple[int, int]] = []
        self._torn: list[tuple[int, int]] = []
        self._places: list[I64] = []
        self._files: dict[str, int] = {}
        self._pairs: Pairs | None = None

    def add(self, rows: Sequence[Row]) -> list[Finding]:
        """Remember the rows; a finding for each that says exactly what an earlier one says."""
        import numpy as np

        words = self._kernels.tokenise(whole_texts(rows))
        speaks = (np.diff(words.bounds) > 0).tolist()
        findings: list[Finding] = []
        fresh: list[int] = []
        first = self._first
        for i, (row, digest) in enumerate(zip(rows, words.digests.tolist(), strict=True)):
            if row.shape == "broken":
                continue
            index = row.index
            of = first.setdefault(digest, index)
            if of == index and speaks[i]:
                fresh.append(i)
            if row.label is not None:
                same = first.setdefault(digest ^ _LABELS[bool(row.label)], index)
                if same == index != of:
                    # The same answer marked good and bad is the preference check's finding.
                    self._torn.append((index, of))
                of = same
            if of != index:
                self._copies.append((index, of))
                sentence = f"says exactly what row {of} says"
                findings.append(found(row, "exact_duplicate", sentence, of=of, score=1.0))
        if fresh:
            self._near.add(words, np.array(fresh, np.int64))
            self._places.append(self._places_of([rows[i] for i in fresh]))
        return findings

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
                bare, "near_duplicate", sentence, of=of, score=round(score, 4), text=text
            )  # fmt: skip

    def edges(self) -> list[tuple[int, int, float]]:
        """(row, earlier row, similarity) of all pairs that were proven; after end().

        An exact copy has one edge, to the first of its kind.
        """
        rows, of, score = (part.tolist() for part in self._near_rows())
        return sorted([*((row, of, 1.0) for row, of in self._copies),
                       *zip(rows, of, score, strict=True)])  # fmt: skip

    def clusters(self) -> list[list[int]]:
        """Rows joined by exact or near copies, each cluster sorted; after end().

        Families of boilerplate can chain: keep a cluster together in a split, but do not delete
        by it. The same text with two labels is joined too.
        """
        rows, of, _ = (part.tolist() for part in self._near_rows())
        return clusters(chain(self._copies, self._torn, zip(rows, of, strict=True)))

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
        places[:, 2] = [files.setdefault(row.file, len(files)) for row in rows]
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
