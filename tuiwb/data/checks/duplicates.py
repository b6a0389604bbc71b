"""Rows that repeat another: exactly, or in nearly the same words."""

import hashlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.similarity import similar_rows
from tuiwb.data.checks.words import Vocabulary, turns_of
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SPACE = re.compile(r"\s+")


class Duplicates:
    """Remembers every row: a digest of its text for exact copies, its words for near ones."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._first: dict[bytes, tuple[int, bool | None]] = {}
        self._rows: list[Row] = []
        self._words: list[NDArray[np.uint32]] = []

    def add(self, row: Row) -> Iterator[Finding]:
        """Remember `row`; a finding when an earlier row says exactly the same."""
        if row.shape == "broken":
            return
        key = _digest(row)
        of, label = self._first.setdefault(key, (row.index, row.label))
        if of != row.index:
            # The same answer marked good and bad is a torn thumb, the preference check's finding.
            if label == row.label:
                sentence = f"says exactly what row {of} says"
                yield found(row, "exact_duplicate", sentence, of=of, score=1.0)
            return
        ids = self._vocabulary.number("\n".join(turns_of(row)))
        if len(ids):
            bare = Row(file=row.file, index=row.index, line=row.line, format="", shape="broken")
            self._rows.append(bare)
            self._words.append(ids)

    def findings(self) -> Iterator[Finding]:
        """Rows whose word set is nearly that of an earlier row (Jaccard 0.75 or more)."""
        for later, earlier, score in similar_rows(self._words, len(self._vocabulary)):
            row, of = self._rows[later], self._rows[earlier].index
            sentence = f"says nearly what row {of} says ({score:.0%} of their words are shared)"
            yield found(row, "near_duplicate", sentence, of=of, score=round(score, 4))


def _digest(row: Row) -> bytes:
    """A digest of everything that is trained on, white space and case aside."""
    digest = hashlib.blake2b(digest_size=16)
    for field, role, text in row.fields():
        words = _SPACE.sub(" ", text).strip().casefold()
        digest.update(f"{field}\0{role}\0{words}\0".encode("utf-8", "surrogatepass"))
    calls = [message.tool_calls for _, message in row.conversation() if message.tool_calls]
    digest.update(repr(calls).encode("utf-8", "surrogatepass"))
    return digest.digest()
