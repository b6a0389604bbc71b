"""The fields of JSON references one by one: which of them each side gets right."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tuiwb.compare.metrics import task as task_metrics
from tuiwb.compare.metrics.scored import Asked
from tuiwb.compare.stats.counts import Interval, sign_test
from tuiwb.compare.stats.paired import holm, tango

MOST = 100  # fields told
State = Literal["right", "wrong", "missing"]


class FieldSummary(msgspec.Struct, kw_only=True):
    """One field of the JSON references, over the `n` references that have it.

    `missing` counts answers without the field (no JSON object has none); the interval is Tango's,
    p McNemar's, adjusted for all fields in `p_holm`.
    """

    name: str
    n: int
    base_right: int
    base_missing: int
    adapter_right: int | None = None
    adapter_missing: int | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None


def field_table(pairs: Sequence[Asked], paired: bool) -> list[FieldSummary]:
    """The fields of the JSON references in the order first seen, the `MOST` that most references
    have: beyond that they are keys of data, not fields."""
    found: dict[str, list[tuple[State, State | None]]] = {}
    for one in pairs:
        reference = one.reference or ""
        right = task_metrics.field_results(one.base.text, reference)
        if right is None:
            continue
        base = _states(one.base.text, right)
        adapter: dict[str, State] = {}
        if paired and one.adapter is not None:
            told = task_metrics.field_results(one.adapter.text, reference)
            adapter = _states(one.adapter.text, told or {})
        for name, state in base.items():
            found.setdefault(name, []).append((state, adapter.get(name)))
    kept = set(heapq.nlargest(MOST, found, key=lambda name: len(found[name])))
    lines = [_field(name, states) for name, states in found.items() if name in kept]
    tested = [line for line in lines if line.p is not None]
    for line, p in zip(tested, holm([line.p or 0.0 for line in tested]), strict=True):
        line.p_holm = p
    return lines


def _states(answer: str, right: Mapping[str, bool]) -> dict[str, State]:
    """What an answer makes of each field of its reference."""
    given = task_metrics.parse_json(answer)
    there = given if isinstance(given, dict) else {}
    return {
        name: "right" if well else "wrong" if name in there else "missing"
        for name, well in right.items()
    }


def _field(name: str, states: Sequence[tuple[State, State | None]]) -> FieldSummary:
    n = len(states)
    base = [one for one, _ in states]
    line = FieldSummary(
        name=name,
        n=n,
        base_right=base.count("right"),
        base_missing=base.count("missing"),
    )
    adapter = [other for _, other in states if other is not None]
    if len(adapter) == n:
        up = sum(other == "right" != one for one, other in states)
        down = sum(one == "right" != other for one, other in states)
        line.adapter_right, line.adapter_missing = adapter.count("right"), adapter.count("missing")
        line.difference = (up - down) / n
        line.difference_interval = tango(up, down, n)
        line.p = sign_test(up, down)
    return line
