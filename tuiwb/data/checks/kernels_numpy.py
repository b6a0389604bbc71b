"""The kernels of the duplicate and leakage checks in numpy: slower, with the same results."""

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

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
from tuiwb.data.checks.words import LETTER, PAIRED, SIGN, SPACE, Texts

_Codes: TypeAlias = NDArray[np.uint32] | NDArray[np.uint8]

_INVERSE = pow(POLYNOMIAL, -1, 1 << 64)
_PAIRS = 20_000
_WINDOW = 1 << 18
# Bytes, or words, that are worked on at once: each takes a hundred bytes of memory meanwhile.
_PIECE = 1 << 20
_WORDS = 1 << 18
_32 = np.uint64(32)


def tokenise(texts: Texts) -> Words:
    """The words that count in each row, and a digest of each row's whole text."""
    starts = np.append(texts.starts, len(texts.buffer))[texts.bounds]
    done = [_tokenise(_part(texts, starts, a, b)) for a, b in _pieces(starts, _PIECE)]
    if len(done) == 1:
        return done[0]
    sizes = [np.diff(words.bounds) for words in done]
    bounds = np.append(0, np.cumsum(np.concatenate([np.empty(0, np.int64), *sizes])))
    words = np.concatenate([np.empty(0, np.uint32), *(words.words for words in done)])
    digests = np.concatenate([np.empty(0, np.uint64), *(words.digests for words in done)])
    return Words(words, bounds.astype(np.int64), digests)


