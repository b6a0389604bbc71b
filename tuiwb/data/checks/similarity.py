"""Rows with nearly the same words: sketches in, batch by batch; verified pairs out.

Candidates share a band of MinHash values of their two-word runs (Broder 1997; Leskovec, Rajaraman
and Ullman, "Mining of Massive Datasets", 3.4). Every candidate is verified on its word set. Only
4-byte hashes are kept, on disk where they grow.
"""

import importlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from tuiwb.data.checks.spill import Spill

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tuiwb.data.checks.hashes import I64, U32, U64, Sketches, Words
    from tuiwb.data.checks.words import Texts

JACCARD = 0.75
SHORT = 8

# Rows, or bytes of their files, from which loading the compiled kernels (0.7 s) pays.
FAST_FROM = 5_000
FAST_BYTES = 8 << 20

# In a band that more than CROWD rows share a row meets the first and the BEHIND before it, and
# none once ENOUGH pairs of it are proven: work stays linear in families of boilerplate.
CROWD, BEHIND, ENOUGH = 16, 4, 8
PENDING = 500_000

# Batches that may wait for their sketches.
AHEAD = 2


class Kernels(Protocol):
    """What `kernels` (numba) and `kernels_numpy` both are."""

    def tokenise(self, texts: "Texts") -> "Words":
        """The words that count in each row, and a digest of each row's whole text."""

    def sketch(self, words: "Words", rows: "I64") -> "Sketches":
        """Band keys and word sets of those rows, each of which has a word."""

    def shared(
        self,
        sets: "U32",
        bounds: "I64",
        later: "I64",
        earlier: "I64",
    ) -> "I64":
        """How many words the two sets of each pair share; pairs are sorted by `later`."""

    def grams(self, words: "Words", n: int) -> "tuple[U64, I64]":
        """Hashes of all runs of `n` words and their bounds; a shorter row is one run."""

    def Known(self, hashes: "U64") -> "Known":
        """A set of hashes, sorted and different, that rows are looked up in."""


class Known(Protocol):
    """A set of hashes that rows are looked up in."""

    def find(self, words: "Words", n: int) -> "tuple[I64, I64]":
        """(row, place among the hashes) of each known run of a row, each once, in text order."""


class Pairs(NamedTuple):
    """Pairs of documents, by the later one, then the earlier; `score` is the Jaccard similarity."""

    later: "I64"
    earlier: "I64"
    score: "NDArray[np.float64]"

    def nearest(self) -> "Pairs":
        """Of each later document the pair of the highest score, the earliest where two are."""
        import numpy as np

        order = np.lexsort((self.earlier, -self.score, self.later))
        first = np.append(True, np.diff(self.later[order]) != 0)[: len(order)]
        best = order[first]
        return Pairs(self.later[best], self.earlier[best], self.score[best])


def is_large(rows: int, size: int) -> bool:
    """Whether a dataset of so many rows and bytes is worth the compiled kernels."""
    return rows >= FAST_FROM or size >= FAST_BYTES


def load_kernels(fast: bool = True) -> Kernels:
    """The compiled kernels where numba is installed and `fast`, else those of numpy."""
    if fast:
        try:
            return cast(Kernels, importlib.import_module("tuiwb.data.checks.kernels"))
        except (ImportError, RuntimeError):
            # Not installed, or numba finds no folder to keep what it compiled in.
            pass
    return cast(Kernels, importlib.import_module("tuiwb.data.checks.kernels_numpy"))


