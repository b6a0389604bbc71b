"""Pairs of documents with nearly the same words.

Candidates come from an exact set-similarity join where that is affordable (prefix filter: Bayardo,
Ma and Srikant, "Scaling up all pairs similarity search", 2007), else from MinHash with banding
(Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", 3.4) over runs of two
words. Every candidate is verified on its word set.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuiwb.data.checks.words import ngrams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JACCARD = 0.75
SHORT = 8
BANDS, ROWS = 32, 4
AFFORDABLE = 3_000_000
NEIGHBOURS = 16
CHUNK = 400_000


def similar_rows(
    documents: "Sequence[NDArray[np.uint32]]", vocabulary: int
) -> list[tuple[int, int, float]]:
    """(document, earlier document most like it, word-set Jaccard), for those at JACCARD or more.

    Documents of fewer than SHORT different words must have the very same words.
    """
    import numpy as np

    if len(documents) < 2:
        return []
    sets = [np.unique(words) for words in documents]
    pairs = _joined(sets, vocabulary)
    if pairs is None:
        pairs = _banded(documents)
    best: dict[int, tuple[float, int]] = {}
    as_sets: dict[int, frozenset[int]] = {}
    for earlier, later in pairs.tolist():
        a = as_sets.get(earlier)
        if a is None:
            a = as_sets[earlier] = frozenset(sets[earlier].tolist())
        b = as_sets.get(later)
        if b is None:
            b = as_sets[later] = frozenset(sets[later].tolist())
        shared = len(a & b)
        score = shared / (len(a) + len(b) - shared)
        needed = JACCARD if min(len(a), len(b)) >= SHORT else 1.0
        if score >= needed and (score, -earlier) > best.get(later, (0.0, 0)):
            best[later] = (score, -earlier)
    return [(later, -negative, score) for later, (score, negative) in sorted(best.items())]


def _joined(sets: "list[NDArray[np.uint32]]", vocabulary: int) -> "NDArray[np.int64] | None":
    """Every pair that can reach JACCARD; None when there are too many to look at."""
    import numpy as np

    sizes = np.array([len(s) for s in sets])
    frequency = np.bincount(np.concatenate(sets), minlength=vocabulary)
    rarity = np.argsort(np.argsort(frequency, kind="stable"), kind="stable")
    words, owners = [], []
    for i, ids in enumerate(sets):
        prefix = len(ids) - int(np.ceil(JACCARD * len(ids))) + 1
        ranks = rarity[ids]
        taken = np.partition(ranks, prefix - 1)[:prefix] if prefix < len(ids) else ranks
        words.append(taken)
        owners.append(np.full(len(taken), i))
    word, owner = np.concatenate(words), np.concatenate(owners)
    order = np.lexsort((owner, word))
    word, owner = word[order], owner[order]
    bounds = np.flatnonzero(np.diff(word, prepend=-1))
    counts = np.diff(np.append(bounds, len(word)))
    if (counts * (counts - 1) // 2).sum() > AFFORDABLE:
        return None
    found = []
    for start, count in zip(bounds.tolist(), counts.tolist(), strict=True):
        if count < 2:
            continue
        group = owner[start : start + count]
        a, b = np.triu_indices(count, 1)
        a, b = group[a], group[b]
        near = np.minimum(sizes[a], sizes[b]) >= JACCARD * np.maximum(sizes[a], sizes[b])
        found.append(np.column_stack((a[near], b[near])))
    return _unique(found)


def _banded(documents: "Sequence[NDArray[np.uint32]]") -> "NDArray[np.int64]":
    """Pairs that share a band of MinHash values of their two-word runs."""
    import numpy as np

    sketches = _sketch(documents)
    found = []
    for band in range(BANDS):
        values = sketches[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        key = np.zeros(len(documents), np.uint64)
        for column in values.T:
            key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(31)
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        firsts = np.maximum.accumulate(
            np.where(np.append(True, ordered[1:] != ordered[:-1]), np.arange(len(order)), 0)
        )
        places = np.arange(len(order))
        follows = places[firsts != places]
        found.append(np.column_stack((order[firsts[follows]], order[follows])))
        for back in range(1, NEIGHBOURS + 1):
            again = follows[firsts[follows] <= follows - back]
            if len(again) == 0:
                break
            found.append(np.column_stack((order[again - back], order[again])))
    return _unique(found)


def _sketch(documents: "Sequence[NDArray[np.uint32]]") -> "NDArray[np.uint32]":
    """MinHash values, (documents, BANDS * ROWS), seeded and so the same in every run."""
    import numpy as np

    random = np.random.default_rng(20260101)
    masks = random.integers(0, 1 << 32, BANDS * ROWS, dtype=np.uint32)
    factors = random.integers(0, 1 << 31, BANDS * ROWS, dtype=np.uint32) * 2 + 1
    sketches = np.empty((len(documents), BANDS * ROWS), np.uint32)
    first = 0
    while first < len(documents):
        shingles, starts, size, last = [], [], 0, first
        while last < len(documents) and (size < CHUNK or last == first):
            hashed = (ngrams(documents[last], 2) >> np.uint64(32)).astype(np.uint32)
            shingles.append(hashed)
            starts.append(size)
            size += len(hashed)
            last += 1
        flat = np.concatenate(shingles)
        for i, (mask, factor) in enumerate(zip(masks, factors, strict=True)):
            sketches[first:last, i] = np.minimum.reduceat((flat ^ mask) * factor, starts)
        first = last
    return sketches


def _unique(found: "list[NDArray[np.int64]]") -> "NDArray[np.int64]":
    import numpy as np

    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    low, high = np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])
    keys = np.unique(low.astype(np.int64) << 32 | high.astype(np.int64))
    return np.column_stack((keys >> 32, keys & 0xFFFFFFFF))
