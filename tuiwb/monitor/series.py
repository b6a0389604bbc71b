"""Metric series of a run, grown from its events as they come."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from tuiwb.jobs.events import AnyEvent, Artifact, Metrics


@dataclass
class Series:
    """One metric: optimiser steps and values, as long as each other; NaN marks a bad value."""

    steps: "array[float]" = field(default_factory=lambda: array("d"))
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.steps)

    def put(self, step: int, value: float) -> None:
        """Append a point; a run resumed from an earlier step takes back what it does again."""
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.values.pop()
        self.steps.append(step)
        self.values.append(value)


@dataclass
class RunSeries:
    """All metrics of a run by the trainer's names, when each training step was logged (unix
    seconds), and the steps of its checkpoints."""

    by_name: dict[str, Series] = field(default_factory=dict)
    times: Series = field(default_factory=Series)
    checkpoints: list[int] = field(default_factory=list)

    def add(self, events: Iterable[AnyEvent]) -> bool:
        """Take in events in order; whether anything was added."""
        added = False
        for event in events:
            if isinstance(event, Metrics):
                added = True
                if "loss" in event.values:
                    self.times.put(event.step, event.t)
                for name, value in event.values.items():
                    self.by_name.setdefault(name, Series()).put(event.step, value)
            elif isinstance(event, Artifact) and event.kind == "checkpoint":
                added = True
                self.checkpoints.append(event.step or 0)
        return added

    def get(self, name: str) -> Series:
        """The series of a name, empty when nothing was logged under it."""
        return self.by_name.get(name, Series())

    def seconds_left(self, total_steps: int, window: int = 20) -> float | None:
        """Seconds to the last step at the pace of the last `window` log lines; None if unknown."""
        steps, times = self.times.steps[-window:], self.times.values[-window:]
        if len(steps) < 2 or steps[-1] <= steps[0] or not total_steps:
            return None
        pace = (times[-1] - times[0]) / (steps[-1] - steps[0])
        return max(0.0, (total_steps - steps[-1]) * pace)
