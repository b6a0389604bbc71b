"""A folder that another tool writes, as something to watch. It obeys nothing: it is only read."""

import threading
import time
from pathlib import Path

import msgspec

from tuiwb.jobs.events import AnyEvent, Artifact
from tuiwb.jobs.state import JobState, fold
from tuiwb.monitor.foreign.source import Reading, Source
from tuiwb.monitor.series import RunSeries
from tuiwb.text import short_seconds

LATELY = 600.0  # seconds; a file that changed in the last ten minutes is being written
PATIENCE = 2.5  # times the pause between two checkpoints, where that is longer


class ForeignRun:
    """See `tuiwb.monitor.watched.Watched`.

    Several sources may tell of the same steps (a trainer's state and its TensorBoard events): each
    value is taken from the first that has it. Nobody tells whether the process lives: the state is
    "finished" when the files say so, "running" when they changed lately, else "quiet" (also when
    none can be read, and then `unread` says why), and its message says when they were last written.
    """

    commands: frozenset[str] = frozenset()

    def __init__(self, folder: Path, sources: list[Source]) -> None:
        self.folder = folder
        self.name = folder.resolve().name or str(folder)
        self.series = RunSeries()
        self.unread = ""
        self._sources = sources
        self._lock = threading.Lock()
        self._begin()
        self.state = msgspec.structs.replace(self._folded, metrics={})
        # Where it stands is there from the start; the rest of long files comes with the polls.
        self.poll()

    def _begin(self) -> None:
        self._folded = JobState(name=self.name, kind="train")
        self._last: dict[str, tuple[int, int]] = {}
        self._said: dict[int, Reading] = {}
        self._saved: set[int] = set()
        self._began: float | None = None

    @property
    def loaded(self) -> float:
        """The share of the files read so far."""
        return min(source.done for source in self._sources)

    def poll(self, seconds: float = 0.1) -> list[AnyEvent]:
        """Read on what changed; returns new checkpoints."""
        with self._lock:
            found = self._look(seconds)
            if any(reading.anew for reading in found.values()) and self._said:
                for source in self._sources:
                    source.restart()
                self._begin()
                self.series = RunSeries()
                found = self._look(seconds)
            shown: list[AnyEvent] = []
            for number, reading in found.items():
                fresh = self._fresh(number, reading)
                if self._began is None and fresh:
                    self._began = min(event.t for event in fresh)
                fold(self._folded, fresh)
                self.series.add(fresh)
                shown += [event for event in fresh if isinstance(event, Artifact)]
            self._stand(time.time())
            return shown[-200:]

    def _look(self, seconds: float) -> dict[int, Reading]:
        found = {}
        for number, source in enumerate(self._sources):
            reading = source.poll(seconds / len(self._sources))
            if reading is not None:
                found[number] = reading
        return found

    def _fresh(self, number: int, reading: Reading) -> list[AnyEvent]:
        """The events that no other source has told of, and what the reading says kept."""
        events: list[AnyEvent] = []
        for event in reading.events:
            if isinstance(event, Artifact):
                if event.step not in self._saved:
                    self._saved.add(event.step or 0)
                    events.append(event)
                continue
            values = {k: v for k, v in event.values.items() if self._new(k, event.step, number)}
            if values:
                events.append(msgspec.structs.replace(event, values=values))
        before = self._said.get(number)
        self._said[number] = msgspec.structs.replace(
            reading,
            events=[],
            written=reading.written or (before.written if before else 0.0),
            total_steps=reading.total_steps or (before.total_steps if before else 0),
            between=reading.between or (before.between if before else 0.0),
        )
        return events

    def _new(self, name: str, step: int, source: int) -> bool:
        told, by = self._last.get(name, (-1, source))
        if step <= told and by != source:
            return False
        self._last[name] = (step, source)
        return True

    def _stand(self, now: float) -> None:
        """Where it stands, as far as files can tell."""
        said = list(self._said.values())
        state = self._folded
        state.total_steps = max([state.total_steps, *(r.total_steps for r in said)])
        written = max([0.0, *(r.written for r in said)])
        end = next((r.end for r in said if r.end), "")
        if not end and state.total_steps and state.step >= state.total_steps:
            end = "finished"
        patience = max([LATELY, *(PATIENCE * r.between for r in said)])
        state.seen = written or None
        state.started = self._began
        state.created = self._began or written
        state.tally.active = max(0.0, written - (self._began or written))
        state.ended = written if end else None
        problem = next((r.problem for r in said if r.problem), "")
        self.unread = "" if self.series.names() else problem
        lately = now - written <= patience and not self.unread
        state.state = end or ("running" if lately else "quiet")
        state.phase = "training" if state.state == "running" else ""
        words = f"last written {_ago(now - written)}" if written else "nothing is logged yet"
        # Where nothing could be read, why is what counts.
        said_in_order = (problem, words) if self.unread else (words, problem)
        state.message = "; ".join(filter(None, said_in_order))
        if self.state != state:
            self.state = msgspec.structs.replace(state, metrics=dict(state.metrics))


def _ago(seconds: float) -> str:
    """How long ago, in words that change seldom."""
    if seconds < 60:
        return "less than a minute ago"
    grain = 60 if seconds < 3600 else 3600 if seconds < 86400 else 86400
    whole = seconds // grain * grain
    return (
        f"{short_seconds(whole).replace('m00s', 'm').replace('h00m', 'h').replace('d00h', 'd')} ago"
    )
