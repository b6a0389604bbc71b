"""Figures by slice: prompts with the same tag, or short, middling and long ones. Pure.

A slice is looked at for where the fine-tune is worse than the whole says. Few prompts say little:
a slice of less than ten is marked small and stands behind the others, and p is adjusted for all
slices of all tags that are looked at together.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tuiwb.compare.metrics.scored import Asked, line_of
from tuiwb.compare.metrics.task import MetricSummary

SMALL = 10
MOST_VALUES = 12
LENGTH = "prompt length"
REST = "(others)"
MISSING = "(none)"

Scores = Mapping[str, float]


class Slice(msgspec.Struct, kw_only=True):
    """The prompts whose tag `by` is `value`, or whose length is, by one metric (`line`)."""

    by: str
    value: str
    line: MetricSummary
    small: bool = False


def groupings(pairs: Sequence[Asked]) -> dict[str, list[str]]:
    """What prompts can be sliced by: for each tag (and the prompt length) every prompt's value.

    A tag with one value for all, or with another one for nearly each (an id), slices nothing.
    Beyond twelve values the rarest are taken together.
    """
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for pair in pairs for name in pair.tags):
        values = [_word(pair.tags.get(name)) for pair in pairs]
        kinds = len(set(values))
        if 1 < kinds <= max(2, len(pairs) // 2):
            found[name] = _common(values)
    lengths = _lengths(pairs)
    if len(set(lengths)) > 1:
        found[LENGTH] = lengths
    return found


def slices(
    by: str,
    values: Sequence[str],
    base: Sequence[Scores],
    adapter: Sequence[Scores] | None,
    metric: MetricSummary,
) -> list[Slice]:
    """Every slice by one metric, the worst for the fine-tune first, small ones last.

    `values`, `base` and `adapter` go with the prompts; a prompt that the metric does not apply to
    is in no slice. Worst is the lowest difference, without a second side the lowest score.
    """
    name = metric.name
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        if name in base[place] and (adapter is None or name in adapter[place]):
            places.setdefault(value, []).append(place)
    found = []
    for value, chosen in places.items():
        line = line_of(
            name,
            metric.label,
            [base[place][name] for place in chosen],
            None if adapter is None else [adapter[place][name] for place in chosen],
            graded=metric.graded,
            unit=metric.unit,
            direction=metric.direction,
        )
        found.append(Slice(by=by, value=value, line=line, small=len(chosen) < SMALL))
    return sorted(found, key=_worst)


def _worst(one: Slice) -> tuple[bool, float, float]:
    line = one.line
    if line.difference is None or line.adapter is None:
        return one.small, line.base, 0.0
    return one.small, line.difference, line.adapter


def _word(value: Any) -> str:
    return MISSING if value is None else str(value)


def _common(values: Sequence[str]) -> list[str]:
    counts = collections.Counter(values)
    if len(counts) <= MOST_VALUES:
        return list(values)
    kept = {value for value, _ in counts.most_common(MOST_VALUES - 1)}
    return [value if value in kept else REST for value in values]


def _lengths(pairs: Sequence[Asked]) -> list[str]:
    """Thirds by tokens, or by characters where the tokens are not known."""
    unit = "tokens" if all(pair.prompt_tokens for pair in pairs) else "characters"
    lengths = [p.prompt_tokens if unit == "tokens" else p.prompt_characters for p in pairs]
    sizes = sorted(lengths)
    if len(sizes) < 3:
        return []
    short, middle = sizes[len(sizes) // 3 - 1], sizes[2 * len(sizes) // 3 - 1]

    def word(size: int) -> str:
        if size <= short:
            return f"up to {short:,} {unit}"
        return (
            f"{short + 1:,} to {middle:,} {unit}" if size <= middle else f"over {middle:,} {unit}"
        )

    return [word(length) for length in lengths]
