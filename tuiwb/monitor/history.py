"""A job folder as something to watch: the state at once, the curves as its log is read."""

import threading
import time
from pathlib import Path

from tuiwb.jobs.events import AnyEvent, Device, Metrics, Progress
from tuiwb.jobs.follow import Follower
from tuiwb.jobs.state import JobState
from tuiwb.monitor.series import RunSeries

COMMANDS = frozenset({"stop", "checkpoint", "evaluate", "pause", "resume", "set"})
SHOWN = 200  # events of a poll worth showing, at most


class RunHistory:
    """See `Watched`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.series = RunSeries()
        self.loaded = 0.0
        self._lock = threading.Lock()
        self._follower = Follower(folder)
        self._generation = self._follower.generation

    @property
    def name(self) -> str:
        """The job's name."""
        return self._follower.job.name

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self._follower.state

    @property
    def commands(self) -> frozenset[str]:
        """What a worker of this kind obeys."""
        return COMMANDS if self._follower.job.kind == "train" else frozenset({"stop"})

    def poll(self, seconds: float = 0.1) -> list[AnyEvent]:
        """Read on for about `seconds`; the newest events worth showing."""
        until = time.monotonic() + seconds
        shown: list[AnyEvent] = []
        with self._lock:
            while True:
                events = self._follower.poll()
                if self._follower.generation != self._generation:
                    self._generation, self.series = self._follower.generation, RunSeries()
                self.series.add(events)
                shown += [e for e in events if not isinstance(e, Metrics | Device | Progress)]
                if not events or time.monotonic() >= until:
                    self.loaded = 1.0 if not events else self._follower.share
                    return shown[-SHOWN:]
