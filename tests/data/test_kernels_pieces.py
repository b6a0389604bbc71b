"""The numpy kernels work on a bounded number of bytes at once, with the same results."""

import random
from typing import Any

import numpy as np

from tests.data.some_rows import rows_of
from tuiwb.data.checks import kernels_numpy
from tuiwb.data.checks.hashes import I64, U32, U64
from tuiwb.data.checks.kernels_numpy import _pieces
from tuiwb.data.checks.similarity import is_large, load_kernels
from tuiwb.data.checks.words import whole_texts
from tuiwb.data.rows import Row

PLAIN = ["tent", "blue", "A-12", "x_y", "...", "late"]
OTHERS = ["größer", "忽略", "ภาษา", "Ünïcode", "\ud800", "é-é"]


def rows(count: int = 40) -> list[Row]:
    """Rows of 100 KB, some beyond ASCII, some empty, one broken, one far larger."""
    draw = random.Random(0)
    records: list[object] = [None, {"text": ""}]
    for n in range(count):
        words = PLAIN + OTHERS * (n % 3 == 0)
        records.append({"text": " ".join(draw.choices(words, k=0 if n % 7 == 6 else 20_000))})
    records.append({"text": " ".join(draw.choices(PLAIN, k=400_000))})
    records += [{"text": "tent"}, None, {"text": "..."}]
    return rows_of(records)


def assert_same(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert np.array_equal(one, other)


def test_pieces_are_bounded_and_hold_every_row_once() -> None:
    bounds = np.array([0, 0, 5, 5, 9, 30, 31, 31])
    assert list(_pieces(bounds, 10)) == [(0, 4), (4, 5), (5, 7)]
    assert list(_pieces(np.array([0]), 10)) == []
    drawn = np.append(0, np.cumsum(np.random.default_rng(0).integers(0, 50, 1000)))
    pieces = list(_pieces(drawn, 100))
    assert [row for a, b in pieces for row in range(a, b)] == list(range(1000))
    assert all(drawn[b] - drawn[a] <= 100 for a, b in pieces)


def test_rows_in_many_pieces_are_what_they_are_one_by_one_and_compiled() -> None:
    made = rows()
    texts = whole_texts(made)
    starts = np.append(texts.starts, len(texts.buffer))[texts.bounds]
    assert len(list(_pieces(starts, kernels_numpy._PIECE))) > 3
    words = kernels_numpy.tokenise(texts)
    compiled = load_kernels()
    assert_same(words, compiled.tokenise(texts))
    alone = [kernels_numpy.tokenise(whole_texts([row])) for row in made]
    assert np.array_equal(words.words, np.concatenate([one.words for one in alone]))
    assert np.array_equal(words.digests, np.concatenate([one.digests for one in alone]))

    speaking = np.flatnonzero(np.diff(words.bounds))
    assert words.bounds[-1] > 3 * kernels_numpy._WORDS
    sketches = kernels_numpy.sketch(words, speaking)
    assert_same(sketches, compiled.sketch(words, speaking))

    hashes: U64 = np.unique(kernels_numpy.grams(words, 5)[0])[::3]
    found: list[tuple[I64, I64]] = [
        kernels.Known(hashes).find(words, 5) for kernels in (kernels_numpy, compiled)
    ]
    assert len(found[0][0]) > 10_000
    assert_same(*found)


def test_no_rows_are_no_pieces() -> None:
    words = kernels_numpy.tokenise(whole_texts([]))
    none: U32 = words.words
    assert (len(none), words.bounds.tolist(), len(words.digests)) == (0, [0], 0)
    sketches = kernels_numpy.sketch(words, np.empty(0, np.int64))
    assert (sketches.keys.shape[1], len(sketches.sets), len(sketches.ends)) == (0, 0, 0)


def test_a_dataset_is_large_by_its_rows_or_by_its_bytes() -> None:
    assert not is_large(100, 1000)
    assert is_large(5000, 1000)
    assert is_large(100, 100 << 20)
