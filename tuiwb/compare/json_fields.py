"""The fields of JSON references one by one: which of them each side gets right."""

from collections.abc import Sequence

import msgspec

from tuiwb.compare import metrics
from tuiwb.compare.paired import holm, tango
from tuiwb.compare.scored import Asked
from tuiwb.compare.stats import Interval, sign_test


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
    """Each field of the JSON references, in the order first seen."""
    found: dict[str, list[Asked]] = {}
    for one in pairs:
        expected = metrics.parse_json(one.reference or "")
        for name in expected if isinstance(expected, dict) else ():
            found.setdefault(name, []).append(one)
    lines = [_field(name, having, paired) for name, having in found.items()]
    known = [line.p for line in lines if line.p is not None]
    for line, p in zip(lines, holm(known), strict=False):
        line.p_holm = p
    return lines


def _field(name: str, having: Sequence[Asked], paired: bool) -> FieldSummary:
    base = [_state(pair.base.text, pair.reference or "", name) for pair in having]
    line = FieldSummary(
        name=name,
        n=len(having),
        base_right=base.count("right"),
        base_missing=base.count("missing"),
    )
    if paired:
        adapter = [
            _state(pair.adapter.text, pair.reference or "", name)
            for pair in having
            if pair.adapter is not None
        ]
        both = list(zip(adapter, base, strict=True))
        up = sum(a == "right" != b for a, b in both)
        down = sum(b == "right" != a for a, b in both)
        line.adapter_right, line.adapter_missing = adapter.count("right"), adapter.count("missing")
        line.difference = (up - down) / len(having)
        line.difference_interval = tango(up, down, len(having))
        line.p = sign_test(up, down)
    return line


def _state(answer: str, reference: str, name: str) -> str:
    if (metrics.field_results(answer, reference) or {}).get(name):
        return "right"
    given = metrics.parse_json(answer)
    return "wrong" if isinstance(given, dict) and name in given else "missing"
