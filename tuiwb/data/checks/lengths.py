"""Texts of odd length, and answers cut off at a limit.

A prompt or an answer is odd when the logarithm of its length is far from the dataset's own median:
the modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), with the
median absolute deviation. They take 3.5; real chats have long tails, so it takes 5 here, a factor
of twenty from the median, and few that are so: many are no outliers but another kind of row.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tuiwb.data.checks.empty import blank
from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.places import Places
from tuiwb.data.checks.texts import texts_of
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENOUGH = 50
FAR = 5.0
FACTOR = 20
FEW = 0.01
# 0.6745 is the third quartile of the normal distribution: MAD / 0.6745 estimates sigma.
QUARTILE = 0.6745
# A set whose lengths hardly differ still lets them differ by a third.
LEAST_MAD = 0.2
LONG = 200
SAME = 5
NEAR = 25
OUTSTANDING = 5
TOP = 0.02
MOST = 0.8
ENDS = frozenset(".!?。！？…:;\"'”’»)]}>`*_~|।؟。")


class Lengths:
    """Counts characters of each row's last question and last answer."""

    def __init__(self) -> None:
        self._places = {"prompt": Places(), "answer": Places()}
        self._sizes = {"prompt": array("I"), "answer": array("I")}
        # Nought for a finished answer, the hash of its text for an unfinished one.
        self._unfinished = array("q")

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Measure the rows of a batch; a blank text is another check's."""
        texts = texts_of(rows)
        asked = [(row, q) for row, q, _ in texts.said if q is not None and not blank(q[1])]
        said = [(row, a) for row, _, a in texts.said if a is not None and not blank(a[1])]
        for what, batch in (("prompt", asked), ("answer", said)):
            self._places[what].extend([row for row, _ in batch], [one[0] for _, one in batch])
            self._sizes[what].extend([len(text) for _, (_, text) in batch])
        self._unfinished.extend(
            [
                (hash(text) or 1) if len(text) >= LONG and unfinished(text) else 0
                for _, (_, text) in said
            ]
        )
        return iter(())

    def end(self) -> Iterator[Finding]:
        """The odd ones, longest and shortest alike, and answers cut off at a limit."""
        for what, sizes in self._sizes.items():
            yield from self._odd(what, _numbers(sizes))
        yield from self._cut_off(_numbers(self._sizes["answer"]))

    def _odd(self, what: str, sizes: "NDArray[np.int64]") -> Iterator[Finding]:
        import numpy as np

        if len(sizes) < ENOUGH:
            return
        logs = np.log(sizes)
        median = np.median(logs)
        deviation = max(float(np.median(np.abs(logs - median))), LEAST_MAD)
        scores = QUARTILE * (logs - median) / deviation
        odd = (np.abs(scores) > FAR) & (np.abs(logs - median) >= np.log(FACTOR))
        for side in (odd & (scores > 0), odd & (scores < 0)):
            if side.sum() > max(1, FEW * len(sizes)):
                odd &= ~side
        for i in np.flatnonzero(odd).tolist():
            kind = "long" if scores[i] > 0 else "short"
            yield self._places[what].found(
                i,
                "length",
                f"the {what} has {sizes[i]} characters; half of them have "
                f"{'more' if kind == 'short' else 'less'} than {np.exp(median):.0f}",
                kind=f"{kind}_{what}",
                score=round(float(scores[i]), 1),
            )

    def _cut_off(self, sizes: "NDArray[np.int64]") -> Iterator[Finding]:
        import numpy as np

        hashes = np.array(self._unfinished, np.int64)
        torn = hashes != 0
        if torn.sum() < SAME:
            return
        long_ones = np.flatnonzero(sizes >= LONG)
        flagged = np.zeros(len(sizes), bool)
        # Copies of one answer have one length anyway.
        _, firsts = np.unique(hashes[torn], return_index=True)
        lengths, counts = np.unique(sizes[torn][firsts], return_counts=True)
        # By chance as many have one length as have the lengths near it.
        ordered = np.sort(sizes[torn])
        own, near = (_within(ordered, lengths, reach) for reach in (0, NEAR))
        limits = counts >= np.maximum(SAME, OUTSTANDING * (1 + (near - own) / (2 * NEAR)))
        flagged |= torn & np.isin(sizes, lengths[limits])
        top = max(2 * SAME, int(TOP * len(sizes)))
        if len(long_ones) >= 4 * top:
            longest = np.argsort(sizes, kind="stable")[-top:]
            rest = np.setdiff1d(long_ones, longest)
            distinct = len(np.unique(hashes[longest][torn[longest]]))
            cut = torn[longest].mean() >= MOST and distinct >= SAME
            if cut and torn[rest].mean() <= 1 - MOST:
                flagged[longest] |= torn[longest]
        for i in np.flatnonzero(flagged).tolist():
            yield self._places["answer"].found(
                i,
                "length",
                f"the answer breaks off mid-sentence at {sizes[i]} characters, as others do: "
                "cut by a limit when it was made",
                kind="cut_off",
            )

    def audit(self) -> dict[str, Any]:
        """Quantiles of the lengths in characters, and the share of unfinished long answers."""
        import numpy as np

        audit: dict[str, Any] = {}
        for what, sizes in self._sizes.items():
            if sizes:
                p5, median, p95 = np.quantile(_numbers(sizes), (0.05, 0.5, 0.95)).astype(int)
                audit[what] = {"p5": int(p5), "median": int(median), "p95": int(p95)}
        if self._unfinished:
            torn = sum(mark != 0 for mark in self._unfinished)
            audit["unfinished_share"] = round(torn / len(self._unfinished), 4)
        return audit


def unfinished(text: str) -> bool:
    """Whether a text stops within a sentence: its last line is prose and ends in a letter."""
    end = text.rstrip()
    if not end or end[-1] in ENDS or not (end[-1].isalnum() or end[-1] in ",-–"):
        return False
    last = end[end.rfind("\n") + 1 :].lstrip()
    # Items of lists, titles and code end without a full stop.
    return len(last) >= 60 and last[0].isalpha() and "```" not in text


def _within(
    ordered: "NDArray[np.int64]", lengths: "NDArray[np.int64]", reach: int
) -> "NDArray[np.int64]":
    """How many of the ordered numbers lie at most `reach` from each length."""
    import numpy as np

    until = np.searchsorted(ordered, lengths + reach, side="right")
    return (until - np.searchsorted(ordered, lengths - reach)).astype(np.int64)


def _numbers(sizes: "array[int]") -> "NDArray[np.int64]":
    import numpy as np

    return np.array(sizes, np.int64)
