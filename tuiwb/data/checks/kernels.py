"""The hot loops of the duplicate and leakage checks, compiled by numba.

Imported only where numba is installed; `kernels_numpy` has the same functions with the same
results, bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

from tuiwb.data.checks.hashes import (
    BANDS,
    FACTORS,
    GRAM,
    I64,
    MASKS,
    ROWS,
    SHINGLE,
    U32,
    U64,
    Sketches,
    Words,
)
from tuiwb.data.checks.kernels_words import compiled, mixed, tokenise

__all__ = ["Known", "grams", "shared", "sketch", "tokenise"]

_S, _G = np.uint64(SHINGLE), np.uint64(GRAM)
_0, _1, _6, _31, _32, _63 = (np.uint64(n) for n in (0, 1, 6, 31, 32, 63))


def sketch(words: Words, rows: I64) -> Sketches:
    """Band keys and word sets of those rows, each of which has a word."""
    return Sketches(*_sketch(words.words, words.bounds, rows, MASKS, FACTORS))


def shared(sets: U32, bounds: I64, later: I64, earlier: I64) -> I64:
    """How many words the two sets of each pair share; pairs are sorted by `later`."""
    return _shared(sets, bounds, later, earlier)


def grams(words: Words, n: int) -> tuple[U64, I64]:
    """Hashes of all runs of `n` words and their bounds; a shorter row is one run."""
    return _grams(words.words, words.bounds, n)


class Known:
    """A set of hashes that rows are looked up in."""

    def __init__(self, hashes: U64) -> None:
        """`hashes` are sorted and different."""
        self._hashes = hashes
        self._marks, self._slots = _marks(hashes), _slots(hashes)
        self._last = np.full(len(hashes), -1, np.int64)
        self._done = 0

    def find(self, words: Words, n: int) -> tuple[I64, I64]:
        """(row, place among the hashes) of each known run of a row, each once, in text order."""
        rows, places = _find(
            words.words,
            words.bounds,
            n,
            self._hashes,
            self._marks,
            self._slots,
            self._last,
            self._done,
        )
        self._done += len(words.bounds) - 1
        return rows, places


@compiled
def _shingle(a: np.uint32, b: np.uint32) -> np.uint32:
    wide = ((np.uint64(a) << _32) | np.uint64(b)) * _S
    return np.uint32(mixed(wide) >> _32)


@compiled
def _put(table: U32, stamps: I64, stamp: int, word: np.uint32) -> bool:
    """Remember a word under this stamp; whether it is new."""
    mask = len(table) - 1
    at = np.int64(word) & mask
    while stamps[at] == stamp:
        if table[at] == word:
            return False
        at = (at + 1) & mask
    table[at] = word
    stamps[at] = stamp
    return True


@compiled
def _has(table: U32, stamps: I64, stamp: int, word: np.uint32) -> bool:
    mask = len(table) - 1
    at = np.int64(word) & mask
    while stamps[at] == stamp:
        if table[at] == word:
            return True
        at = (at + 1) & mask
    return False


@compiled
def _room(largest: int) -> int:
    room = 16
    while room < 2 * largest + 2:
        room *= 2
    return room


@compiled
def _folded(key: np.uint64, least: np.uint32) -> np.uint64:
    key = (key ^ np.uint64(least)) * _S
    return key ^ (key >> _31)


@compiled
def _sketch(words: U32, bounds: I64, rows: I64, masks: U32, factors: U32) -> tuple[U32, U32, I64]:
    longest, total = 1, 0
    for row in rows:
        longest = max(longest, bounds[row + 1] - bounds[row])
        total += bounds[row + 1] - bounds[row]
    room = _room(longest)
    table, stamps = np.empty(room, np.uint32), np.full(room, -1, np.int64)
    shingles = np.empty(longest, np.uint32)
    keys = np.empty((BANDS, len(rows)), np.uint32)
    sets = np.empty(total, np.uint32)
    ends = np.empty(len(rows), np.int64)
    size = 0
    for i in range(len(rows)):
        first, end = bounds[rows[i]], bounds[rows[i] + 1]
        for at in range(first, end):
            if _put(table, stamps, i, words[at]):
                sets[size] = words[at]
                size += 1
        ends[i] = size
        count = max(1, end - first - 1)
        if end - first == 1:
            shingles[0] = _shingle(words[first], np.uint32(0))
        else:
            for at in range(count):
                shingles[at] = _shingle(words[first + at], words[first + at + 1])
        for band in range(BANDS):
            at = band * ROWS
            m0, m1, m2, m3 = masks[at], masks[at + 1], masks[at + 2], masks[at + 3]
            f0, f1, f2, f3 = factors[at], factors[at + 1], factors[at + 2], factors[at + 3]
            a = b = c = d = np.uint32(0xFFFFFFFF)
            # The four rows of a band in one loop: it becomes vector instructions.
            for shingle in shingles[:count]:
                a = min(a, np.uint32((shingle ^ m0) * f0))
                b = min(b, np.uint32((shingle ^ m1) * f1))
                c = min(c, np.uint32((shingle ^ m2) * f2))
                d = min(d, np.uint32((shingle ^ m3) * f3))
            key = _folded(_folded(_folded(_folded(_0, a), b), c), d)
            keys[band, i] = np.uint32(key >> _32)
    return keys, sets[:size].copy(), ends


@compiled
def _shared(sets: U32, bounds: I64, later: I64, earlier: I64) -> I64:
    largest = 1
    for row in later:
        largest = max(largest, bounds[row + 1] - bounds[row])
    room = _room(largest)
    table, stamps = np.empty(room, np.uint32), np.full(room, -1, np.int64)
    counts = np.zeros(len(later), np.int64)
    current = -1
    for i in range(len(later)):
        row = later[i]
        if row != current:
            current = row
            for at in range(bounds[row], bounds[row + 1]):
                _put(table, stamps, row, sets[at])
        for at in range(bounds[earlier[i]], bounds[earlier[i] + 1]):
            counts[i] += _has(table, stamps, row, sets[at])
    return counts


@compiled
def _gram(words: U32, first: int, end: int, n: int) -> np.uint64:
    value = _0
    for at in range(first, first + n):
        value = value * _G + (np.uint64(words[at]) + _1 if at < end else _0)
    return value


@compiled
def _next(gram: np.uint64, gone: np.uint32, came: np.uint32, top: np.uint64) -> np.uint64:
    """The run one word further on; `top` is the weight of the word that leaves it."""
    return (gram - (np.uint64(gone) + _1) * top) * _G + np.uint64(came) + _1


@compiled
def _top(n: int) -> np.uint64:
    top = _1
    for _ in range(n - 1):
        top *= _G
    return top


@compiled
def _grams(words: U32, bounds: I64, n: int) -> tuple[U64, I64]:
    hashed = np.empty(len(words), np.uint64)
    ends = np.zeros(len(bounds), np.int64)
    size, top = 0, _top(n)
    for row in range(len(bounds) - 1):
        first, end = bounds[row], bounds[row + 1]
        if first < end:
            gram = _gram(words, first, end, n)
            hashed[size] = mixed(gram)
            size += 1
            for at in range(first + n, end):
                gram = _next(gram, words[at - n], words[at], top)
                hashed[size] = mixed(gram)
                size += 1
        ends[row + 1] = size
    return hashed[:size].copy(), ends


@compiled
def _marks(hashes: U64) -> U64:
    """A bit for each hash by its high bits, among eight times as many or more: most are 0."""
    bits = 1 << 12
    while bits < 8 * len(hashes):
        bits *= 2
    marks = np.zeros(bits // 64, np.uint64)
    for hashed in hashes:
        at = (hashed >> _32) & np.uint64(bits - 1)
        marks[at >> _6] |= _1 << (at & _63)
    return marks


@compiled
def _slots(hashes: U64) -> NDArray[np.int32]:
    slots = np.full(_room(len(hashes)), -1, np.int32)
    mask = np.uint64(len(slots) - 1)
    for i in range(len(hashes)):
        at = hashes[i] & mask
        while slots[at] >= 0:
            at = (at + _1) & mask
        slots[at] = i
    return slots


@compiled
def _find(
    words: U32,
    bounds: I64,
    n: int,
    hashes: U64,
    marks: U64,
    slots: NDArray[np.int32],
    last: I64,
    done: int,
) -> tuple[I64, I64]:
    rows, places = np.empty(len(words), np.int64), np.empty(len(words), np.int64)
    mask, bits = np.uint64(len(slots) - 1), np.uint64(64 * len(marks) - 1)
    size, top = 0, _top(n)
    for row in range(len(bounds) - 1):
        first, end = bounds[row], bounds[row + 1]
        if first == end:
            continue
        run = _gram(words, first, end, n)
        for until in range(first + n, max(first + n, end) + 1):
            gram = mixed(run)
            if until < end:
                run = _next(run, words[until - n], words[until], top)
            mark = (gram >> _32) & bits
            if (marks[mark >> _6] >> (mark & _63)) & _1 == _0:
                continue
            at = gram & mask
            while slots[at] >= 0:
                place = slots[at]
                if hashes[place] == gram:
                    if last[place] != done + row:
                        last[place] = done + row
                        rows[size] = row
                        places[size] = place
                        size += 1
                    break
                at = (at + _1) & mask
    return rows[:size].copy(), places[:size].copy()
