"""Where an axis has its ticks and what they say: 1/2/5 steps, decades, hours and minutes."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal

from tuiwb.text import short_seconds

Unit = Literal["value", "count", "time"]
UNITS: dict[str, Unit] = {"step": "count", "tokens": "count", "epoch": "value", "time": "time"}
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_HOURS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336)
TIME_STEPS = (*_SECONDS, *(3600 * h for h in _HOURS))


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers (1, 2, 5 times a power of ten) within [low, high]."""
    width = high - low
    if most < 1 or not math.isfinite(width) or width / most <= 0:
        return []
    power = 10.0 ** max(-300, math.floor(math.log10(width / most)))
    for factor in (1, 2, 5, 10, 20, 50, 100):
        ticks = _multiples(low, high, factor * power, most)
        if ticks is not None:
            return ticks
    return []


def count_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round whole numbers within [low, high]: there is no step 1.2. Where none
    lies within, the fractions."""
    if high - low < most and (whole := _multiples(low, high, 1, most)):
        return whole
    ticks = nice_ticks(low, high, most)
    # At the view's edge one may be clamped to what is no whole number.
    whole = [tick for tick in ticks if tick.is_integer()]
    if not whole and math.isfinite(high) and math.floor(high) >= low:
        whole = [float(math.floor(high))]
    return whole or ticks


def time_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers of seconds, minutes, hours or days within [low, high]."""
    if high - low < 2:
        return nice_ticks(low, high, most)
    for step in TIME_STEPS:
        if (high - low) / step <= most and (ticks := _multiples(low, high, step, most)) is not None:
            return ticks
    days = nice_ticks(low / 86400, high / 86400, most)
    return [min(max(day * 86400, low), high) for day in days]


def ticks_of(unit: Unit) -> Callable[[float, float, int], list[float]]:
    """What makes the ticks of an axis that counts, measures or tells the time."""
    if unit == "time":
        return time_ticks
    return count_ticks if unit == "count" else nice_ticks


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` values within [10**low, 10**high]: decades, thinned or with their 2 and 5."""
    if most < 1 or not math.isfinite(high - low) or high <= low:
        return []
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    decades = last - first + 1
    if decades >= 2:
        if 3 * decades - 2 <= most:
            return _within(first - 1, last, (1, 2, 5), low, high, most)
        stride = -(-decades // most)
        start = -(-first // stride) * stride
        return [_power(n) for n in range(start, last + 1, stride)] or [_power(first)]
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3)):
        ticks = _within(math.floor(low), math.ceil(high), steps, low, high, most)
        if len(ticks) >= 2:
            return ticks
    # Less than an octave: the scale is nearly linear.
    return [t for t in nice_ticks(_power(low), _power(high), most) if t > 0]


def label(value: float) -> str:
    """A number in few characters: 0.25, 1.2k, 3M, 2e-5."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.4g}{unit}"
    return f"{value:.4g}"


def reading(value: float) -> str:
    """A value read out, in four digits: 2.013, 1.2e-5, 4.81M, NaN, inf."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0 or 1e-3 <= abs(value) < 1e15:
        return label(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def labels(ticks: Sequence[float], unit: Unit = "value") -> list[str]:
    """The ticks of one axis with as many digits as tell them apart."""
    if not ticks:
        return []
    if unit == "time":
        if all(float(t).is_integer() for t in ticks):
            return [_clock(t) for t in ticks]
        return [f"{words}s" for words in _plain(ticks)]
    size = max(abs(t) for t in ticks)
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        divisor = 1e3 if suffix == "k" else limit
        if limit <= size < 1e15:
            return [w if w == "0" else w + suffix for w in _plain([t / divisor for t in ticks])]
    if size >= 1e15 or 0 < size < 1e-3:
        return _scientific(ticks)
    return _plain(ticks)


def spread(
    width: int,
    make: Callable[[int], Sequence[float]],
    place: Callable[[float], int],
    unit: Unit,
) -> list[tuple[int, str]]:
    """The most ticks whose labels fit a row of `width` cells with air between them, one in eight
    cells at most: (first cell, words)."""
    for most in range(max(width // 8, min(2, width)), 0, -1):
        ticks = list(make(most))
        words = labels(ticks, unit)
        placed: list[tuple[int, str]] = []
        free = 0
        for tick, text in zip(ticks, words, strict=True):
            start = max(0, min(place(tick) - (len(text) - 1) // 2, width - len(text)))
            if start < free or start + len(text) > width:
                break
            placed.append((start, text))
            free = start + len(text) + 3
        else:
            if placed:
                return placed
    return []


def _multiples(low: float, high: float, step: float, most: int) -> list[float] | None:
    """The multiples of `step` within [low, high], None if there are more than `most`."""
    first, last = low / step, high / step
    if not (math.isfinite(first) and math.isfinite(last)):
        return None
    start, end = math.ceil(first - 1e-9), math.floor(last + 1e-9)
    if end - start + 1 > most:
        return None
    # Clamped: n * step may round to just outside.
    ticks = [min(max(n * step, low), high) for n in range(start, end + 1)]
    return sorted(set(ticks))


def _within(
    first: int, last: int, steps: Sequence[int], low: float, high: float, most: int
) -> list[float]:
    values = [s * _power(n) for n in range(first, last + 1) for s in steps]
    ends = (_power(low) * (1 - 1e-9), _power(high) * (1 + 1e-9))
    inside = [v for v in values if ends[0] <= v <= ends[1]]
    return inside if len(inside) <= most else []


def _power(exponent: float) -> float:
    return math.pow(10.0, max(-320.0, min(308.0, exponent)))


def _plain(values: Sequence[float]) -> list[str]:
    gaps = [b - a for a, b in itertools.pairwise(values) if b > a]
    step = min(gaps, default=abs(values[0]) or 1.0)
    size = max(max(abs(v) for v in values), step)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for value in values:
        # A step of 2.5 needs the digit that its power of ten doesn't show.
        while digits < 12 and abs(round(value, digits) - value) > 1e-6 * step:
            digits += 1
    if not gaps:
        return [label(values[0])]
    if digits > 6 or len(f"{size:.0f}") + digits > 9:
        return _scientific(values)
    return ["0" if v == 0 else f"{v:.{digits}f}" for v in values]


def _scientific(values: Sequence[float]) -> list[str]:
    for digits in range(0, 5):
        words = []
        for value in values:
            mantissa, exponent = f"{value:.{digits}e}".split("e")
            words.append("0" if value == 0 else f"{mantissa}e{int(exponent)}")
        close = all(abs(float(w) - v) <= 1e-3 * abs(v) for w, v in zip(words, values, strict=True))
        if close and len(set(words)) == len(words):
            break
    return words


def _clock(seconds: float) -> str:
    """A tick of time: 0, 30s, 5m, 1h20m, 2d."""
    if seconds == 0:
        return "0"
    words = short_seconds(abs(seconds))
    for zero in ("00s", "00m", "00h"):
        words = words.removesuffix(zero)
    return f"-{words}" if seconds < 0 else words