class NearPairs:
    """Remembers the sketches of documents, numbered as they come, and pairs them in the end.

    Sketches are made in a thread beside the caller's, who meanwhile reads the next batch.
    """

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._thread = ThreadPoolExecutor(1, "sketch")
        self._waiting: deque[Future[None]] = deque()
        self._keys, self._sets = Spill(), Spill()
        self._batches: list[int] = []
        self._ends: list[I64] = []

    def add(self, words: "Words", rows: "I64") -> None:
        """Remember those rows of a batch; each has a word."""
        while len(self._waiting) >= AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._sketch, words, rows))

    def wait(self) -> None:
        """Until all that were added are sketched."""
        while self._waiting:
            self._waiting.popleft().result()

    def _sketch(self, words: "Words", rows: "I64") -> None:
        sketches = self._kernels.sketch(words, rows)
        self._keys.append(sketches.keys.ravel())
        self._ends.append(sketches.ends + len(self._sets))
        self._sets.append(sketches.sets)
        self._batches.append(len(sketches.ends))

    def pairs(self) -> Pairs:
        """Pairs whose word sets have Jaccard JACCARD or more.

        Documents of fewer than SHORT different words must have the very same words.
        """
        import numpy as np

        from tuiwb.data.checks.hashes import BANDS

        self.wait()
        self._thread.shutdown()
        total = sum(self._batches)
        bounds = np.concatenate([np.zeros(1, np.int64), *self._ends])
        sets = self._sets.array()
        proven = np.zeros(total, np.int64)
        known: list[tuple[U64, I64]] = []
        pending: list[U64] = []
        for band in range(BANDS):
            pending.append(_meetings(self._column(band), proven))
            if sum(map(len, pending)) > PENDING or band == BANDS - 1:
                found = self._verified(np.concatenate(pending), sets, bounds)
                pending.clear()
                known.append(found)
                proven += np.bincount((found[0] >> np.uint64(32)).astype(np.int64),
                                      minlength=total)  # fmt: skip
        packed, firsts = np.unique(np.concatenate([p for p, _ in known]), return_index=True)
        both = np.concatenate([shared for _, shared in known])[firsts]
        later, earlier = _unpacked(packed)
        sizes = np.diff(bounds)
        return Pairs(later, earlier, both / np.maximum(sizes[later] + sizes[earlier] - both, 1))

    def _column(self, band: int) -> "U32":
        """The keys of one band of all documents."""
        import numpy as np

        from tuiwb.data.checks.hashes import BANDS

        keys, parts, start = self._keys.array(), [np.empty(0, np.uint32)], 0
        for size in self._batches:
            parts.append(keys[start + band * size : start + (band + 1) * size])
            start += BANDS * size
        return np.concatenate(parts)

    def _verified(
        self,
        packed: "U64",
        sets: "U32",
        bounds: "I64",
    ) -> "tuple[U64, I64]":
        """Those of the candidates that are alike, with the number of words they share."""
        import numpy as np

        packed = np.unique(packed)
        later, earlier = _unpacked(packed)
        sizes = np.diff(bounds)
        less, more = (
            np.minimum(sizes[later], sizes[earlier]),
            np.maximum(sizes[later], sizes[earlier]),
        )
        likely = less >= np.where(less < SHORT, 1.0, JACCARD) * more
        packed, later, earlier = packed[likely], later[likely], earlier[likely]
        both = self._kernels.shared(sets, bounds, later, earlier)
        needed = np.where(less[likely] < SHORT, 1.0, JACCARD)
        alike = both >= needed * (sizes[later] + sizes[earlier] - both)
        return packed[alike], both[alike]


def clusters(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Rows joined by pairs, each cluster sorted, the clusters by their first row."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while (above := parent.setdefault(row, row)) != row:
            parent[row] = parent[above]
            row = above
        return row

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for row in sorted(parent):
        members.setdefault(root(row), []).append(row)
    return list(members.values())


def _meetings(column: "U32", proven: "I64") -> "U64":
    """Candidates of one band, later << 32 | earlier."""
    import numpy as np

    packed = np.left_shift(column, np.uint64(32), dtype=np.uint64)
    packed |= np.arange(len(column), dtype=np.uint64)
    packed.sort()
    # Two in a row with the same key differ below the 32nd bit only.
    twins = np.flatnonzero((packed[1:] ^ packed[:-1]) < np.uint64(1 << 32))
    met = np.zeros(len(packed), bool)
    met[twins] = met[twins + 1] = True
    packed = packed[met]
    key, document = _unpacked(packed)
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
    sizes = np.diff(np.append(starts, len(key)))
    first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    place = np.arange(len(key)) - first
    crowded = size > CROWD
    open_ = ~crowded | (proven[document] < ENOUGH)
    found = []
    for back in range(1, CROWD):
        later = np.flatnonzero((place >= back) & open_ & (~crowded | (back <= BEHIND)))
        if len(later) == 0:
            break
        found.append(_packed(document[later], document[later - back]))
    later = np.flatnonzero(crowded & open_ & (place > BEHIND))
    found.append(_packed(document[later], document[first[later]]))
    return np.concatenate(found)


def _packed(later: "I64", earlier: "I64") -> "U64":
    import numpy as np

    return (later.astype(np.uint64) << np.uint64(32)) | earlier.astype(np.uint64)


def _unpacked(packed: "U64") -> "tuple[I64, I64]":
    import numpy as np

    low = np.uint64(0xFFFFFFFF)
    return (packed >> np.uint64(32)).astype(np.int64), (packed & low).astype(np.int64)
