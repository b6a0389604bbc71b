"""What a judge's verdicts add up to, and whether they may be trusted. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge.protocol import (
    REPEAT,
    FailureRecord,
    PairVerdict,
    VerdictRecord,
    failed_controls,
    resolve,
    winner_of,
)
from tuiwb.compare.stats.counts import (
    Interval,
    Kappa,
    PairedCounts,
    Preference,
    cohens_kappa,
    preference,
    wilson,
)
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import load
from tuiwb.prepared import prepared

JUDGE_SUMMARY = "summary.json"
INVALID_LIMIT = 0.05
# Share of the pairs asked in which one side tried to sway the judge, above which the verdicts may
# be the manipulation's work.
MANIPULATION_LIMIT = 0.1
LABELS = ("adapter", "tie", "base")


class RepeatNoise(msgspec.Struct, kw_only=True):
    """How far a judge agrees with itself: `asked` orders were judged twice, `changed` of them
    named another winner the second time; of `pairs` asked twice `outcomes_changed` came out
    otherwise. The interval is Wilson's, of the share of orders."""

    asked: int
    changed: int
    share: float
    interval: Interval
    pairs: int
    outcomes_changed: int


class JudgeSummary(msgspec.Struct, kw_only=True):
    """The result of judging `pairs` pairs; counts are from the adapter's side.

    `judged` pairs have an outcome (identical ones are ties without a call), `invalid` ones failed
    in an order and are left out, `open` ones were not reached. `first_slot_share` is how often
    the first response won among decisive verdicts (0.5: no position bias);
    `longer_win_share` how often the longer response won among decisive pairs;
    `mean_length_difference` is adapter minus base in characters. `repeats` is there when pairs
    were asked a second time, `batched` counts verdicts that came in batches. `input_tokens`
    include what was written to and read from the endpoint's prompt cache.
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
    label: str = ""
    sides: tuple[str, str] = ("base", "fine-tune")
    endpoint: str = ""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    batched: int = 0
    repeats: RepeatNoise | None = None


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
    sides: tuple[str, str] = ("base", "fine-tune"),
) -> JudgeSummary:
    """Fold this run's verdicts and failures; calls, cost and time are the worker's to add.
    `sides` is how people call what is compared against and what is under test."""
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
    # Identical answers are no call: they must not water down how many calls went wrong.
    asked = sum(not pair.identical for pair in found)
    doubts = failed_controls(verdicts)
    if asked and invalid / asked > INVALID_LIMIT:
        doubts.append(
            f"{invalid} of {asked} pairs asked are invalid, more than {100 * INVALID_LIMIT:.0f}%"
        )
    lengths = {c.id: len(c.adapter or "") - len(c.base) for c in completions}
    pairs = sum(c.adapter is not None for c in completions)
    summary = JudgeSummary(
        model=model,
        rubric=rubric,
        pairs=pairs,
        judged=len(valid),
        identical=sum(pair.identical for pair in valid),
        invalid=invalid,
        open=pairs - len(found),
        preference=preference(counts, names=sides),
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
        repeats=repeat_noise(verdicts),
        sides=sides,
    )
    if doubt := manipulation_doubt(summary):
        summary.doubts, summary.trusted = [*doubts, doubt], False
    return summary


def manipulated(summary: JudgeSummary) -> str:
    """In how many of the pairs asked which side tried to sway the judge, in words; '' for none."""
    base, tuned = summary.sides
    found = [
        f"by {name} in {count} of {summary.judged - summary.identical}"
        for name, side in ((tuned, "adapter"), (base, "base"))
        if (count := summary.manipulation.get(side, 0))
    ]
    return f"manipulation reported {' and '.join(found)} pairs" if found else ""


def manipulation_doubt(summary: JudgeSummary) -> str:
    """Why so much manipulation leaves nothing to trust; '' where it is little."""
    asked = summary.judged - summary.identical
    most = max(summary.manipulation.values(), default=0)
    if not asked or most / asked <= MANIPULATION_LIMIT:
        return ""
    return f"{manipulated(summary)}, more than {100 * MANIPULATION_LIMIT:.0f}%: read them"


def repeat_noise(verdicts: Iterable[VerdictRecord]) -> RepeatNoise | None:
    """How many verdicts changed when the very same was asked again; None where nothing was."""
    by_order: dict[tuple[str, str], VerdictRecord] = {(v.pair, v.first): v for v in verdicts}
    twice = [
        (by_order[one], again)
        for (pair, first), again in by_order.items()
        if pair.startswith(REPEAT) and (one := (pair.removeprefix(REPEAT), first)) in by_order
    ]
    if not twice:
        return None
    changed = sum(winner_of(one) != winner_of(again) for one, again in twice)
    pairs: dict[str, list[tuple[VerdictRecord, VerdictRecord]]] = {}
    for both in twice:
        pairs.setdefault(both[0].pair, []).append(both)
    whole = {pair: orders for pair, orders in pairs.items() if len(orders) == 2}
    return RepeatNoise(
        asked=len(twice),
        changed=changed,
        share=changed / len(twice),
        interval=wilson(changed, len(twice)),
        pairs=len(whole),
        outcomes_changed=sum(
            resolve(pair, [one for one, _ in orders]).outcome
            != resolve(pair, [again for _, again in orders]).outcome
            for pair, orders in whole.items()
        ),
    )


def agreement(human: Mapping[str, str], judge: Iterable[PairVerdict]) -> Kappa:
    """Three-class Cohen's kappa of human winners (by pair) and the judge on the pairs both saw."""
    return kappa_of(human, {pair.pair: pair.outcome for pair in judge if not pair.identical})


