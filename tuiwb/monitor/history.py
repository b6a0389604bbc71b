"""A job folder as something to watch: the state at once, the curves as its log is read."""

import threading
from pathlib import Path

import msgspec

from tuiwb.jobs.blocks import Block
from tuiwb.jobs.events import AnyEvent, Device, Log, Metrics, Progress, Sample
from tuiwb.jobs.folder import EVENTS
from tuiwb.jobs.standing import Standing
from tuiwb.jobs.state import JobState
from tuiwb.monitor.series import RunSeries
from tuiwb.monitor.series_file import WORTH, load_series, save_series

COMMANDS = frozenset({"stop", "checkpoint", "evaluate", "pause", "resume", "set"})
SHOWN = 200  # events of a poll worth showing, at most
_NUMBERS = frozenset({Metrics, Device, Progress})  # events that nobody reads as text
LONG = 10_000  # characters; nobody reads more of one text on a screen


class RunHistory:
    """See `Watched`. Curves of a long log are kept beside it: see `series_file`.

    Unless `alone`, a second process does part of the reading of a long log.
    """

    def __init__(self, folder: Path, *, alone: bool = False) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        log = folder / EVENTS
        kept = load_series(log)
        self.series = kept[0] if kept else RunSeries()
        self._standing = Standing(folder, kept[1] if kept else None, whole=True, alone=alone)
        self._generation = self._standing.generation
        self._kept = self._before = self._standing.log.offset
        self._new: list[AnyEvent] = []
        self._standing.poll(0.0, self._take)

    @property
    def name(self) -> str:
        """The job's name."""
        return self._standing.job.name

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self._standing.state

    @property
    def commands(self) -> frozenset[str]:
        """What a worker of this kind obeys."""
        return COMMANDS if self._standing.job.kind == "train" else frozenset({"stop"})

    @property
    def loaded(self) -> float:
        """The share of the log that is in the curves."""
        return 1.0 if self._standing.exact else min(self._standing.log.share, 0.999)

    def poll(self, seconds: float = 0.1) -> list[AnyEvent]:
        """Read on for about `seconds`; the newest events worth showing, in order."""
        with self._lock:
            caught_up = self._standing.exact
            self._standing.poll(seconds, self._take)
            self._notice()
            if caught_up:  # not in the poll that completes the curves: somebody waits for it
                self._keep(max(WORTH, self._kept // 4))
            shown, self._new = self._new[-SHOWN:], []
            return shown

    def keep(self) -> None:
        """Leave curves and state beside the log, if enough was read since the last time."""
        with self._lock:
            self._keep(WORTH)
            self._standing.keep()

    def _keep(self, worth: int) -> None:
        offset = self._standing.log.offset
        if self._standing.exact and offset - self._kept >= worth:
            self._kept = offset
            save_series(self._standing.log.path, offset, self.series, self._standing.folded)

    def _take(self, block: Block | list[AnyEvent]) -> None:
        self._notice()
        log = self._standing.log
        read = log.offset - self._before
        self._before = log.offset
        self.series.add_block(block, (log.size - log.offset) / read if read > 0 else 0.0)
        events = block if isinstance(block, list) else [event for _, event in block.others]
        self._new += [shortened(e) for e in events if type(e) not in _NUMBERS]
        del self._new[:-SHOWN]

    def _notice(self) -> None:
        """Start over when the log turned out to be another one."""
        if self._standing.generation != self._generation:
            self._generation, self._kept, self._before = self._standing.generation, 0, 0
            self.series, self._new = RunSeries(), []


def shortened(event: AnyEvent) -> AnyEvent:
    """An event whose text is no longer than a person reads."""
    match event:
        case Log() if len(event.message) > LONG:
            return msgspec.structs.replace(event, message=event.message[:LONG] + "…")
        case Sample() if len(event.text) > LONG or len(event.prompt) > LONG:
            return msgspec.structs.replace(
                event, prompt=event.prompt[:LONG], text=event.text[:LONG]
            )
        case _:
            return event
