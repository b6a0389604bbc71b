"""What the compiled kernels and their numpy twins share: constants, and what they hand out."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

U32: TypeAlias = NDArray[np.uint32]
U64: TypeAlias = NDArray[np.uint64]
I64: TypeAlias = NDArray[np.int64]

# Odd numbers without pattern; the first two pairs are the golden ratio and MurmurHash3's fmix64.
POLYNOMIAL = 0x9E3779B97F4A7C15
ORDINAL = 0xD6E8FEB86659FD93
MIX_1, MIX_2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
WHOSE = 0xA0761D6478BD642F
SHINGLE = 0xE7037ED1A0B428DB
GRAM = 0x8EBC6AF09C88C6E3

# 32 bands of 4: two rows whose two-word runs have Jaccard 0.5 meet with 1 - (1 - 0.5^4)^32 = 0.87,
# at 0.6 with 0.99 (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", 3.4).
BANDS, ROWS = 32, 4

_random = np.random.Generator(np.random.PCG64(20260101))
MASKS: U32 = _random.integers(0, 1 << 32, BANDS * ROWS, dtype=np.uint32)
FACTORS: U32 = _random.integers(0, 1 << 31, BANDS * ROWS, dtype=np.uint32) * 2 + 1


class Words(NamedTuple):
    """The words of a batch: row i has words[bounds[i]:bounds[i + 1]] and the digest digests[i].

    Equal digests mean equal texts, case and white space aside.
    """

    words: U32
    bounds: I64
    digests: U64


class Sketches(NamedTuple):
    """Of each chosen row its band keys, (BANDS, rows), and its different words, sets[..ends[i]]."""

    keys: U32
    sets: U32
    ends: I64
