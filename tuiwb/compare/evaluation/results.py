"""items.jsonl and results.json of an evaluation: every answer, and the paired figures. Pure folds.

A suite's figure is paired: the same items answered by base and adapter. b items were right with the
base and are wrong with the adapter, c the other way round; (b - c)/N is the regression.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.compare.left_out import LeftOut
from tuiwb.compare.stats.counts import (
    Interval,
    false_alarm,
    mcnemar_one_sided,
    sign_test,
    wilson,
)
from tuiwb.compare.stats.paired import mean_interval, sign_flip_test, tango
from tuiwb.jobs.lines import decode_lines
from tuiwb.prepared import prepared

ITEMS = "items.jsonl"
RESULTS = "results.json"
# Rounds of a canary: the first, the base once more (A/A), three reruns of what came out different.
FIRST, AGAIN, RERUNS = 0, 1, (2, 3, 4)

State = Literal["done", "not run"]


class Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One item asked of both sides in one round.

    `base_ok` and `adapter_ok` say whether the answer passed, None where nothing can be checked;
    `why` words what was wrong. `scores`: of a multiple choice, nats a byte of each option.
    """

    suite: str
    id: str
    round: int = FIRST
    index: int = 0
    category: str = ""
    prompt: str = ""
    reference: str | None = None
    base: str = ""
    adapter: str | None = None
    base_ok: bool | None = None
    adapter_ok: bool | None = None
    base_why: list[str] = []
    adapter_why: list[str] = []
    base_scores: list[float] = []
    adapter_scores: list[float] = []
    notes: list[str] = []


class Category(msgspec.Struct, kw_only=True):
    """A suite's part: items, right with the base, right with the adapter."""

    name: str
    n: int
    base: int
    adapter: int


class Suite(msgspec.Struct, kw_only=True):
    """One suite's paired figures, or why it was not run.

    `worse` is b, `better` is c, after reruns where there were any. `regression` is (b - c)/N,
    `interval` the 95% interval of the change adapter - base (Tango's; of graded scores a
    bootstrap). `p` is the two-sided p of the change (McNemar's exact; of graded scores a sign-flip
    test), `p_worse` the one-sided p of the same test for a loss. Of the A/A run: `flips` of
    `flip_n` items changed between two runs of the base; `false_alarm` is the chance that two
    equally good models differ by more than the threshold with so many flips, `false_alarm_high`
    the same at the upper end of the flips' interval. Prompts that are `left_out` were asked of
    neither side and count nowhere.
    """

    name: str
    state: State = "done"
    reason: str = ""
    source: str = ""
    metric: str = "right"
    n: int = 0
    base: float = 0.0
    adapter: float = 0.0
    base_interval: Interval | None = None
    adapter_interval: Interval | None = None
    chance: float | None = None
    better: int = 0
    worse: int = 0
    regression: float = 0.0
    interval: Interval | None = None
    p: float | None = None
    p_worse: float | None = None
    flip_n: int = 0
    flips: int = 0
    false_alarm: float | None = None
    false_alarm_high: float | None = None
    rerun: int = 0
    overturned: int = 0
    categories: list[Category] = []
    faults: dict[str, int] = {}
    base_faults: dict[str, int] = {}
    notes: dict[str, int] = {}
    unchecked: int = 0
    left_out: list[LeftOut] = []


class Seen(msgspec.Struct, kw_only=True):
    """How many of `n` prompts of the files `sources` (held out, compared on) stand word for word in
    the training rows; `rows` looked at, `whole` when that was all of them."""

    n: int
    seen: int
    rows: int
    whole: bool = True
    where: list[str] = []
    sources: list[str] = []


class Results(msgspec.Struct, kw_only=True):
    """results.json: what an evaluation found."""

    suites: list[Suite] = []
    seen: Seen | None = None
    max_logit_difference: float | None = None
    template: str = ""
    device: str = ""
    dtype: str = ""
    seconds: float = 0.0

    def suite(self, name: str) -> Suite | None:
        """A suite by its name."""
        return next((suite for suite in self.suites if suite.name == name), None)


def read_items(folder: Path) -> list[Item]:
    """Whole lines of items.jsonl, the last of each (suite, id, round); broken ones passed over."""
    try:
        data = (folder / ITEMS).read_bytes()
    except FileNotFoundError:
        return []
    found = {(i.suite, i.id, i.round): i for i in decode_lines(data, Item)}
    return sorted(found.values(), key=lambda i: (i.suite, i.round, i.index))


def read_results(folder: Path) -> Results | None:
    """results.json of an evaluation that ended; None before that."""
    try:
        return msgspec.json.decode((folder / RESULTS).read_bytes(), type=prepared(Results))
    except (OSError, msgspec.MsgspecError):
        return None


