"""Whatever can be watched as a run: a job folder of ours, or another tool's output folder."""

from pathlib import Path
from typing import Protocol

from tuiwb.jobs.events import AnyEvent
from tuiwb.jobs.folder import JOB
from tuiwb.jobs.state import JobState
from tuiwb.monitor.series import RunSeries


class Watched(Protocol):
    """A run to look at. `state` is there from the start, the curves fill in with each poll."""

    @property
    def name(self) -> str:
        """What the run is called."""

    @property
    def folder(self) -> Path:
        """Where it lives."""

    @property
    def state(self) -> JobState:
        """Where it stands; another object after each change."""

    @property
    def series(self) -> RunSeries:
        """Its curves; another object when the log was replaced by another."""

    @property
    def loaded(self) -> float:
        """The share of the history that has been read, 1.0 for all of it."""

    @property
    def commands(self) -> frozenset[str]:
        """The commands of `jobs.send` that it obeys; none for another tool's folder."""

    def poll(self, seconds: float = 0.1) -> list[AnyEvent]:
        """Read on for about so long at most; the newest events worth showing (logs, alerts,
        states), not every metric. Safe from several threads."""


def open_watched(folder: Path) -> Watched:
    """What is in `folder`, ready to be watched; BadInput when nothing that can be is there."""
    if (folder / JOB).is_file():
        from tuiwb.monitor.history import RunHistory

        return RunHistory(folder)
    from tuiwb.monitor.foreign import open_foreign

    return open_foreign(folder)
