"""Held-out prompts that stand in the training data."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.words import Vocabulary, ngrams, turns_of
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N = 5
CONTAINED = 0.3
COMMON = 10
_ASKED = frozenset(("user", ""))


class Leakage:
    """Compares training rows with held-out prompts by the five-word runs they share.

    A training row leaks a held-out one when it holds at least CONTAINED of its runs; runs found in
    more than COMMON training rows are boilerplate and count for nothing.
    """

    def __init__(self, held_out: Iterable[Row], vocabulary: Vocabulary, file: str) -> None:
        import numpy as np

        self._vocabulary = vocabulary
        self._file = file
        self._held: list[tuple[Row, NDArray[np.uint64]]] = []
        for row in held_out:
            grams = self._grams(row)
            if len(grams):
                self._held.append((row, grams))
        self._known = np.unique(np.concatenate([g for _, g in self._held] or [np.empty(0, "u8")]))
        self._rows: list[Row] = []
        self._seen: list[NDArray[np.uint64]] = []

    def add(self, row: Row) -> None:
        """Remember which held-out runs a training row holds."""
        import numpy as np

        if row.shape == "broken" or len(self._known) == 0:
            return
        grams = self._grams(row)
        at = np.minimum(np.searchsorted(self._known, grams), len(self._known) - 1)
        shared = grams[self._known[at] == grams]
        if len(shared):
            bare = Row(file=row.file, index=row.index, line=row.line, format="", shape="broken")
            self._rows.append(bare)
            self._seen.append(shared)

    def findings(self) -> Iterator[Finding]:
        """Each leaking training row, with the held-out row it holds most of."""
        import numpy as np

        if not self._seen:
            return
        seen, counts = np.unique(np.concatenate(self._seen), return_counts=True)
        common = set(seen[counts > COMMON].tolist())
        holders: dict[int, list[int]] = {}
        rare: list[int] = []
        for i, (_row, grams) in enumerate(self._held):
            own = [gram for gram in grams.tolist() if gram not in common]
            rare.append(len(own))
            for gram in own:
                holders.setdefault(gram, []).append(i)
        for row, shared in zip(self._rows, self._seen, strict=True):
            hits: dict[int, int] = {}
            for gram in shared.tolist():
                for i in holders.get(gram, ()):
                    hits[i] = hits.get(i, 0) + 1
            best = max(((n / rare[i], -i) for i, n in hits.items()), default=(0.0, 0))
            if best[0] >= CONTAINED:
                held = self._held[-best[1]][0]
                yield found(
                    row,
                    "leakage",
                    f"holds {best[0]:.0%} of held-out row {held.index} ({self._file}:{held.line})",
                    severity="error",
                    of=held.index,
                    of_file=self._file,
                    score=round(best[0], 4),
                )

    def _grams(self, row: Row) -> "NDArray[np.uint64]":
        import numpy as np

        if row.shape == "broken":
            return np.empty(0, np.uint64)
        parts = [ngrams(self._vocabulary.number(text), N) for text in turns_of(row, _ASKED)]
        return np.unique(np.concatenate(parts or [np.empty(0, np.uint64)]))
