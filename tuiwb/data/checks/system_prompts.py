"""System prompts: which there are, and rows whose prompt is not quite the others'."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from tuiwb.data.checks.finding import Finding, quote
from tuiwb.data.checks.places import Places
from tuiwb.data.rows import Row

ENOUGH = 50
RARE = 0.01
DOMINANT = 0.95
# As alike as two sentences with a typo or one other word.
ALIKE = 0.9
KEPT = 1000
COMPARED = 50
LONGEST = 4000
SHOWN = 5


class SystemPrompts:
    """Counts the first system prompt of every row that could have one."""

    def __init__(self) -> None:
        self._places = Places()
        self._variants = array("q")
        self._ids: dict[str, int] = {}
        self._counts: Counter[int] = Counter()
        self._without = 0

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Count the rows of a batch."""
        for row in rows:
            part = row.messages if row.messages is not None else row.prompt
            if not isinstance(part, list) or not part:
                continue
            first = part[0]
            if first.role not in ("system", "developer"):
                self._without += 1
                continue
            # Prompts made per row (with the tools in them) must not all be kept.
            text = first.content if len(self._ids) < KEPT or first.content in self._ids else None
            number = -1 if text is None else self._ids.setdefault(text, len(self._ids))
            self._counts[number] += 1
            if self._counts[number] <= KEPT and number >= 0:
                name = "messages" if row.messages is not None else "prompt"
                self._places.add(row, f"{name}[0].content")
                self._variants.append(number)
        return iter(())

    def end(self) -> Iterator[Finding]:
        """Rows with a rare variant beside one that dominates, or a near copy of a usual one."""
        total = self._counts.total()
        if total < ENOUGH:
            return
        texts = list(self._ids)
        usual = [
            (n, c) for n, c in self._counts.most_common(COMPARED) if n >= 0 and c > RARE * total
        ]
        if not usual:
            return
        dominates = usual[0][1] >= DOMINANT * total
        said: dict[int, tuple[str, str]] = {}
        for number, count in self._counts.items():
            if number < 0 or count >= RARE * total:
                continue
            like = next((n for n, _ in usual if alike(texts[number], texts[n])), None)
            if like is not None:
                words = (
                    f"a near copy of the usual system prompt: {count} of {total} rows have it, "
                    f"{self._counts[like]} have “{quote(texts[like])}”"
                )
                said[number] = ("near_copy", words)
            elif dominates:
                words = (
                    f"a rare system prompt: {count} of {total} rows have it, "
                    f"{usual[0][1]} have “{quote(texts[usual[0][0]])}”"
                )
                said[number] = ("rare", words)
        for place, number in enumerate(self._variants):
            if number in said:
                kind, words = said[number]
                yield self._places.found(
                    place, "system_prompt", words, kind=kind, text=quote(texts[number])
                )

    def audit(self) -> dict[str, Any]:
        """Distinct prompts, the most frequent, and the share of rows without one."""
        total = self._counts.total() + self._without
        if not total:
            return {}
        texts = list(self._ids)
        return {
            "distinct": len(self._ids),
            **({"rows_beyond_those_counted": self._counts[-1]} if -1 in self._counts else {}),
            "without_share": round(self._without / total, 4),
            "top": [
                {"rows": count, "text": _shown(texts[number])}
                for number, count in self._counts.most_common(SHOWN + 1)
                if number >= 0
            ][:SHOWN],
        }


def _shown(text: str) -> str:
    return quote(text.encode("utf-8", "replace").decode("utf-8"))


def alike(one: str, other: str) -> bool:
    """Whether two prompts differ by little: a typo, a word, punctuation, white space."""
    one, other = one[:LONGEST], other[:LONGEST]
    if min(len(one), len(other)) < ALIKE * max(len(one), len(other)) - 2:
        return False
    words, others = one.split(), other.split()
    if words == others:
        return True
    by_word = SequenceMatcher(None, words, others, autojunk=False)
    by_letter = SequenceMatcher(None, one, other, autojunk=False)
    if min(len(one), len(other)) > 500:
        return by_word.ratio() >= ALIKE
    return by_letter.quick_ratio() >= ALIKE and by_letter.ratio() >= ALIKE
