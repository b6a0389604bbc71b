"""TRL's and transformers' output folder: trainer_state.json at its top or in its checkpoints.

The trainer writes it with each checkpoint (checkpoint-N/) and once more at the end, so that the
newest one holds the whole log up to then. It has no times: those of the entries between two
checkpoints are interpolated from the times of the checkpoints' files.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from tuiwb.jobs.events import Artifact, Metrics
from tuiwb.monitor.foreign.source import Reading, number, trainer_name

STATE = "trainer_state.json"
MOST_BYTES = 1 << 29
TRIED = 3  # of the newest checkpoints: the last may be half written
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")

Stamp = tuple[int, int, int]


class Point(NamedTuple):
    """When a step's file was written: what places the steps in time."""

    step: int
    written: float


class TrainerStateSource:
    """Reads the newest trainer_state.json again when it, or the list of checkpoints, changed."""

    what = STATE

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restart()

    def restart(self) -> None:
        """Give everything again at the next poll."""
        self._stamps: dict[Path, Stamp] = {}
        self._steps: list[int] = []
        self._last = ""
        self._told: set[int] = set()

    @property
    def done(self) -> float:
        """A state is read whole, or not at all."""
        return 1.0

    def poll(self, seconds: float) -> Reading | None:
        """The entries added since the last look, and new checkpoints."""
        saved = checkpoints(self.folder)
        files = [self.folder / STATE, *(path / STATE for _step, path in saved[:TRIED])]
        stamps = {path: stamp for path in files if (stamp := _stamp(path)) is not None}
        if stamps == self._stamps:
            return None
        # A file that is written further changes its stamp, so that a broken one is read once.
        self._stamps = stamps
        if not stamps:
            return None
        state, problem = self._newest(stamps)
        written = max(stamp[0] for stamp in stamps.values()) / 1e9
        if state is None:
            return Reading(problem=problem, written=written)
        points = _points(saved)
        step, total = _step(state), _whole(state.get("max_steps"))
        history = [entry for entry in _list(state.get("log_history")) if isinstance(entry, dict)]
        new, anew = self._new(history)
        if anew:
            self._told = set()
        return Reading(
            events=[*_metrics(new, total, points, written), *self._artifacts(saved, points)],
            anew=anew,
            written=written,
            total_steps=total,
            end="finished" if total and step >= total else "",
            problem=problem,
            between=points[-1].written - points[-2].written if len(points) > 1 else 0.0,
        )

    def _newest(self, stamps: dict[Path, Stamp]) -> tuple[dict[str, Any] | None, str]:
        """The state that has come furthest, and what could not be read."""
        best, problem = read_state(self.folder / STATE)
        for path in (path for path in stamps if path.parent != self.folder):
            state, why = read_state(path)
            problem = problem or why
            if state is not None:
                behind = best is not None and _step(state) <= _step(best)
                best = best if behind else state
                break
        return best, problem

    def _new(self, history: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
        """The entries after those given already, or all of them and True where the log is
        another one."""
        known = len(self._steps)
        steps = [_step(entry, "step") for entry in history]
        anew = steps[:known] != self._steps or (
            known > 0 and repr(history[known - 1]) != self._last
        )
        self._steps, self._last = steps, repr(history[-1]) if history else ""
        return (history, True) if anew else (history[known:], False)

    def _artifacts(self, saved: list[tuple[int, Path]], points: list[Point]) -> list[Artifact]:
        at = dict(points)
        new = [(step, path) for step, path in reversed(saved) if step not in self._told]
        self._told |= {step for step, _path in new}
        return [
            Artifact(t=at.get(step, 0.0), kind="checkpoint", path=path.name, step=step)
            for step, path in new
        ]


def _metrics(
    entries: list[dict[str, Any]], total: int, points: list[Point], written: float
) -> list[Metrics]:
    steps = [_step(entry, "step") for entry in entries]
    found = []
    for entry, step, t in zip(entries, steps, when(steps, points, written), strict=True):
        values = {
            trainer_name(name): value
            for name, raw in entry.items()
            if name not in ("step", "epoch") and (value := number(raw)) is not None
        }
        if values:
            epoch = number(entry.get("epoch"))
            found.append(
                Metrics(t=t, step=step, epoch=epoch, total_steps=total or None, values=values)
            )
    return found


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoint-N folders in `folder` with their steps, newest step first."""
    try:
        found = [(m, path) for path in folder.iterdir() if (m := _CHECKPOINT.fullmatch(path.name))]
    except OSError:
        return []
    return sorted(((int(m[1]), path) for m, path in found if path.is_dir()), reverse=True)


def read_state(path: Path) -> tuple[dict[str, Any] | None, str]:
    """A trainer_state.json, NaN and Infinity literals included; None and why it can't be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            return None, f"{path} is over {MOST_BYTES >> 20} MiB: not read"
        state = json.loads(data)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, RecursionError) as error:
        return None, f"{path} can't be read: {error}"
    if not isinstance(state, dict):
        return None, f"{path} is not a trainer's state"
    return state, ""


def when(steps: list[int], points: list[Point], written: float) -> list[float]:
    """A time for each step: between two checkpoints by interpolation, before the first at the
    pace of the first two; of a run with fewer, the time of the file for all."""
    if len(points) < 2:
        return [written] * len(steps)
    import numpy as np

    at, moments = np.array([p.step for p in points], float), np.array([p.written for p in points])
    pace = (moments[1] - moments[0]) / (at[1] - at[0])
    wanted = np.array(steps, float)
    before = moments[0] - (at[0] - wanted) * pace
    times = np.where(wanted < at[0], before, np.interp(wanted, at, moments))
    return [float(t) for t in times]


def _points(saved: list[tuple[int, Path]]) -> list[Point]:
    """Steps and times of the checkpoints, rising in both; of copied ones only the last."""
    points: list[Point] = []
    for step, path in reversed(saved):
        stamp = _stamp(path / STATE)
        if stamp is not None:
            while points and points[-1].written >= stamp[0] / 1e9:
                points.pop()
            points.append(Point(step, stamp[0] / 1e9))
    return points


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _step(state: dict[str, Any], key: str = "global_step") -> int:
    return _whole(state.get(key))


def _whole(value: Any) -> int:
    """A count that a file may hold as anything: 0 where it is none."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < 2**53 else 0