def fold(
    name: str,
    items: Iterable[Item],
    *,
    source: str = "",
    metric: str = "right",
    chance: float | None = None,
    threshold: float = 0.05,
) -> Suite:
    """The figures of one suite from its items of all rounds."""
    rounds: dict[int, dict[str, Item]] = {}
    for item in items:
        if item.suite == name:
            rounds.setdefault(item.round, {})[item.id] = item
    first = list(rounds.get(FIRST, {}).values())
    checked = [i for i in first if i.base_ok is not None and i.adapter_ok is not None]
    outcomes = [_settled(i, rounds) for i in checked]
    suite = paired(name, outcomes)
    suite.source, suite.metric, suite.chance = source, metric, chance
    suite.unchecked = len(first) - len(checked)
    rerun = [i for i in checked if all(i.id in rounds.get(n, {}) for n in RERUNS)]
    suite.rerun = len(rerun)
    suite.overturned = sum(_settled(i, rounds) != (i.base_ok, i.adapter_ok) for i in rerun)
    again = rounds.get(AGAIN, {})
    twice = [(i, again[i.id]) for i in checked if i.id in again]
    if twice:
        suite.flip_n = len(twice)
        suite.flips = sum(one.base_ok != two.base_ok for one, two in twice)
        # Half of the flips go each way: between two runs of one model neither is favoured.
        each_way, most = suite.flips / suite.flip_n / 2, wilson(suite.flips, suite.flip_n).high / 2
        suite.false_alarm = false_alarm(suite.n, each_way, threshold)
        suite.false_alarm_high = false_alarm(suite.n, most, threshold)
    suite.faults = _counted(why for i in first for why in i.adapter_why)
    suite.base_faults = _counted(why for i in first for why in i.base_why)
    suite.notes = _counted(note for i in first for note in i.notes)
    names = dict.fromkeys(i.category for i in first if i.category)
    suite.categories = [
        Category(
            name=category,
            n=len(part),
            base=sum(bool(i.base_ok) for i in part),
            adapter=sum(bool(i.adapter_ok) for i in part),
        )
        for category in names
        if (part := [i for i in checked if i.category == category])
    ]
    return suite


def paired(name: str, outcomes: Sequence[tuple[bool, bool]]) -> Suite:
    """Paired figures of (base right, adapter right)."""
    n = len(outcomes)
    if n == 0:
        return Suite(name=name, state="not run", reason="no item of it can be checked")
    base, adapter = sum(one for one, _ in outcomes), sum(other for _, other in outcomes)
    worse = sum(one and not other for one, other in outcomes)
    better = sum(other and not one for one, other in outcomes)
    return Suite(
        name=name,
        n=n,
        base=base / n,
        adapter=adapter / n,
        base_interval=wilson(base, n),
        adapter_interval=wilson(adapter, n),
        better=better,
        worse=worse,
        regression=(worse - better) / n,
        interval=tango(better, worse, n),
        p=sign_test(better, worse),
        p_worse=mcnemar_one_sided(worse, better),
    )


def graded(name: str, scores: Sequence[tuple[float, float]], metric: str) -> Suite:
    """Paired figures of (base, adapter) scores in [0, 1] of a benchmark's items; scores that are
    no number are left out."""
    scores = [pair for pair in scores if all(map(math.isfinite, pair))]
    if not scores:
        return Suite(name=name, state="not run", reason="it gave no scores")
    if all(x in (0.0, 1.0) for pair in scores for x in pair):
        suite = paired(name, [(one == 1.0, other == 1.0) for one, other in scores])
        suite.metric = metric
        return suite
    n = len(scores)
    better = sum(other > one for one, other in scores)
    worse = sum(other < one for one, other in scores)
    changes = [other - one for one, other in scores]
    regression, p = -math.fsum(changes) / n, sign_flip_test(changes)
    return Suite(
        name=name,
        metric=metric,
        n=n,
        base=math.fsum(one for one, _ in scores) / n,
        adapter=math.fsum(other for _, other in scores) / n,
        better=better,
        worse=worse,
        regression=regression,
        interval=mean_interval(changes),
        p=p,
        # Flipped signs are symmetric. Counts of items would test the median, not this mean.
        p_worse=p / 2 if regression > 0 else 1 - p / 2,
    )


def discordant(items: Iterable[Item], name: str) -> list[Item]:
    """First-round items of a suite that one side passed and the other did not: to be rerun.

    Both kinds: rerunning only the losses could only ever make the fine-tune look better.
    """
    return [
        i
        for i in items
        if i.suite == name
        and i.round == FIRST
        and None not in (i.base_ok, i.adapter_ok)
        and i.base_ok != i.adapter_ok
    ]


def _settled(item: Item, rounds: dict[int, dict[str, Item]]) -> tuple[bool, bool]:
    """What the majority of the reruns says, or the first round where there are not all three."""
    again = [found for n in RERUNS if (found := rounds.get(n, {}).get(item.id)) is not None]
    if len(again) < len(RERUNS):
        return bool(item.base_ok), bool(item.adapter_ok)
    return (
        2 * sum(bool(i.base_ok) for i in again) > len(again),
        2 * sum(bool(i.adapter_ok) for i in again) > len(again),
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
