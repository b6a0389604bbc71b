"""One prompt's answers as they are measured, and what a metric of many of them says. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuiwb.compare.metrics.task import Direction, MetricSummary, Unit
from tuiwb.compare.stats.counts import sign_test, wilson
from tuiwb.compare.stats.paired import bootstrap, mean_interval, sign_flip_test, swap_test, tango

Array = Any  # numpy's arrays


@dataclass(frozen=True)
class Answered:
    """One side's answer as it is measured."""

    text: str
    tokens: int = 0
    seconds: float = 0.0
    latency: float = 0.0
    ended: bool = True
    reference_nll: float | None = None


@dataclass(frozen=True)
class Asked:
    """One prompt with its reference and what both sides answered."""

    base: Answered
    adapter: Answered | None = None
    reference: str | None = None
    reference_tokens: int = 0
    tags: Mapping[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    prompt_characters: int = 0


def line_of(
    name: str,
    label: str,
    base: Sequence[float],
    adapter: Sequence[float] | None,
    *,
    graded: bool,
    unit: Unit = "share",
    direction: Direction = "higher",
) -> MetricSummary:
    """The summary of a metric that has a figure for each prompt; `base` must not be empty."""
    n = len(base)
    line = MetricSummary(
        name=name,
        label=label,
        n=n,
        graded=graded,
        base=math.fsum(base) / n,
        base_right=(right := sum(x == 1.0 for x in base)),
        base_interval=None if graded else wilson(right, n),
        unit=unit,
        direction=direction,
    )
    if adapter is None:
        return line
    right = sum(x == 1.0 for x in adapter)
    differences = [a - b for a, b in zip(adapter, base, strict=True)]
    up, down = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    line.adapter = math.fsum(adapter) / n
    line.adapter_right = right
    line.difference = math.fsum(differences) / n
    line.better, line.worse = (down, up) if direction == "lower" else (up, down)
    if graded:
        line.difference_interval = mean_interval(differences)
        line.p = sign_flip_test(differences)
    else:
        line.adapter_interval = wilson(right, n)
        line.difference_interval = tango(up, down, n)
        line.p = sign_test(up, down)
    return line


def of_sums(
    line: MetricSummary,
    base: Sequence[Sequence[float]],
    adapter: Sequence[Sequence[float]] | None,
    statistic: Callable[[Array], Array],
) -> MetricSummary:
    """Fill the line of a figure of the whole corpus, a function of sums over the prompts."""
    import numpy

    def each(rows: Array) -> list[float]:
        return [float(value) for value in statistic(rows)]

    ones = numpy.asarray(base, dtype=float)
    line.base = each(ones.sum(axis=0, keepdims=True))[0]
    if adapter is None:
        return line
    others = numpy.asarray(adapter, dtype=float)
    line.adapter = each(others.sum(axis=0, keepdims=True))[0]
    line.adapter_right = 0
    line.difference = line.adapter - line.base
    k = ones.shape[1]
    line.difference_interval = bootstrap(
        numpy.hstack([ones, others]), lambda sums: statistic(sums[:, k:]) - statistic(sums[:, :k])
    )
    line.p = swap_test(ones, others, statistic)
    pairs = list(zip(each(others), each(ones), strict=True))
    up, down = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    line.better, line.worse = (down, up) if line.direction == "lower" else (up, down)
    return line
