"""A line of the gate, and how its figures are worded. Pure."""

import math

import msgspec

from tuiwb.compare.evaluation.results import Suite
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.compare.report.figure_text import p_value
from tuiwb.compare.stats.counts import PairedCounts, upper_tail

ALPHA = 0.05


class GateLine(msgspec.Struct, kw_only=True):
    """One line: `ok` is None where it is not known. `figure` is what was found, `threshold` what
    is asked, `change` what would change it, `command` what would make an unknown line known.

    For the picture: `at` with `low`..`high` is the adapter's change against the base (a fraction,
    95% interval), `limit` the largest loss let pass.
    """

    name: str
    label: str
    ok: bool | None
    figure: str
    threshold: str
    change: str = ""
    command: str = ""
    required: bool = True
    at: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


def won(counts: PairedCounts, p: float) -> str:
    return f"won {counts.wins}, lost {counts.losses}, tied {counts.ties}, p {p_value(p)}"


def sides(metric: MetricSummary) -> str:
    if metric.graded or metric.adapter_right is None:
        scale = 100 if metric.unit == "share" else 1
        mark = "%" if metric.unit == "share" else f" {metric.unit}"
        return f"{scale * (metric.adapter or 0):.3g}{mark}, base {scale * metric.base:.3g}{mark}"
    return f"{metric.adapter_right}/{metric.n}, base {metric.base_right}/{metric.n}"


def change_of(metric: MetricSummary) -> str:
    scale = 100 if metric.unit == "share" else 1
    interval = metric.difference_interval
    bounds = f" [{scale * interval.low:+.1f}, {scale * interval.high:+.1f}]" if interval else ""
    points = " points" if metric.unit == "share" else ""
    p = f", p {p_value(metric.p)}" if metric.p is not None else ""
    return f"{scale * (metric.difference or 0):+.1f}{points}{bounds}{p}"


def count_of(share: float, n: int) -> str:
    return f"{round(share * n)} of {n}"


def right_of(suite: Suite, word: str = "right") -> str:
    left = f", {len(suite.left_out)} not asked" if suite.left_out else ""
    return f"{count_of(suite.adapter, suite.n)} {word}, base {count_of(suite.base, suite.n)}{left}"


def regression_of(suite: Suite) -> str:
    sure = (
        "confirmed, "
        if suite.regression > 0 and suite.p_worse is not None and suite.p_worse <= ALPHA
        else ""
    )
    # The table of the evaluation has the two-sided p of the same counts.
    p = (
        f", {sure}one-sided p {p_value(suite.p_worse)}"
        if suite.p_worse is not None and suite.worse
        else ""
    )
    word = "regression" if suite.regression >= 0 else "gain"
    return f"{word} {abs(suite.regression):.1%} ({suite.worse} lost, {suite.better} won{p})"


def alarms_of(suite: Suite) -> str:
    if suite.false_alarm is None or not suite.flip_n:
        return ""
    high = f", at most {suite.false_alarm_high:.1%}" if suite.false_alarm_high is not None else ""
    rerun = f"; {suite.rerun} rerun, {suite.overturned} overturned" if suite.rerun else ""
    return (
        f"; base twice: {suite.flips} of {suite.flip_n} flip, false alarms "
        f"{suite.false_alarm:.1%}{high}{rerun}"
    )


def caught(n: int, limit: float) -> str:
    """How often a loss twice as large as the limit is caught with `n` items, none won back."""
    share = upper_tail(math.floor(limit * n + 1e-9) + 1, n, 2 * limit)
    return f"a true loss of {2 * limit:.0%} is caught {share:.0%} of the time"