def _pieces(bounds: I64, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive runs of rows that come to `most` at most, or are one row; row i has what lies
    between bounds[i] and bounds[i + 1]."""
    first, rows = 0, len(bounds) - 1
    while first < rows:
        fitting = int(np.searchsorted(bounds, bounds[first] + most, side="right")) - 1
        end = min(rows, max(first + 1, fitting))
        yield first, end
        first = end


def _part(texts: Texts, starts: I64, first: int, end: int) -> Texts:
    """The texts of the rows first to end - 1; row i begins at byte starts[i]."""
    at, until = texts.bounds[first], texts.bounds[end]
    return texts._replace(
        buffer=texts.buffer[starts[first] : starts[end]],
        starts=texts.starts[at:until] - starts[first],
        ends=texts.ends[at:until] - starts[first],
        tags=texts.tags[at:until],
        bounds=texts.bounds[first : end + 1] - at,
    )


def _tokenise(texts: Texts) -> Words:
    codes, starts, _ = _code_points(texts)
    kinds = texts.kinds[codes]
    first, last, is_run = _units(codes, kinds)
    mixed = _mixed(_polynomials(codes, first, last))

    owner = np.searchsorted(starts, first, side="right") - 1
    own_first = np.searchsorted(owner, owner)
    place = np.arange(len(first))
    gap = (kinds[np.maximum(first - 1, 0)] == SPACE) & (place > own_first)
    gaps = np.cumsum(gap)
    nth = place - own_first + gaps - gaps[own_first]
    told = (mixed + nth.astype(np.uint64) * _u64(ORDINAL)) * _u64(MIX_2)
    mass = _sums(told ^ (told >> _32))
    texts_ = np.arange(len(starts))
    total = mass[np.searchsorted(owner, texts_, side="right")]
    total = total - mass[np.searchsorted(owner, texts_)]
    row = np.repeat(np.arange(len(texts.bounds) - 1), np.diff(texts.bounds))
    turn = (texts_ - texts.bounds[row]).astype(np.uint64)
    turns = _sums(_mixed(total + texts.tags * _u64(WHOSE) + turn * _u64(ORDINAL)))
    digests = turns[texts.bounds[1:]] - turns[texts.bounds[:-1]]

    paired = kinds[last] == PAIRED
    follows = np.append(False, paired[:-1] & (np.diff(last) == 1))[: len(paired)] & paired
    mixed[follows] = _mixed(_polynomials(codes, first[follows] - 1, last[follows]))
    counts = (is_run | paired | (kinds[last] == SIGN)) & ((texts.tags[owner] & _u64(1)) == 1)
    words, last = (mixed[counts] >> _32).astype(np.uint32), last[counts]
    until = np.append(starts, len(codes) + 1)[texts.bounds]
    return Words(words, np.searchsorted(last, until).astype(np.int64), digests)


def sketch(words: Words, rows: I64) -> Sketches:
    """Band keys and word sets of those rows, each of which has a word."""
    sizes = words.bounds[rows + 1] - words.bounds[rows]
    counted = np.append(0, np.cumsum(sizes))
    done = [_sketch(words, rows[a:b]) for a, b in _pieces(counted, _WORDS)]
    if len(done) == 1:
        return done[0]
    keys = np.concatenate([np.empty((BANDS, 0), np.uint32), *(one.keys for one in done)], axis=1)
    sets = np.concatenate([np.empty(0, np.uint32), *(one.sets for one in done)])
    before = np.append(0, np.cumsum([len(one.sets) for one in done]))
    ends = [one.ends + start for one, start in zip(done, before, strict=False)]
    return Sketches(keys, sets, np.concatenate([np.empty(0, np.int64), *ends]).astype(np.int64))


def _sketch(words: Words, rows: I64) -> Sketches:
    sizes = words.bounds[rows + 1] - words.bounds[rows]
    bounds = np.append(0, np.cumsum(sizes))
    owner = np.repeat(np.arange(len(rows)), sizes)
    flat = words.words[np.arange(bounds[-1]) - bounds[owner] + words.bounds[rows][owner]]

    after = np.append(flat[1:], 0).astype(np.uint64)
    after[bounds[1:][sizes == 1] - 1] = 0
    shingles = _mixed(((flat.astype(np.uint64) << _32) | after) * _u64(SHINGLE))
    shingles = (shingles >> _32).astype(np.uint32)
    is_last = np.zeros(len(flat), bool)
    is_last[bounds[1:][sizes > 1] - 1] = True
    shingles = shingles[~is_last]
    starts = np.append(0, np.cumsum(np.maximum(sizes - 1, 1)))[:-1]
    keys = np.empty((BANDS, len(rows)), np.uint32)
    for band in range(BANDS if len(rows) else 0):
        key = np.zeros(len(rows), np.uint64)
        for place in range(band * ROWS, (band + 1) * ROWS):
            least = np.minimum.reduceat((shingles ^ MASKS[place]) * FACTORS[place], starts)
            key = (key ^ least) * _u64(SHINGLE)
            key ^= key >> np.uint64(31)
        keys[band] = (key >> _32).astype(np.uint32)

    _, firsts = np.unique((owner.astype(np.uint64) << _32) | flat, return_index=True)
    firsts.sort()
    ends = np.searchsorted(firsts, bounds[1:])
    return Sketches(keys, flat[firsts], ends.astype(np.int64))


def shared(sets: U32, bounds: I64, later: I64, earlier: I64) -> I64:
    """How many words the two sets of each pair share."""
    counts = np.zeros(len(later), np.int64)
    for first in range(0, len(later), _PAIRS):
        both = np.column_stack((later[first : first + _PAIRS], earlier[first : first + _PAIRS]))
        rows = both.ravel()
        sizes = bounds[rows + 1] - bounds[rows]
        ends = np.cumsum(sizes)
        place = np.repeat(np.arange(len(rows)), sizes)
        flat = sets[np.arange(len(place)) - (ends - sizes)[place] + bounds[rows][place]]
        keys = ((place // 2).astype(np.uint64) << _32) | flat
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> _32
        counts[first : first + _PAIRS] = np.bincount(twice.astype(np.int64), minlength=len(both))
    return counts


def grams(words: Words, n: int) -> tuple[U64, I64]:
    """Hashes of all runs of `n` words and their bounds; a shorter row is one run."""
    sizes = np.diff(words.bounds)
    counts = np.where(sizes == 0, 0, np.maximum(sizes - n + 1, 1))
    bounds = np.append(0, np.cumsum(counts)).astype(np.int64)
    row = np.repeat(np.arange(len(sizes)), counts)
    start = np.arange(bounds[-1]) - bounds[row] + words.bounds[row]
    padded = np.append(words.words, np.zeros(n, np.uint32)).astype(np.uint64) + np.uint64(1)
    value = np.zeros(len(start), np.uint64)
    for i in range(n):
        here = np.where(start + i < words.bounds[row + 1], padded[start + i], np.uint64(0))
        value = value * _u64(GRAM) + here
    return _mixed(value), bounds


class Known:
    """A set of hashes that rows are looked up in."""

    def __init__(self, hashes: U64) -> None:
        """`hashes` are sorted and different."""
        self._hashes = hashes

    def find(self, words: Words, n: int) -> tuple[I64, I64]:
        """(row, place among the hashes) of each known run of a row, each once, in text order."""
        rows, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for first, end in _pieces(words.bounds, _WORDS) if len(self._hashes) else ():
            at, until = words.bounds[first], words.bounds[end]
            part = words._replace(
                words=words.words[at:until], bounds=words.bounds[first : end + 1] - at
            )
            row, place = self._find(part, n)
            rows.append(row + first)
            places.append(place)
        return np.concatenate(rows), np.concatenate(places)

    def _find(self, words: Words, n: int) -> tuple[I64, I64]:
        hashed, bounds = grams(words, n)
        at = np.minimum(np.searchsorted(self._hashes, hashed), len(self._hashes) - 1)
        held = np.flatnonzero(self._hashes[at] == hashed)
        row = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))[held]
        place = at[held]
        _, firsts = np.unique(row * len(self._hashes) + place, return_index=True)
        firsts.sort()
        return row[firsts].astype(np.int64), place[firsts].astype(np.int64)


def _polynomials(codes: _Codes, first: I64, last: I64) -> U64:
    """The polynomial of each unit, of a window of the text at a time: 64-bit numbers take room."""
    values = np.empty(len(first), np.uint64)
    done = 0
    while done < len(first):
        start = first[done]
        end = max(done + 1, int(np.searchsorted(last, start + _WINDOW)))
        straight, inverse = _powers(max(_WINDOW, int(last[end - 1] - start) + 1))
        window = codes[start : last[end - 1] + 1].astype(np.uint64) + np.uint64(1)
        sums = _sums(window * inverse[: len(window)])
        until = last[done:end] - start
        values[done:end] = (sums[until + 1] - sums[first[done:end] - start]) * straight[until]
        done = end
    return values


@lru_cache(maxsize=1)
def _powers(size: int) -> tuple[U64, U64]:
    """Powers of the polynomial's base and of its inverse modulo 2^64."""
    both = []
    for base in (POLYNOMIAL, _INVERSE):
        powers = np.full(size, base, np.uint64)
        powers[:1] = 1
        both.append(np.cumprod(powers, dtype=np.uint64))
    return both[0], both[1]


def _u64(number: int) -> np.uint64:
    return np.uint64(number)


def _sums(values: U64) -> U64:
    """Sums before each place, modulo 2^64; one more than there are values."""
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, dtype=np.uint64, out=sums[1:])
    return sums


