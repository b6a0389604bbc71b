"""Metric series of a run, grown from its events as they come.

Names that are always logged together share their x columns (a track): a million log lines of eight
values are eleven columns, not thirty-two.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from tuiwb.jobs.blocks import Block, Group
from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Device, Metrics
from tuiwb.monitor.clock import Clock
from tuiwb.monitor.columns import Column, Floats
from tuiwb.monitor.device_past import DevicePast
from tuiwb.monitor.thinned import DeviceHistory

Axis = Literal["step", "tokens", "epoch", "time"]
TOKENS = "num_tokens"  # TRL's running count of trained tokens
_TAKEN = frozenset({Artifact, Alert})  # what `RunSeries._take` looks at, beside the many samples
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


class SeriesParts(msgspec.Struct, kw_only=True):
    """What a run's series hold beside their columns, to be kept in a file."""

    names: list[str] = []
    checkpoints: list[int] = []
    alerts: list[Alert] = []
    devices: DeviceHistory = msgspec.field(default_factory=DeviceHistory)
    hands: tuple[float | None, float, float] = (None, 0.0, 0.0)


class TrackParts(NamedTuple):
    """A track's names and columns: steps, seconds, epochs, then the values of each name."""

    names: list[str]
    columns: list[Column]

    @staticmethod
    def columns_of(names: list[str]) -> int:
        """How many columns a track of these names has."""
        return 3 + len(names)


class RunSeries:
    """All metrics of a run by the trainer's names, and what else happened along its steps.

    `version` rises with each change. Seconds run forward only: see `Clock`.
    """

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._tracks: dict[str, Track] = {}
        self._clock = Clock()
        self._devices = DeviceHistory()
        self._past = DevicePast()
        self.checkpoints: list[int] = []
        self.alerts: list[Alert] = []
        self.version = 0
        self._more = 0.0

    @property
    def devices(self) -> DevicePast:
        """The past of the hardware in numbers; thinned when there are many samples."""
        self._past.follow(self._devices)
        return self._past

    def device_samples(self) -> list[Device]:
        """The samples of the hardware that are kept, newest last."""
        return self._devices.samples

    @property
    def evaluations(self) -> list[int]:
        """The steps at which the held-out loss was measured."""
        names = [n for n in self.names() if n.startswith("eval_") and n.endswith("loss")]
        steps = {int(step) for name in names for step in self.get(name).steps.tolist()}
        return sorted(steps)

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
            if isinstance(event, Metrics):
                self._put(event, seconds)
                added = True
            else:
                added = self._take(event) or added
        self.version += added
        return added

    def _take(self, event: AnyEvent) -> bool:
        """An event that is no metrics; whether it says anything here."""
        match event:
            case Artifact(kind="checkpoint"):
                self.checkpoints.append(event.step or 0)
            case Alert():
                self.alerts.append(event)
            case Device():
                self._devices.add(event)
            case _:
                return False
        return True

    def add_block(self, block: Block | list[AnyEvent], more: float = 0.0) -> None:
        """Take in a block of events; the result is that of taking them in one by one.

        So many times as much as the block is known to come: names that are new get room for it.
        """
        self._more = 1.02 * more + 1 if more else 0.0
        if isinstance(block, list):
            self.add(block)
            return
        seconds = self._clock.at_all(block.times)[block.places]
        for group in block.groups:
            rows = group.rows
            self._put_rows(group, block.steps[rows], seconds[rows], block.epochs[rows])
        samples = []
        for _, event in block.others:
            if type(event) is Device:
                samples.append(event)
            elif type(event) in _TAKEN:
                self._take(event)
        self._devices.add(*samples)
        self.version += 1

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

    def _put_rows(self, group: Group, steps: Floats, seconds: Floats, epochs: Floats) -> None:
        values = group.values
        lowest = float(steps.min())
        # Of a step that is done again only the last time counts, as in `_put`.
        later = np.minimum.accumulate(steps[::-1])[::-1]
        kept = np.append(steps[:-1] < later[1:], True)
        again = not kept.all()
        if again:
            steps, seconds, epochs = steps[kept], seconds[kept], epochs[kept]
            values = values[kept]
        column = {name: n for n, name in enumerate(group.names)}
        room = math.ceil(len(steps) * self._more)
        for track in self._tracks_of(group.names):
            self._take_back(track, lowest)
            if room and len(track.steps) < len(steps):
                for each in self._columns_of(track):
                    each.reserve(len(each) + room)
            for name in track.names:
                series = self._series[name]
                series._values.extend(values[:, column[name]])
                series.generation += again
            track.seconds.extend(seconds)
            track.epochs.extend(epochs)
            track.steps.extend(steps)

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

    def _columns_of(self, track: Track) -> list[Column]:
        values = [self._series[name]._values for name in track.names]
        return [track.steps, track.seconds, track.epochs, *values]

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

    def parts(self) -> tuple[SeriesParts, list[TrackParts]]:
        """Everything, to be kept in a file; `of` makes the same again."""
        parts = SeriesParts(
            names=self.names(),
            checkpoints=self.checkpoints,
            alerts=self.alerts,
            devices=self._devices,
            hands=self._clock.hands,
        )
        tracks = {id(track): track for track in self._tracks.values()}.values()
        return parts, [TrackParts(track.names, self._columns_of(track)) for track in tracks]

    @classmethod
    def of(cls, parts: SeriesParts, tracks: list[TrackParts]) -> "RunSeries":
        """The series of `parts`, which it takes over. ValueError where they don't go together."""
        run = cls()
        run._series = {name: Series() for name in parts.names}
        for names, (steps, seconds, epochs, *values) in tracks:
            track = Track(names)
            track.steps, track.seconds, track.epochs = steps, seconds, epochs
            for name, column in zip(names, values, strict=True):
                if name in run._tracks or name not in run._series:
                    raise ValueError(name)
                run._tracks[name] = run._series[name]._track = track
                run._series[name]._values = column
        if set(run._tracks) != set(run._series):
            raise ValueError("a name without a track")
        run._clock = Clock(*parts.hands)
        run._devices, run.checkpoints, run.alerts = parts.devices, parts.checkpoints, parts.alerts
        run.version = 1
        return run
