"""Keep up with jobs while they run: each poll reads only what was added."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import AnyEvent, EventReader
from tuiwb.jobs.folder import EVENTS, load
from tuiwb.jobs.standing import Standing
from tuiwb.jobs.state import ENDED, JobState, fold, settle

READ = 8 << 20  # bytes; a long history comes in several polls, so that memory stays bounded


class Follower:
    """One job: `poll()` returns the events since the last poll and keeps `state` up to date.

    When the log was replaced by another (a run that goes on from an earlier checkpoint),
    `generation` rises and the events come from the beginning again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = load(folder)
        self._reader = EventReader(folder / EVENTS)
        self._lock = threading.Lock()
        self.generation = 0
        self._folded = self._nothing_yet()
        self.state = msgspec.structs.replace(self._folded)

    def poll(self) -> list[AnyEvent]:
        """Read on; a job that died is told from its process, not from its silence.

        Safe from several threads: each event is returned once, and folded in order.
        """
        with self._lock:
            events = self._reader.read(limit=READ)
            if self._reader.generation != self.generation:
                self.generation = self._reader.generation
                self._folded = self._nothing_yet()
            fold(self._folded, events)
            self.state = settle(msgspec.structs.replace(self._folded), self.folder)
            return events

    @property
    def share(self) -> float:
        """How much of the log has been read, as a share of it."""
        return min(1.0, self._reader.offset / self._reader.size) if self._reader.size else 1.0

    def _nothing_yet(self) -> JobState:
        return JobState.of(self.job)

    @property
    def quiet(self) -> bool:
        """Whether nothing was added since the last poll of a job that has ended."""
        if self.state.state not in ENDED:
            return False
        try:
            return (self.folder / EVENTS).stat().st_size == self._reader.offset
        except OSError:
            return True


class Feed:
    """All jobs of a project: `poll()` returns the states that changed.

    A job with a long log is there at once with what its end says; what needs the whole log (best
    losses, artifacts, alerts) is filled in by later polls.
    """

    def __init__(self) -> None:
        self._standings: dict[Path, Standing] = {}

    def poll(
        self, folders: Iterable[Path], seconds: float = 0.3
    ) -> tuple[dict[Path, JobState], bool]:
        """States by folder, and whether any differs from the last poll; `seconds` is about how
        long it reads on in logs that are long."""
        folders = list(folders)
        until = time.monotonic() + seconds
        changed = set(folders) != set(self._standings)
        for gone in set(self._standings) - set(folders):
            del self._standings[gone]
        for folder in folders:
            try:
                standing = self._standings.get(folder)
                if standing is None:
                    standing = self._standings[folder] = Standing(folder)
                    changed = True
                elif standing.quiet:
                    continue
                before = standing.state.state
                new = standing.poll(max(0.0, until - time.monotonic()))
                changed = changed or new or before != standing.state.state
            except (TuiwbError, OSError):
                self._standings.pop(folder, None)
        return {folder: s.state for folder, s in self._standings.items()}, changed
