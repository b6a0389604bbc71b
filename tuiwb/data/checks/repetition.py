"""Answers that go round in a loop, as generated ones do when sampling fails.

Holtzman et al., "The Curious Case of Neural Text Degeneration" (2020), describe them: from some
point on the same words again and again, mostly to the end.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.texts import texts_of
from tuiwb.data.rows import Row

SHORTEST = 120
PROBE = 24
OFTEN = 4
LOOP = 100
LETTERS = 2
SENTENCES = 5
SHARE = 0.3
SENTENCE = 20
_SENTENCE = re.compile(r"[^.!?\n]+")


class Repetition:
    """Loops in what is learned: answers and plain texts."""

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """What the answers of a batch repeat."""
        texts = texts_of(rows)
        for row, field, role, text in (*texts.answers.entries, *texts.untrusted.entries):
            if len(text) < SHORTEST or (role and role != "assistant"):
                continue
            if suspicious(text) and (loop := repeated(text)) is not None:
                start, end, what, times = loop
                yield found(
                    row, "repetition", f"{field} says {times} times “{quote(what)}”",
                    field=field, start=start, end=end, text=what[:SHORTEST], score=float(times),
                )  # fmt: skip

    def end(self) -> Iterator[Finding]:
        """Nothing: each text was looked at by itself."""
        return iter(())


def repetition(row: Row) -> Iterator[Finding]:
    """The loops in one row's answers."""
    return Repetition().add([row])


def suspicious(text: str) -> bool:
    """Whether the piece in the middle of a text or at its end stands in it often.

    A loop that runs to the end, as most do, or over half of the text holds one of them.
    """
    size = len(text)
    for at in (size // 2, size - PROBE):
        piece = text[at : at + PROBE]
        # A search of what stands before is cheaper than a count, and fails for nearly all.
        if text.find(piece, 0, at + PROBE - 1) >= 0 and text.count(piece) >= OFTEN:
            return True
    return False


def repeated(text: str) -> tuple[int, int, str, int] | None:
    """(start, end, what, how often) of a loop, or of a sentence said far too often."""
    size = len(text)
    for at in (size - PROBE, size // 2):
        piece = text[at : at + PROBE]
        other = text.rfind(piece, 0, at + PROBE - 1)
        if other < 0:
            other = text.find(piece, at + 1)
        if other < 0:
            continue
        first, period = min(at, other), abs(at - other)
        start, end = _reach(text, first, period)
        what = text[start : start + period]
        if end - start >= max(LOOP, OFTEN * period) and sum(map(str.isalpha, what)) >= LETTERS:
            return start, end, what, (end - start) // period
    said = Counter(s for m in _SENTENCE.finditer(text) if len(s := m[0].strip()) >= SENTENCE)
    for what, times in said.most_common(1):
        letters = sum(map(str.isalpha, what)) >= SENTENCE // 2
        if times >= SENTENCES and letters and times * len(what) >= SHARE * size:
            start = text.index(what)
            return start, start + len(what), what, times
    return None


def _reach(text: str, at: int, period: int) -> tuple[int, int]:
    """The widest run around `at` in which every character equals the one `period` later."""
    before = _agreeing(lambda n: text[at - n : at] == text[at - n + period : at + period], at)
    most = len(text) - at - period
    after = _agreeing(lambda n: text[at : at + n] == text[at + period : at + period + n], most)
    return at - before, at + period + after


def _agreeing(agree: Callable[[int], bool], most: int) -> int:
    """The largest n up to `most` for which `agree` holds, as it does for every smaller one."""
    low, high = 0, min(1, most)
    while high < most and agree(high):
        low, high = high, min(2 * high, most)
    while low < high:
        middle = (low + high + 1) // 2
        if agree(middle):
            low = middle
        else:
            high = middle - 1
    return low
