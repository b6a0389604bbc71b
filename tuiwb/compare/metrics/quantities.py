"""Figures of the answers themselves: length, time, whether they end, the reference's likelihood."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from tuiwb.compare.metrics.scored import Answered, Asked, line_of, of_sums
from tuiwb.compare.metrics.task import Direction, MetricSummary, Unit

Array = Any  # numpy's arrays

# What an answer costs or how long it is says nothing about how right it is.
COSTS = ("length", "latency", "tokens_per_second")


def quantities(pairs: Sequence[Asked], paired: bool) -> list[MetricSummary]:
    """A line for each figure that these answers have; `paired`: both sides answered all."""
    lines = [_perplexity(pairs, paired)]
    bases = [pair.base for pair in pairs]
    others = [pair.adapter for pair in pairs if pair.adapter is not None] if paired else None
    if not bases:
        return []

    def plain(
        name: str,
        label: str,
        of: Callable[[Answered], float],
        unit: Unit,
        direction: Direction,
        graded: bool = True,
    ) -> MetricSummary:
        adapter = None if others is None else [of(answer) for answer in others]
        return line_of(
            name,
            label,
            list(map(of, bases)),
            adapter,
            graded=graded,
            unit=unit,
            direction=direction,
        )

    answers = [*bases, *(others or ())]
    if any(a.tokens for a in answers):
        lines.append(
            plain("ended", "ended its turn", lambda a: float(a.ended), "share", "higher", False)
        )
        lines.append(plain("length", "length", lambda a: float(a.tokens), "tokens", "neither"))
    else:
        lines.append(
            plain("length", "length", lambda a: float(len(a.text)), "characters", "neither")
        )
    if any(a.latency for a in answers):
        # As the table of the sides calls it, and the same median.
        label = "whole answer"
        lines.append(_of_batches("latency", label, _latency, "seconds", "lower", bases, others))
    lines.append(_speed(bases, others))
    return [line for line in lines if line is not None]


def _perplexity(pairs: Sequence[Asked], paired: bool) -> MetricSummary | None:
    """exp of the references' summed negative log-likelihood by their tokens, under each side."""
    import numpy

    chosen = [
        pair
        for pair in pairs
        if pair.reference_tokens > 0
        and _known(pair.base)
        and not (paired and (pair.adapter is None or not _known(pair.adapter)))
    ]
    if not chosen:
        return None
    line = MetricSummary(
        name="perplexity",
        label="perplexity",
        n=len(chosen),
        graded=True,
        base=0.0,
        base_right=0,
        unit="number",
        direction="lower",
    )
    base = [(a.base.reference_nll or 0.0, a.reference_tokens) for a in chosen]
    adapter = [
        (a.adapter.reference_nll or 0.0, a.reference_tokens)
        for a in chosen
        if a.adapter is not None
    ]

    def perplexity(sums: Array) -> Array:
        # Beyond e**700 a float has no number: such a likelihood is as good as none.
        return numpy.exp(numpy.minimum(sums[:, 0] / sums[:, 1], 700.0))

    return of_sums(line, base, adapter if paired else None, perplexity)


def _known(answered: Answered) -> bool:
    """Whether the reference has a likelihood: a model that overflows gives none."""
    nll = answered.reference_nll
    return nll is not None and math.isfinite(nll)


def _speed(bases: Sequence[Answered], others: Sequence[Answered] | None) -> MetricSummary | None:
    """Tokens by seconds of the model's time over all answers of a side."""
    sides = [bases] if others is None else [bases, others]
    if any(not sum(a.seconds for a in side) for side in sides):
        return None
    return _of_batches("tokens_per_second", "speed", _rate, "tokens/s", "higher", bases, others)


def _of_batches(
    name: str,
    label: str,
    of: Callable[[Sequence[Answered]], float],
    unit: Unit,
    direction: Direction,
    bases: Sequence[Answered],
    others: Sequence[Answered] | None,
) -> MetricSummary:
    """A figure of time: answers of one batch share it, so an interval over prompts or a test that
    takes them for independent would be wrong."""
    line = MetricSummary(
        name=name,
        label=label,
        n=len(bases),
        graded=True,
        base=of(bases),
        base_right=0,
        unit=unit,
        direction=direction,
    )
    if others is not None:
        line.adapter, line.adapter_right = of(others), 0
        line.difference = line.adapter - line.base
    return line


def _latency(answers: Sequence[Answered]) -> float:
    return statistics.median(a.latency for a in answers)


def _rate(answers: Sequence[Answered]) -> float:
    return sum(a.tokens for a in answers) / math.fsum(a.seconds for a in answers)