def _mixed(values: U64) -> U64:
    values = values ^ (values >> np.uint64(33))
    values = values * _u64(MIX_1)
    values ^= values >> np.uint64(33)
    values *= _u64(MIX_2)
    values ^= values >> np.uint64(33)
    return values


def _code_points(texts: Texts) -> tuple[_Codes, I64, I64]:
    """The buffer's code points, ASCII lower-case, and where the texts lie among them."""
    data = np.frombuffer(texts.buffer, np.uint8)
    codes: _Codes
    if texts.buffer.isascii():
        codes, starts, ends = data.copy(), texts.starts, texts.ends
    else:
        text = texts.buffer.decode("utf-8", "surrogatepass")
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).copy()
        before = np.append(0, np.cumsum((data & 0xC0) != 0x80)).astype(np.int64)
        starts, ends = before[texts.starts], before[texts.ends]
    codes[(codes >= 65) & (codes <= 90)] += codes.dtype.type(32)
    return codes, starts, ends


def _units(codes: _Codes, kinds: NDArray[np.uint8]) -> tuple[I64, I64, NDArray[np.bool_]]:
    """First and last code point of each word or other visible character, and which are words.

    Signs and paired characters are among the others.
    """
    letters = kinds == LETTER
    inside = letters.copy()
    inside[1:-1] |= (codes[1:-1] == ord("-")) & letters[:-2] & letters[2:]
    first, last = _runs(inside)
    others = np.flatnonzero(~inside & (kinds != SPACE))
    firsts, lasts = np.concatenate((first, others)), np.concatenate((last, others))
    order = np.argsort(firsts, kind="stable")
    return firsts[order], lasts[order], order < len(first)


def _runs(mask: NDArray[np.bool_]) -> tuple[I64, I64]:
    """First and last place of each run of True."""
    steps = np.diff(mask.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