def kappa_of(one: Mapping[str, str], other: Mapping[str, str]) -> Kappa:
    """Three-class Cohen's kappa of two raters' winners by pair, on the pairs both decided."""
    table = [[0] * len(LABELS) for _ in LABELS]
    for pair in one.keys() & other.keys():
        if one[pair] in LABELS and other[pair] in LABELS:
            table[LABELS.index(one[pair])][LABELS.index(other[pair])] += 1
    return cohens_kappa(table)


def read_judge_summary(folder: Path) -> JudgeSummary | None:
    """summary.json of a judge job that ended; None before that."""
    try:
        return msgspec.json.decode(
            (folder / JUDGE_SUMMARY).read_bytes(), type=prepared(JudgeSummary)
        )
    except (OSError, msgspec.MsgspecError):
        return None


def judge_folders(run: Path, sides: tuple[str, str] | None = None) -> list[Path]:
    """The folders of a run's judges of base against adapter, or of two other `sides`, the first
    one's first; jobs that were set aside are left out."""
    found = []
    for path in sorted(run.glob("judge*/job.yaml")):
        try:
            spec = load(path.parent).spec
        except (TuiwbError, OSError):
            continue
        about = spec.get("sides")
        if (tuple(about) if about else None) != sides:
            continue
        if str(spec.get("folder", "judge")) == path.parent.name:
            found.append(path.parent)
    return sorted(found, key=lambda folder: (len(folder.name), folder.name))


def read_judges(run: Path, sides: tuple[str, str] | None = None) -> list[JudgeSummary]:
    """The summaries of a run's judges that ended, the first one's first."""
    summaries = map(read_judge_summary, judge_folders(run, sides))
    return [summary for summary in summaries if summary is not None]


def _longer_share(pairs: Iterable[PairVerdict], lengths: Mapping[str, int]) -> float | None:
    wins = [
        (pair.outcome == "adapter") == (lengths[pair.pair] > 0)
        for pair in pairs
        if pair.outcome in ("adapter", "base") and lengths[pair.pair] != 0
    ]
    return math.fsum(wins) / len(wins) if wins else None
