"""Pairs and thumbs that say nothing, or say both."""

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.places import Places
from tuiwb.data.rows import Row, Turns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A point or comma before a digit, a sign, a bracket can change what is said; these can't.
_DRESS = re.compile(r"[\s;:!?\"'’‘“”„…*_#`]+|[.,](?!\d)")
CLOSE = 0.1
LONGER = 1.1


def same_answers(row: Row) -> Iterator[Finding]:
    """Chosen and rejected alike, or alike but for case, white space and punctuation."""
    if row.shape != "preference":
        return
    chosen, rejected = _texts(row.chosen), _texts(row.rejected)
    if chosen == rejected:
        yield found(
            row, "preference", "chosen and rejected are the same: the pair teaches nothing",
            severity="error", kind="same_answers", field="rejected",
        )  # fmt: skip
    elif _nearly(chosen, rejected):
        sentence = "chosen and rejected differ in case, white space and punctuation only"
        yield found(row, "preference", sentence, kind="nearly_same", field="rejected")


class Pairs:
    """Remembers pairs: the same one turned round cancels out. Counts how lengths differ."""

    def __init__(self) -> None:
        self._places = Places()
        self._keys, self._turned = array("q"), array("q")
        self._chosen, self._rejected = array("q"), array("q")

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Look at the pairs of a batch."""
        for row in rows:
            if row.shape != "preference":
                continue
            prompt, chosen, rejected = map(_texts, (row.prompt, row.chosen, row.rejected))
            self._places.add(row, "rejected")
            self._keys.append(hash((prompt, chosen, rejected)))
            self._turned.append(hash((prompt, rejected, chosen)))
            self._chosen.append(sum(map(len, chosen)))
            self._rejected.append(sum(map(len, rejected)))
        return iter(())

    def end(self) -> Iterator[Finding]:
        """Pairs that an earlier one prefers the other way round."""
        import numpy as np

        keys, turned = np.array(self._keys), np.array(self._turned)
        firsts, first_at = np.unique(keys, return_index=True)
        if len(firsts) == 0:
            return
        at = np.minimum(np.searchsorted(firsts, turned), len(firsts) - 1)
        before = first_at[at]
        meets = (firsts[at] == turned) & (before < np.arange(len(keys))) & (keys != turned)
        for i in np.flatnonzero(meets).tolist():
            of = self._places.row(int(before[i]))
            yield self._places.found(
                i, "preference", f"row {of} prefers the other answer to the same prompt",
                severity="error", kind="reversed", of=of,
            )  # fmt: skip

    def audit(self) -> dict[str, Any]:
        """How often the chosen answer is the longer one, in characters."""
        if not self._chosen:
            return {}
        import numpy as np

        chosen, rejected = np.array(self._chosen), np.array(self._rejected)
        return {
            "pairs": len(chosen),
            "chosen_longer_share": _share(chosen > rejected),
            "chosen_much_longer_share": _share(chosen > LONGER * rejected),
            "rejected_much_longer_share": _share(rejected > LONGER * chosen),
            "median_characters": {
                "chosen": int(np.median(chosen)), "rejected": int(np.median(rejected)),
            },
        }  # fmt: skip


class BothLabels:
    """Remembers KTO answers: the same one marked good and bad cancels out."""

    def __init__(self) -> None:
        self._places = Places()
        self._keys, self._labels = array("q"), array("b")

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Look at the thumbs of a batch."""
        for row in rows:
            if row.shape == "kto" and row.label is not None:
                self._places.add(row, "label")
                self._keys.append(hash((_texts(row.prompt), _texts(row.completion))))
                self._labels.append(row.label)
        return iter(())

    def end(self) -> Iterator[Finding]:
        """Answers that were marked otherwise where they first stood."""
        import numpy as np

        labels = np.array(self._labels)
        _, first_at, which = np.unique(np.array(self._keys), return_index=True, return_inverse=True)
        before = first_at[which]
        for i in np.flatnonzero(labels != labels[before]).tolist():
            words = ("good", "bad") if labels[i] else ("bad", "good")
            of = self._places.row(int(before[i]))
            yield self._places.found(
                i, "preference", f"marked {words[0]} here and {words[1]} in row {of}",
                severity="error", kind="both_labels", of=of,
            )  # fmt: skip


def _texts(part: Turns | None) -> tuple[str, ...]:
    if isinstance(part, str):
        return (part.strip(),)
    return tuple(f"{m.role}\0{m.content.strip()}\0{m.tool_calls or ''}" for m in part or ())


def _nearly(chosen: tuple[str, ...], rejected: tuple[str, ...]) -> bool:
    if len(chosen) != len(rejected):
        return False
    for a, b in zip(chosen, rejected, strict=True):
        if abs(len(a) - len(b)) > 8 + CLOSE * max(len(a), len(b)):
            return False
    words = [[_DRESS.sub("", t).casefold() for t in part] for part in (chosen, rejected)]
    return words[0] == words[1] and any(words[0])


def _share(which: "NDArray[np.bool_]") -> float:
    return round(float(which.mean()), 4)
