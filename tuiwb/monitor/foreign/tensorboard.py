"""TensorBoard event files (events.out.tfevents.*), through the `tensorboard` package's reader.

Scalars only. The reader parses without TensorFlow, whether or not that is installed.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tuiwb.errors import MissingHere
from tuiwb.jobs.events import Artifact, Metrics
from tuiwb.monitor.foreign.source import Reading, trainer_name

PATTERN = "events.out.tfevents.*"
SCALARS = "scalars"  # the plugin name of a scalar summary
EPOCH = ("epoch",)


class TensorBoardSource:
    """The event files of one folder, in the order in which they were begun."""

    what = "TensorBoard events"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _require()
        self.restart()

    def restart(self) -> None:
        """Give everything again at the next poll."""
        self._loaders: dict[Path, Any] = {}
        self._sizes: dict[Path, int] = {}
        self._open: Iterator[Any] | None = None
        self._total = self._read = 0

    @property
    def done(self) -> float:
        """The share of the files' bytes that is behind us, as well as can be told."""
        return 1.0 if self._open is None else min(0.99, self._read / max(1, self._total))

    def poll(self, seconds: float) -> Reading | None:
        """Scalars written since the last look, for about so long at most."""
        until = time.monotonic() + seconds
        files = event_files(self.folder)
        stats = {path: path.stat() for path in files}
        sizes = {path: stat.st_size for path, stat in stats.items()}
        anew = any(sizes.get(path, -1) < size for path, size in self._sizes.items())
        if anew:
            self.restart()
        if self._open is None:
            if sizes == self._sizes:
                return None
            self._sizes, self._total, self._read = sizes, sum(sizes.values()), 0
            self._open = self._events(files)
        written = max((stat.st_mtime for stat in stats.values()), default=0.0)
        reading = Reading(anew=anew, written=written)
        rows: list[Metrics] = []
        try:
            for event in self._open:
                self._read += event.ByteSize() + 16
                _take(rows, event)
                if time.monotonic() >= until and len(rows) > 1:
                    break
            else:
                self._open = None
        except Exception as error:  # the reader's own errors have no common base
            self._open = None
            reading.problem = f"{self.folder}: an event file can't be read: {error}"
        found: list[Metrics | Artifact] = [row for row in rows if row.values]
        reading.events = found
        return reading

    def _events(self, files: list[Path]) -> Iterator[Any]:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        for path in files:
            loader = self._loaders.get(path)
            if loader is None:
                loader = self._loaders[path] = EventFileLoader(str(path))
            yield from loader.Load()


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, oldest first: their names begin with the time of their start."""
    return sorted((p for p in folder.glob(PATTERN) if p.is_file()), key=lambda p: p.name)


def _take(rows: list[Metrics], event: Any) -> None:
    """Add an event's scalars to the row of its step, which several events make up."""
    from tensorboard.util import tensor_util

    for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name != SCALARS:
            continue
        name = trainer_name(value.tag)
        number = float(tensor_util.make_ndarray(value.tensor).reshape(-1)[0])
        if not rows or rows[-1].step != event.step:
            rows.append(Metrics(t=event.wall_time, step=event.step, values={}))
        if name in EPOCH:
            rows[-1].epoch = number
        else:
            rows[-1].values[name] = number


def _require() -> None:
    """Load the reader; MissingHere says what to install."""
    # Its own switch against TensorFlow, which takes seconds to load and isn't needed.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    try:
        import tensorboard.backend.event_processing.event_file_loader  # noqa: F401
    except ImportError as error:
        raise MissingHere(
            f"reading TensorBoard event files needs the tensorboard package ({error}): "
            "pip install tensorboard"
        ) from None
