"""Keep up with jobs while they run: each poll reads only what was added."""

import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import AnyEvent, EventReader
from tuiwb.jobs.folder import EVENTS, load
from tuiwb.jobs.state import ENDED, JobState, fold, settle


class Follower:
    """One job: `poll()` returns the events since the last poll and keeps `state` up to date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = load(folder)
        self._reader = EventReader(folder / EVENTS)
        self._lock = threading.Lock()
        self._folded = JobState(name=self.job.name, kind=self.job.kind, created=self.job.created)
        self.state = msgspec.structs.replace(self._folded)

    def poll(self) -> list[AnyEvent]:
        """Read on; a job that died is told from its process, not from its silence.

        Safe from several threads: each event is returned once, and folded in order.
        """
        with self._lock:
            events = self._reader.read()
            fold(self._folded, events)
            self.state = settle(msgspec.structs.replace(self._folded), self.folder)
            return events

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
    """All jobs of a project: `poll()` returns the states that changed."""

    def __init__(self) -> None:
        self._followers: dict[Path, Follower] = {}

    def poll(self, folders: Iterable[Path]) -> tuple[dict[Path, JobState], bool]:
        """States by folder, and whether any differs from the last poll."""
        folders = list(folders)
        changed = set(folders) != set(self._followers)
        for gone in set(self._followers) - set(folders):
            del self._followers[gone]
        for folder in folders:
            try:
                follower = self._followers.get(folder)
                if follower is None:
                    follower = self._followers[folder] = Follower(folder)
                elif follower.quiet:
                    continue
                before = follower.state
                events = follower.poll()
                changed = changed or bool(events) or before.state != follower.state.state
            except (TuiwbError, OSError):
                self._followers.pop(folder, None)
        return {folder: f.state for folder, f in self._followers.items()}, changed
