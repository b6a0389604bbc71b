"""What a judge's verdicts add up to, and whether they may be trusted. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge import (
    FailureRecord,
    PairVerdict,
    VerdictRecord,
    failed_controls,
    resolve,
)
from tuiwb.compare.stats import Kappa, PairedCounts, Preference, cohens_kappa, preference

JUDGE_SUMMARY = "summary.json"
INVALID_LIMIT = 0.05
LABELS = ("adapter", "tie", "base")


class JudgeSummary(msgspec.Struct, kw_only=True):
    """The result of judging `pairs` pairs; counts are from the adapter's side.

    `judged` pairs have an outcome (identical ones are ties without a call), `invalid` ones failed
    in an order and are left out, `open` ones were not reached. `first_slot_share` is how often
    the first response won among decisive verdicts (0.5: no position bias);
    `longer_win_share` how often the longer response won among decisive pairs;
    `mean_length_difference` is adapter minus base in characters.
    """

    model: str
    rubric: str
    pairs: int
    judged: int
    identical: int
    invalid: int
    open: int
    preference: Preference
    flips: int
    weak: int
    first_slot_share: float | None
    longer_win_share: float | None
    mean_length_difference: float
    manipulation: dict[str, int]
    trusted: bool
    doubts: list[str]
    calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    budget_reached: bool = False
    seconds: float = 0.0


def outcomes(
    completions: Iterable[Completion],
    verdicts: Iterable[VerdictRecord],
    failures: Iterable[FailureRecord] = (),
) -> list[PairVerdict]:
    """One outcome per pair that has one, in the completions' order; pairs not reached are left
    out, pairs with a failed order are 'invalid'."""
    by_pair: dict[str, list[VerdictRecord]] = {}
    for record in verdicts:
        by_pair.setdefault(record.pair, []).append(record)
    failed = {failure.pair for failure in failures}
    found = []
    for c in completions:
        if c.adapter is None:
            continue
        records = by_pair.get(c.id, [])
        if c.identical:
            found.append(PairVerdict(pair=c.id, outcome="tie", identical=True))
        elif len({record.first for record in records}) == 2 or c.id in failed:
            found.append(resolve(c.id, records))
    return found


def summarise_verdicts(
    completions: Sequence[Completion],
    verdicts: Sequence[VerdictRecord],
    failures: Sequence[FailureRecord],
    *,
    model: str,
    rubric: str,
) -> JudgeSummary:
    """Fold this run's verdicts and failures; calls, cost and time are the worker's to add."""
    found = outcomes(completions, verdicts, failures)
    valid = [pair for pair in found if pair.outcome != "invalid"]
    counts = PairedCounts(
        wins=sum(pair.outcome == "adapter" for pair in valid),
        losses=sum(pair.outcome == "base" for pair in valid),
        ties=sum(pair.outcome == "tie" for pair in valid),
    )
    ids = {pair.pair for pair in valid if not pair.identical}
    slots = [v.verdict.winner for v in verdicts if v.pair in ids and v.verdict.winner != "tie"]
    invalid = len(found) - len(valid)
    doubts = failed_controls(verdicts)
    if found and invalid / len(found) > INVALID_LIMIT:
        doubts.append(
            f"{invalid} of {len(found)} pairs are invalid, more than {100 * INVALID_LIMIT:.0f}%"
        )
    lengths = {c.id: len(c.adapter or "") - len(c.base) for c in completions}
    pairs = sum(c.adapter is not None for c in completions)
    return JudgeSummary(
        model=model,
        rubric=rubric,
        pairs=pairs,
        judged=len(valid),
        identical=sum(pair.identical for pair in valid),
        invalid=invalid,
        open=pairs - len(found),
        preference=preference(counts),
        flips=sum(pair.flip for pair in valid),
        weak=sum(pair.weak for pair in valid),
        first_slot_share=slots.count("1") / len(slots) if slots else None,
        longer_win_share=_longer_share(valid, lengths),
        mean_length_difference=fmean(lengths.values()) if lengths else 0.0,
        manipulation={
            side: sum(side in pair.manipulation for pair in valid) for side in ("adapter", "base")
        },
        trusted=not doubts,
        doubts=doubts,
    )


def agreement(human: Mapping[str, str], judge: Iterable[PairVerdict]) -> Kappa:
    """Three-class Cohen's kappa of human winners (by pair) and the judge on the pairs both saw."""
    table = [[0] * 3 for _ in range(3)]
    for pair in judge:
        said = human.get(pair.pair)
        if said in LABELS and pair.outcome in LABELS and not pair.identical:
            table[LABELS.index(said)][LABELS.index(pair.outcome)] += 1
    return cohens_kappa(table)


def read_judge_summary(folder: Path) -> JudgeSummary | None:
    """summary.json of a judge job that ended; None before that."""
    try:
        return msgspec.json.decode((folder / JUDGE_SUMMARY).read_bytes(), type=JudgeSummary)
    except (OSError, msgspec.MsgspecError):
        return None


def _longer_share(pairs: Iterable[PairVerdict], lengths: Mapping[str, int]) -> float | None:
    wins = [
        (pair.outcome == "adapter") == (lengths[pair.pair] > 0)
        for pair in pairs
        if pair.outcome in ("adapter", "base") and lengths[pair.pair] != 0
    ]
    return math.fsum(wins) / len(wins) if wins else None
