"""The hot loops of the duplicate and leakage checks, compiled by numba.

Imported only where numba is installed; `kernels_numpy` has the same functions with the same
results, bit for bit. Hashes of words are polynomials in the code points, finished by the mixer of
MurmurHash3 (Appleby 2011, fmix64).
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from tuiwb.data.checks.hashes import (
    BANDS,
    FACTORS,
    GRAM,
    I64,
    MASKS,
    MIX_1,
    MIX_2,
    ORDINAL,
    POLYNOMIAL,
    ROWS,
    SHINGLE,
    U32,
    U64,
    WHOSE,
    Sketches,
    Words,
)
from tuiwb.data.checks.words import LETTER, PAIRED, SIGN, SPACE, Texts, kinds

F = TypeVar("F", bound=Callable[..., object])

_P, _O, _W = np.uint64(POLYNOMIAL), np.uint64(ORDINAL), np.uint64(WHOSE)
_M1, _M2, _S, _G = np.uint64(MIX_1), np.uint64(MIX_2), np.uint64(SHINGLE), np.uint64(GRAM)
_0, _1, _6, _31, _32, _33, _63 = (np.uint64(n) for n in (0, 1, 6, 31, 32, 33, 63))
_DASH = np.uint64(ord("-") + 1)


def _fast(function: F) -> F:
    compiled: F = numba.njit(cache=True, nogil=True)(function)
    return compiled


def tokenise(texts: Texts) -> Words:
    """The words that count in each row, and a digest of each row's whole text."""
    buffer = np.frombuffer(texts.buffer, np.uint8)
    words, bounds, digests = _tokenise(
        buffer, texts.starts, texts.ends, texts.tags, texts.bounds, texts.kinds, _letters()
    )
    return Words(words, bounds, digests)


@cache
def _letters() -> NDArray[np.uint8]:
    """Of each byte that is an ASCII letter of a word its lower case plus one, else 0."""
    table = np.zeros(256, np.uint8)
    for code in np.flatnonzero(kinds(True) == LETTER).tolist():
        table[code] = ord(chr(code).lower()) + 1
    return table


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


@_fast
def _mixed(value: np.uint64) -> np.uint64:
    value = np.uint64(value)
    value ^= value >> _33
    value *= _M1
    value ^= value >> _33
    value *= _M2
    return value ^ (value >> _33)


@_fast
def _told(unit: np.uint64, nth: np.uint64) -> np.uint64:
    value = (unit + nth * _O) * _M2
    return value ^ (value >> _32)


