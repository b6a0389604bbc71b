"""Texts to words and digests, compiled by numba; `kernels_numpy.tokenise` gives the same.

Hashes of words are polynomials in the code points, finished by the mixer of MurmurHash3 (Appleby
2011, fmix64).
"""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from tuiwb.data.checks.hashes import I64, MIX_1, MIX_2, ORDINAL, POLYNOMIAL, U32, U64, WHOSE, Words
from tuiwb.data.checks.words import LETTER, PAIRED, SIGN, SPACE, Texts, kinds

F = TypeVar("F", bound=Callable[..., object])

_P, _O, _W = np.uint64(POLYNOMIAL), np.uint64(ORDINAL), np.uint64(WHOSE)
_M1, _M2 = np.uint64(MIX_1), np.uint64(MIX_2)
_0, _1, _32, _33 = (np.uint64(n) for n in (0, 1, 32, 33))
_DASH = np.uint64(ord("-") + 1)


def compiled(function: F) -> F:
    """`function` in machine code, kept on disk, free of the interpreter's lock."""
    machine_code: F = numba.njit(cache=True, nogil=True)(function)
    return machine_code


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


@compiled
def mixed(value: np.uint64) -> np.uint64:
    """MurmurHash3's finisher: every bit of the value moves every bit of the result."""
    value = np.uint64(value)
    value ^= value >> _33
    value *= _M1
    value ^= value >> _33
    value *= _M2
    return value ^ (value >> _33)


@compiled
def _told(unit: np.uint64, nth: np.uint64) -> np.uint64:
    value = (unit + nth * _O) * _M2
    return value ^ (value >> _32)


@compiled
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
                    unit = mixed(word)
                    if counts:
                        words[size] = np.uint32(unit >> _32)
                        size += 1
                    if gap and nth > _0:
                        nth += _1
                    total += _told(unit, nth)
                    nth += _1
                    if dash:
                        total += _told(mixed(_DASH), nth)
                        nth += _1
                    word = _0
                    dash, gap = False, False
                if kind == SPACE:
                    gap = True
                    before = _0
                    continue
                if gap and nth > _0:
                    nth += _1
                total += _told(mixed(value), nth)
                nth += _1
                gap = False
                if kind != PAIRED:
                    before = _0
                if counts and kind in (SIGN, PAIRED):
                    words[size] = np.uint32(mixed(before * _P + value) >> _32)
                    size += 1
                before = value if kind == PAIRED else _0
            digests[row] += mixed(total + tags[text] * _W + turn * _O)
            turn += _1
        bounds[row + 1] = size
    return words[:size].copy(), bounds, digests
