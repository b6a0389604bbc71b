"""Metric series of a run, grown from its events as they come.

Names that are always logged together share their x columns (a track): a million log lines of eight
values are eleven columns, not thirty-two.
"""

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Device, Metrics
from tuiwb.monitor.clock import Clock
from tuiwb.monitor.columns import Column, Floats
from tuiwb.monitor.thinned import DeviceHistory

Axis = Literal["step", "tokens", "epoch", "time"]
TOKENS = "num_tokens"  # TRL's running count of trained tokens
EVALUATED = "eval_loss"
HELD_UP = 60  # times the median: an interval so long was a pause, not the pace


class Track:
    """The x columns of names logged together: step, seconds since the first event, epoch."""

    __slots__ = ("epochs", "names", "seconds", "steps")

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.steps, self.seconds, self.epochs = Column(), Column(), Column()

    def split(self, names: list[str]) -> "Track":
        """A track of its own, with the same rows, for some of the names."""
        new = Track(names)
        self.names = [name for name in self.names if name not in names]
        new.steps = Column(self.steps.view())
        new.seconds = Column(self.seconds.view())
        new.epochs = Column(self.epochs.view())
        return new

    def put(self, step: float, seconds: float, epoch: float) -> None:
        """Append a row."""
        self.seconds.put(seconds)
        self.epochs.put(epoch)
        self.steps.put(step)

    def cut(self, length: int) -> None:
        """Keep only the first rows."""
        for column in (self.steps, self.seconds, self.epochs):
            column.cut(length)


class Series:
    """One metric: optimiser steps, strictly rising, and values as logged (NaN and infinity too).

    `generation` rises whenever anything but an append happened. Another thread may append between
    two looks at `steps` and `values`: `RunSeries.points` gives both with one length.
    """

    __slots__ = ("_track", "_values", "generation")

    def __init__(self, track: Track | None = None) -> None:
        self._track = track or Track([])
        self._values = Column()
        self.generation = 0

    def __len__(self) -> int:
        return len(self._values)

    @property
    def steps(self) -> Floats:
        """The optimiser step of each value; a view, not to be kept."""
        return self._track.steps.view()[: len(self._values)]

    @property
    def values(self) -> Floats:
        """The values; a view, not to be kept."""
        return self._values.view()


class RunSeries:
    """All metrics of a run by the trainer's names, and what else happened along its steps.

    `version` rises with each change. Seconds run forward only: see `Clock`.
    """

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._tracks: dict[str, Track] = {}
        self._clock = Clock()
        self._devices = DeviceHistory()
        self.checkpoints: list[int] = []
        self.evaluations: list[int] = []
        self.alerts: list[Alert] = []
        self.version = 0

    @property
    def devices(self) -> list[Device]:
        """Samples of the hardware, newest last; thinned when there are many."""
        return self._devices.samples

    def names(self) -> list[str]:
        """The names logged so far, in order of first appearance."""
        return list(self._series)

    def get(self, name: str) -> Series:
        """The series of a name, empty when nothing was logged under it."""
        return self._series.get(name) or Series()

    def x(self, name: str, axis: Axis = "step") -> Floats:
        """Where each value of `name` stands on an axis; as long as `get(name)`.

        Time is in seconds since the run's first event. Tokens are the trainer's count at that
        step, NaN before the first; an epoch that was not logged is NaN.
        """
        series = self.get(name)
        track, length = series._track, len(series)
        match axis:
            case "time":
                return track.seconds.view()[:length]
            case "epoch":
                return track.epochs.view()[:length]
            case "tokens":
                return self._tokens(track, length)
            case _:
                return track.steps.view()[:length]

    def points(self, name: str, axis: Axis = "step") -> tuple[Floats, Floats]:
        """x and values of a name, as long as each other whatever is appended meanwhile."""
        x, values = self.x(name, axis), self.get(name).values
        length = min(len(x), len(values))
        return x[:length], values[:length]

    def add(self, events: Iterable[AnyEvent]) -> bool:
        """Take in events in order; whether anything was added."""
        added = False
        for event in events:
            seconds = self._clock.at(event.t)
            match event:
                case Metrics():
                    self._put(event, seconds)
                case Artifact(kind="checkpoint"):
                    self.checkpoints.append(event.step or 0)
                case Alert():
                    self.alerts.append(event)
                case Device():
                    self._devices.add(event)
                case _:
                    continue
            added = True
        self.version += added
        return added

    def seconds_left(self, total_steps: int, window: int = 20) -> float | None:
        """Seconds to the last step at the pace of the last `window` log lines; None if unknown.

        Pauses, and leaps of the clock, are left out of the pace.
        """
        track = self.get("loss")._track
        steps, seconds = track.steps.view()[-window:], track.seconds.view()[-window:]
        if len(steps) < 2 or not total_steps:
            return None
        did, took = np.diff(steps), np.diff(seconds)
        pace = took / did
        kept = pace <= HELD_UP * np.median(pace)
        if not did[kept].sum():
            return None
        each = float(took[kept].sum() / did[kept].sum())
        return max(0.0, (total_steps - float(steps[-1])) * each)

    def _put(self, event: Metrics, seconds: float) -> None:
        epoch = math.nan if event.epoch is None else event.epoch
        for track in self._tracks_of(tuple(event.values)):
            self._take_back(track, event.step)
            for name in track.names:
                self._series[name]._values.put(event.values[name])
            track.put(event.step, seconds, epoch)
        if EVALUATED in event.values:
            self._evaluated(event.step)

    def _evaluated(self, step: int) -> None:
        while self.evaluations and self.evaluations[-1] >= step:
            self.evaluations.pop()
        self.evaluations.append(step)

    def _tracks_of(self, names: tuple[str, ...]) -> list[Track]:
        """The tracks that together hold exactly these names; made and split as needed."""
        new = [name for name in names if name not in self._series]
        if new:
            track = Track(new)
            for name in new:
                self._tracks[name] = track
                self._series[name] = Series(track)
        found: list[Track] = []
        for track in {id(t): t for t in (self._tracks[name] for name in names)}.values():
            here = [name for name in track.names if name in names]
            if len(here) != len(track.names):
                track = track.split(here)
                for name in here:
                    self._tracks[name] = self._series[name]._track = track
            found.append(track)
        return found

    def _take_back(self, track: Track, step: float) -> None:
        """A run that went on from an earlier step takes back what it does again."""
        if not len(track.steps) or track.steps.last() < step:
            return
        length = int(np.searchsorted(track.steps.view(), step))
        for name in track.names:
            series = self._series[name]
            series._values.cut(length)
            series.generation += 1
        track.cut(length)

    def _tokens(self, track: Track, length: int) -> Floats:
        if TOKENS in track.names:
            return self._series[TOKENS].values[:length]
        counted = self.get(TOKENS)
        steps = track.steps.view()[:length]
        if not len(counted):
            return np.full(length, np.nan)
        at = np.searchsorted(counted.steps, steps, side="right") - 1
        return np.where(at >= 0, counted.values[np.maximum(at, 0)], np.nan)