@_fast
def _tokenise(
    buffer: NDArray[np.uint8],
    starts: I64,
    ends: I64,
    tags: U64,
    rows: I64,
    kinds: NDArray[np.uint8],
    letters: NDArray[np.uint8],
) -> tuple[U32, I64, U64]:
    words = np.empty(len(buffer) // 2 + 2, np.uint32)
    bounds = np.zeros(len(rows), np.int64)
    digests = np.zeros(len(rows) - 1, np.uint64)
    size = 0
    for row in range(len(rows) - 1):
        turn = _0
        for text in range(rows[row], rows[row + 1]):
            counts = (tags[text] & _1) == _1
            word, total, nth, before = _0, _0, _0, _0
            dash, gap = False, False
            i = starts[text]
            # The newline behind each text ends its last word.
            while i <= ends[text]:
                letter = letters[buffer[i]]
                if letter != 0:
                    if dash:
                        word = word * _P + _DASH
                        dash = False
                    while letter != 0:
                        word = word * _P + np.uint64(letter)
                        i += 1
                        letter = letters[buffer[i]]
                    before = _0
                code = np.int64(buffer[i])
                if code < 0x80:
                    i += 1
                else:
                    follow = 1 if code < 0xE0 else 2 if code < 0xF0 else 3
                    code &= 0x3F >> follow
                    for at in range(i + 1, i + follow + 1):
                        code = (code << 6) | (np.int64(buffer[at]) & 0x3F)
                    i += follow + 1
                kind = kinds[code]
                value = np.uint64(code) + _1
                if kind == LETTER:
                    if dash:
                        word = word * _P + _DASH
                        dash = False
                    word = word * _P + value
                    before = _0
                    continue
                if word != _0:
                    if code == 45 and not dash:
                        dash = True
                        continue
                    mixed = _mixed(word)
                    if counts:
                        words[size] = np.uint32(mixed >> _32)
                        size += 1
                    if gap and nth > _0:
                        nth += _1
                    total += _told(mixed, nth)
                    nth += _1
                    if dash:
                        total += _told(_mixed(_DASH), nth)
                        nth += _1
                    word = _0
                    dash, gap = False, False
                if kind == SPACE:
                    gap = True
                    before = _0
                    continue
                if gap and nth > _0:
                    nth += _1
                total += _told(_mixed(value), nth)
                nth += _1
                gap = False
                if kind != PAIRED:
                    before = _0
                if counts and kind in (SIGN, PAIRED):
                    words[size] = np.uint32(_mixed(before * _P + value) >> _32)
                    size += 1
                before = value if kind == PAIRED else _0
            digests[row] += _mixed(total + tags[text] * _W + turn * _O)
            turn += _1
        bounds[row + 1] = size
    return words[:size].copy(), bounds, digests


@_fast
def _shingle(a: np.uint32, b: np.uint32) -> np.uint32:
    wide = ((np.uint64(a) << _32) | np.uint64(b)) * _S
    return np.uint32(_mixed(wide) >> _32)


@_fast
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


@_fast
def _has(table: U32, stamps: I64, stamp: int, word: np.uint32) -> bool:
    mask = len(table) - 1
    at = np.int64(word) & mask
    while stamps[at] == stamp:
        if table[at] == word:
            return True
        at = (at + 1) & mask
    return False


@_fast
def _room(largest: int) -> int:
    room = 16
    while room < 2 * largest + 2:
        room *= 2
    return room


@_fast
def _folded(key: np.uint64, least: np.uint32) -> np.uint64:
    key = (key ^ np.uint64(least)) * _S
    return key ^ (key >> _31)


@_fast
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


@_fast
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


@_fast
def _gram(words: U32, first: int, end: int, n: int) -> np.uint64:
    value = _0
    for at in range(first, first + n):
        value = value * _G + (np.uint64(words[at]) + _1 if at < end else _0)
    return value


@_fast
def _next(gram: np.uint64, gone: np.uint32, came: np.uint32, top: np.uint64) -> np.uint64:
    """The run one word further on; `top` is the weight of the word that leaves it."""
    return (gram - (np.uint64(gone) + _1) * top) * _G + np.uint64(came) + _1


@_fast
def _top(n: int) -> np.uint64:
    top = _1
    for _ in range(n - 1):
        top *= _G
    return top


@_fast
def _grams(words: U32, bounds: I64, n: int) -> tuple[U64, I64]:
    hashed = np.empty(len(words), np.uint64)
    ends = np.zeros(len(bounds), np.int64)
    size, top = 0, _top(n)
    for row in range(len(bounds) - 1):
        first, end = bounds[row], bounds[row + 1]
        if first < end:
            gram = _gram(words, first, end, n)
            hashed[size] = _mixed(gram)
            size += 1
            for at in range(first + n, end):
                gram = _next(gram, words[at - n], words[at], top)
                hashed[size] = _mixed(gram)
                size += 1
        ends[row + 1] = size
    return hashed[:size].copy(), ends


@_fast
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


@_fast
def _slots(hashes: U64) -> NDArray[np.int32]:
    slots = np.full(_room(len(hashes)), -1, np.int32)
    mask = np.uint64(len(slots) - 1)
    for i in range(len(hashes)):
        at = hashes[i] & mask
        while slots[at] >= 0:
            at = (at + _1) & mask
        slots[at] = i
    return slots


@_fast
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
            gram = _mixed(run)
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
