"""Texts as numbers: a vocabulary of words shared by all rows, and n-grams of their ids."""

import re
from typing import TYPE_CHECKING

from tuiwb.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+(?:-\w+)*")
SPOKEN = frozenset(("user", "assistant", ""))


class Vocabulary:
    """Numbers words in the order they are first seen."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def number(self, text: str) -> "NDArray[np.uint32]":
        """The ids of a text's lower-case words, codes with hyphens kept whole."""
        import numpy as np

        ids = self._ids
        words = _WORD.findall(text.lower())
        return np.fromiter((ids.setdefault(w, len(ids)) for w in words), np.uint32, len(words))


def turns_of(row: Row, roles: frozenset[str] = SPOKEN) -> list[str]:
    """The texts of those roles; a system prompt repeats by design and counts for nothing."""
    return [text for _field, role, text in row.fields() if role in roles]


def ngrams(ids: "NDArray[np.uint32]", n: int) -> "NDArray[np.uint64]":
    """Hashes of all runs of `n` ids; a shorter text is one run, an empty one none."""
    import numpy as np

    if len(ids) == 0:
        return np.empty(0, np.uint64)
    if len(ids) < n:
        ids, n = np.append(ids, np.zeros(n - len(ids), np.uint32)), n
    wide = ids.astype(np.uint64)
    size = len(ids) - n + 1
    hashed = np.full(size, 0x9E3779B97F4A7C15, np.uint64)
    for i in range(n):
        hashed = (hashed ^ wide[i : i + size]) * np.uint64(0xBF58476D1CE4E5B9)
        hashed ^= hashed >> np.uint64(29)
    return hashed
