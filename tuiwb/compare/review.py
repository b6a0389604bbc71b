"""The review queue: pairs on which a person and the judge disagree, and what was ruled on each.

review.jsonl is append-only; the last ruling of a rater on a pair stands. It changes no vote and no
verdict: it says which of the two to believe.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.compare.judge import PairVerdict
from tuiwb.compare.vote_records import Outcome
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines, decode_lines

REVIEW = "review.jsonl"
SIDES: tuple[Outcome, ...] = ("adapter", "base", "tie")

Ruling = Literal["human", "judge", "unclear"]


class RulingRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="ruling"):
    """A line of review.jsonl: who is right on a pair; no `ruling` takes an earlier one back.

    `vote` and `verdict` are what they said then: a ruling counts for these alone.
    """

    pair: str
    ruling: Ruling | None
    vote: Outcome
    verdict: Outcome
    rater: str = ""
    judge: str = ""
    v: int = 1
    t: float = 0.0


class Disagreement(msgspec.Struct, kw_only=True, frozen=True):
    """A pair on which the person and the judge named different winners."""

    pair: str
    vote: Outcome
    verdict: PairVerdict
    opposite: bool


def disagreements(
    winners: Mapping[str, Outcome], verdicts: Mapping[str, PairVerdict]
) -> list[Disagreement]:
    """Pairs with a vote and a valid verdict that differ: opposite winners first, then those where
    one said tie; within each in the order of the votes."""
    found = [
        Disagreement(
            pair=key,
            vote=said,
            verdict=verdicts[key],
            opposite="tie" not in (said, verdicts[key].outcome),
        )
        for key, said in winners.items()
        if key in verdicts and verdicts[key].outcome in SIDES and verdicts[key].outcome != said
    ]
    return sorted(found, key=lambda d: not d.opposite)


class Review:
    """One rater's rulings on the disagreements with one judge, kept in a compare folder."""

    def __init__(self, folder: Path, rater: str = "", judge: str = "") -> None:
        self.path, self.rater, self.judge = folder / REVIEW, rater, judge
        self._rulings = {
            r.pair: r for r in read_rulings(folder) if (r.rater, r.judge) == (rater, judge)
        }

    def ruling(self, item: Disagreement) -> Ruling | None:
        """What was ruled on this disagreement; None for nothing yet, or on another vote."""
        record = self._rulings.get(item.pair)
        if record is None or (record.vote, record.verdict) != (item.vote, item.verdict.outcome):
            return None
        return record.ruling

    def rule(self, item: Disagreement, ruling: Ruling | None) -> None:
        """Keep a ruling, or take it back with None; BadInput when it can't be written."""
        verdict = item.verdict.outcome
        if verdict == "invalid":
            raise BadInput(f"the verdict on {item.pair} is invalid: there is nothing to rule on")
        record = RulingRecord(
            pair=item.pair,
            ruling=ruling,
            vote=item.vote,
            verdict=verdict,
            rater=self.rater,
            judge=self.judge,
            t=time.time(),
        )
        try:
            append_lines(self.path, [record])
        except OSError as error:
            raise BadInput(
                f"the ruling could not be saved to {self.path} ({error.strerror}): make room, "
                "then rule again"
            ) from None
        self._rulings[item.pair] = record

    def count(self, items: Iterable[Disagreement]) -> dict[str, int]:
        """How many of the items are ruled for whom, and how many are open."""
        said = [self.ruling(item) or "open" for item in items]
        return {name: said.count(name) for name in ("human", "judge", "unclear", "open")}


def read_rulings(folder: Path) -> list[RulingRecord]:
    """Every line of review.jsonl in order, none where there is no such file."""
    try:
        return decode_lines((folder / REVIEW).read_bytes(), RulingRecord)
    except FileNotFoundError:
        return []
