"""What a rule is: a pure fold over events that says something once an episode.

In: events in order, and the run's spec. Out: alerts. An episode that is over is told by a note of
the same rule whose `numbers` hold `cleared`.
"""

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from tuiwb.jobs.events import Alert, AnyEvent, Metrics

CLEARED = "cleared"
# LoRA's usual learning rates, and one in their middle (Schulman 2025, "LoRA Without Regret").
USUAL_LOW, USUAL, USUAL_HIGH = 2e-5, 2e-4, 2e-3
LEAST = 0.02  # nats; losses below (and negative ones, as some methods have) count as this


class Batch(NamedTuple):
    """One batch of an optimiser step: its loss, and where its rows stand (file:line)."""

    step: int
    loss: float
    rows: list[str]


# The batch with the highest loss among steps first..last; None when it is not known any more.
WorstBatch = Callable[[int, int], Batch | None]


class Rule(Protocol):
    """One rule; `name` is what its alerts carry as `rule`."""

    name: str

    def add(self, event: AnyEvent) -> Iterable[Alert]:
        """Take in an event; what it makes the rule say, mostly nothing."""
        ...


def cleared(alert: Alert) -> bool:
    """Whether an alert says that an earlier one of its rule is over."""
    return CLEARED in alert.numbers


def open_alerts(alerts: Iterable[Alert]) -> list[Alert]:
    """Of a run's alerts in order, the last of each rule whose episode is not over."""
    latest: dict[str, Alert] = {}
    for alert in alerts:
        latest.pop(alert.rule, None)
        if not cleared(alert):
            latest[alert.rule] = alert
    return list(latest.values())


class Episode:
    """Hysteresis: fires when a condition has held `after` times in a row, clears after `calm`."""

    def __init__(self, after: int = 1, calm: int = 3) -> None:
        self.after, self.calm = after, calm
        self.open = False
        self._bad = self._good = 0

    def see(self, bad: bool, good: bool | None = None) -> str:
        """'fire' or 'clear' at the moment it does, else ''. `good`: surely over (not bad)."""
        good = not bad if good is None else good
        self._bad = self._bad + 1 if bad else 0
        self._good = self._good + 1 if good else 0
        if not self.open and self._bad >= self.after:
            self.open = True
            return "fire"
        if self.open and self._good >= self.calm:
            self.open = False
            return "clear"
        return ""


class Points:
    """One metric as (step, value), a step once; a resumed run takes back what it does again.

    With `most` only about the last so many are kept, so that a long run costs no more a step.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.steps: list[int] = []
        self.values: list[float] = []

    def __len__(self) -> int:
        return len(self.values)

    def put(self, step: int, value: float) -> None:
        """Append a point, dropping those at and after its step."""
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.values.pop()
        self.steps.append(step)
        self.values.append(value)
        if self.most is not None and len(self.steps) > 2 * self.most:
            del self.steps[: -self.most], self.values[: -self.most]

    def until(self, step: int) -> int:
        """How many of the kept points stand at or before a step."""
        return bisect_right(self.steps, step)


def setting(spec: dict[str, Any], key: str, default: Any = None) -> Any:
    """A value of the spec by its dotted key; `default` where it or a section is missing."""
    value: Any = spec
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            return default
        value = value[name]
    return default if value is None else value


def number(spec: dict[str, Any], key: str, default: float) -> float:
    """A number of the spec by its dotted key, `default` for anything else."""
    value = setting(spec, key, default)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else default


def section(value: Any) -> dict[str, Any]:
    """A part of a spec or of a file that ought to be a mapping; {} for anything else."""
    return value if isinstance(value, dict) else {}


def raised(spec: dict[str, Any], by: float) -> dict[str, Any]:
    """The change that raises the learning rate, never beyond what LoRA takes; {} without room."""
    rate = number(spec, "training.learning_rate", USUAL)
    higher = min(tidy(by * rate), USUAL_HIGH)
    return {"training.learning_rate": higher} if higher > rate > 0 else {}


def lowered(spec: dict[str, Any], by: float) -> dict[str, Any]:
    """The change that divides the learning rate, down to what LoRA takes at least; {} without one.

    From a rate far beyond the usual ones, a fifth is still far beyond them.
    """
    rate = number(spec, "training.learning_rate", 0.0)
    return {"training.learning_rate": min(tidy(rate / by), USUAL_HIGH)} if rate > 0 else {}


def warmup_of(spec: dict[str, Any], total: int) -> int:
    """Steps of warm-up; below 1 the setting is a share of the run."""
    warmup = number(spec, "training.warmup_steps", 0.0)
    return int(warmup) if warmup >= 1 else math.ceil(warmup * total)


def training_loss(event: AnyEvent) -> float | None:
    """The training loss of a log entry, None where it has none (evaluations, the summary)."""
    return event.values.get("loss") if isinstance(event, Metrics) else None


def middle(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return statistics.median(values) if values else math.nan


def spread(values: Sequence[float]) -> float:
    """1.4826 x the median absolute deviation: a standard deviation that outliers don't move."""
    centre = middle(values)
    return 1.4826 * middle([abs(v - centre) for v in values]) if values else math.nan


def log_noise(values: Sequence[float]) -> float:
    """The noise of a loss around its trend, as a share: in logarithms, for a loss's noise grows
    with its level, and from neighbours' differences, which a trend hardly touches.

    The larger of two estimates, as a few values can make either too small: the differences' MAD
    / sqrt(2), and their mean / 1.128 (d2 of control charts of moving ranges, n = 2).
    """
    logs = [math.log(max(v, LEAST)) for v in values]
    steps = [b - a for a, b in pairwise(logs)]
    if len(steps) < 2:
        return math.inf
    return max(spread(steps) / math.sqrt(2), sum(map(abs, steps)) / len(steps) / 1.128)


def times(value: float, level: float) -> float:
    """How many times the level, as a logarithm."""
    return math.log(max(value, LEAST) / max(level, LEAST))


def tidy(value: float) -> float:
    """A setting a person would write: two significant digits."""
    return float(f"{value:.1e}") if value else 0.0


def over(rule: str, evidence: str, step: int | None, **numbers: float) -> Alert:
    """The note that an episode is over."""
    return Alert(
        rule=rule,
        severity="note",
        evidence=evidence,
        numbers={**numbers, CLEARED: 1.0},
        step=step,
    )
