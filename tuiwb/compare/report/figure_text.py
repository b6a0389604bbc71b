"""Figures as text: the cells of the tables that screen, command line and reports show. Pure."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from tuiwb.compare.completions import Side
from tuiwb.compare.metrics.json_fields import FieldSummary
from tuiwb.compare.metrics.slices import Slice
from tuiwb.compare.metrics.task import ALPHA, MetricSummary
from tuiwb.compare.stats.counts import Interval

UNITS = {"seconds": "s", "tokens/s": "tok/s", "tokens": "tokens", "characters": "characters"}
ANSWER_HEAD = ("side", "tokens", "tokens/s", "cut at the limit", "empty")


class FigureRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a figures table, every cell as text; `verdict` is 'better', 'worse' or '' with
    all tests counted in, `p` of this test alone."""

    metric: str
    n: str
    base: str
    adapter: str
    difference: str
    counts: str
    p: str
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of `head`."""
        return (
            self.metric,
            self.n,
            self.base,
            self.adapter,
            self.difference,
            self.counts,
            self.p,
            self.verdict,
        )


def head(base: str = "base", adapter: str = "fine-tune", first: str = "metric") -> tuple[str, ...]:
    """What stands over a table of `FigureRow`s."""
    return (first, "n", base, adapter, "difference [95%]", "+/-", "p", "so")


def cells(rows: Iterable[FigureRow]) -> list[tuple[str, ...]]:
    """The cells of each row, in the order of `head`."""
    return [row.cells for row in rows]


def figure_rows(lines: Iterable[MetricSummary]) -> list[FigureRow]:
    """A row for each metric."""
    return [figure_row(line) for line in lines]


def figure_row(line: MetricSummary, label: str | None = None) -> FigureRow:
    """The row of one metric, under another label where one is given; else with its unit."""
    unit = f" ({UNITS[line.unit]})" if line.unit in UNITS else ""
    return FigureRow(
        metric=line.label + unit if label is None else label,
        n=str(line.n),
        base=figure(line, adapter=False),
        adapter=figure(line, adapter=True),
        difference=difference(line),
        counts=f"{line.better}/{line.worse}" if line.p is not None else "-",
        p=p_value(line.p),
        verdict=line.verdict,
    )


def slice_rows(slices: Iterable[Slice]) -> list[FigureRow]:
    """A row for each slice, under its value; those with few prompts say so."""
    return [figure_row(s.line, s.value + (" (few)" if s.small else "")) for s in slices]


def slices_by_tag(slices: Iterable[Slice]) -> dict[str, list[Slice]]:
    """The slices of each tag, in their order."""
    found: dict[str, list[Slice]] = {}
    for one in slices:
        found.setdefault(one.by, []).append(one)
    return found


def field_rows(fields: Iterable[FieldSummary]) -> list[tuple[str, ...]]:
    """The cells of each JSON field: name, n, right of n and missing by side, difference, p."""
    return [
        (
            line.name,
            str(line.n),
            _right(line.base_right, line.base_missing, line.n),
            _right(line.adapter_right, line.adapter_missing, line.n),
            _points(line.difference, line.difference_interval),
            p_value(line.p),
        )
        for line in fields
    ]


def field_head(base: str = "base", adapter: str = "fine-tune") -> tuple[str, ...]:
    """What stands over `field_rows`."""
    return ("field", "n", base, adapter, "difference [95%]", "p")


def answer_rows(answers: Iterable[tuple[str, Side]]) -> list[tuple[str, ...]]:
    """The cells of each side's answers by its label, in the order of `ANSWER_HEAD`."""
    return [
        (
            label,
            f"{side.tokens:,}",
            f"{side.tokens_per_second:.0f}",
            str(side.cut),
            str(side.empty),
        )
        for label, side in answers
    ]


def figure(line: MetricSummary, *, adapter: bool) -> str:
    """One side of a metric: '48/50' for yes/no metrics, '93.5%' for graded ones, '12.3' for what
    has another unit; '-' if absent."""
    right, mean = (line.adapter_right, line.adapter) if adapter else (line.base_right, line.base)
    if mean is None:
        return "-"
    if line.unit != "share":
        return number(mean)
    return f"{100 * mean:.1f}%" if line.graded else f"{right}/{line.n}"


def difference(line: MetricSummary) -> str:
    """'+96.0 [+90.0, +100.0]' in percentage points or in the metric's unit, '-' without one."""
    if line.unit == "share":
        return _points(line.difference, line.difference_interval)
    if line.difference is None:
        return "-"
    interval = line.difference_interval
    values = [line.difference, *((interval.low, interval.high) if interval else ())]
    # The digits of the largest: an interval's ends are not told closer than its middle.
    digits = _decimals(max(map(abs, values)))
    texts = [number(value) if digits is None else f"{value:+,.{digits}f}" for value in values]
    return texts[0] + (f" [{texts[1]}, {texts[2]}]" if interval else "")


def p_value(p: float | None) -> str:
    """'<.001' or three digits; beside .05, which decides, as many as tell on which side it is."""
    if p is None:
        return "-"
    if p < 0.001:
        return "<.001"
    digits = next((d for d in range(3, 9) if round(p, d) != ALPHA), 3)
    return f"{p:.{digits}f}"


def number(value: float) -> str:
    """Three digits that count: '0.0123', '4.57', '123', '12,346'; beyond a million as a power."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = _decimals(abs(value))
    return f"{value:.2e}" if digits is None else f"{value:,.{digits}f}"


def _decimals(size: float) -> int | None:
    """Places after the point for three digits; None where a power of ten is better."""
    if size == 0 or not 1e-4 <= size < 1e6:
        return 0 if size == 0 else None
    return max(0, 2 - math.floor(math.log10(size)))


def percent(rate: float | None, interval: Interval | None = None) -> str:
    """'63.4% [57.1, 69.2]'; '-' for none."""
    if rate is None:
        return "-"
    bounds = f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""
    return f"{100 * rate:.1f}%{bounds}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of columns of equal width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _points(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "-"
    bounds = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if interval else ""
    return f"{100 * value:+.1f}{bounds}"


def _right(right: int | None, missing: int | None, n: int) -> str:
    if right is None:
        return "-"
    return f"{right}/{n}" + (f" ({missing} missing)" if missing else "")
