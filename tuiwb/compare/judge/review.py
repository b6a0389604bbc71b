"""The review queue: pairs on which a person and the judge disagree, and what was ruled on each.

review.jsonl is append-only; the last ruling of a rater on a pair stands. It changes no vote and no
verdict: it says which of the two to believe.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge.plan import all_questions
from tuiwb.compare.judge.protocol import VERDICTS, PairVerdict, on_record, read_verdicts
from tuiwb.compare.judge.summary import judge_folders, kappa_of, outcomes
from tuiwb.compare.stats.counts import Kappa
from tuiwb.compare.vote.records import MAIN_PAIR, Outcome
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import load
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


class Judged(msgspec.Struct, kw_only=True, frozen=True):
    """What one judge said of the pairs, by completion id, and when (unix seconds). `judge` is its
    model, with its folder's name where an earlier one has the same."""

    judge: str
    folder: Path
    verdicts: dict[str, PairVerdict]
    times: dict[str, float]


def read_judged(
    run: Path, completions: Sequence[Completion], sides: tuple[str, str] = MAIN_PAIR
) -> list[Judged]:
    """What each judge of a run said of these very answers, the first judge first; judges with no
    word on them are left out. `completions` hold the two sides as base and adapter."""
    found: dict[str, Judged] = {}
    for folder in judge_folders(run, None if sides == MAIN_PAIR else sides):
        try:
            spec = load(folder).spec
            asked = all_questions(spec, list(completions))
            told = on_record(asked, *read_verdicts(folder / VERDICTS))
            name = str(spec["model"])
        except (TuiwbError, OSError, KeyError, TypeError):
            continue  # not a judge's folder of this program's, or torn: the others still count
        verdicts = {p.pair: p for p in outcomes(completions, *told) if not p.identical}
        if verdicts:
            name = name if name not in found else f"{name} ({folder.name})"
            times: dict[str, float] = {}
            for record in told[0]:
                times[record.pair] = max(record.t, times.get(record.pair, 0.0))
            found[name] = Judged(judge=name, folder=folder, verdicts=verdicts, times=times)
    return list(found.values())


def agreed_with(winners: Mapping[str, Outcome], judged: Judged) -> Kappa:
    """Three-class Cohen's kappa of a rater's winners and a judge's, on the pairs both decided."""
    return kappa_of(winners, {key: said.outcome for key, said in judged.verdicts.items()})


def chosen_judge(judges: Sequence[Judged], name: str | None) -> Judged | None:
    """The judge of that name, the first one for None; BadInput when there is none so called."""
    found = next((one for one in judges if name in (None, one.judge)), None)
    if found is None and name is not None:
        known = ", ".join(one.judge for one in judges) or "none has judged these answers"
        raise BadInput(f"there is no judge {name!r} here, but: {known}")
    return found


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
