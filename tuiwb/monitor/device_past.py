"""The hardware's past in numbers: what the lines on the screen say of the samples before.

In: samples in order. Out: each GPU's utilisation and memory over time, how fast the disk fills.
"""

from array import array
from collections.abc import Iterable
from math import isnan, nan

from tuiwb.jobs.events import Device, Gpu
from tuiwb.monitor.thinned import DeviceHistory

MOST_SAMPLES = 500  # of a long history: a sparkline has a few dozen columns
Points = list[tuple[float, float]]


class DevicePast:
    """Unix seconds of each sample, and beside them what was measured: NaN where nothing was."""

    def __init__(self, samples: Iterable[Device] = ()) -> None:
        self.times = array("d")
        self._disk_free = array("d")  # bytes
        self._gpus: dict[str, tuple[array[float], array[float]]] = {}  # utilisation, memory: shares
        self._filled = 0  # of them, those that stay as they are in the history which it follows
        self._stride = 0
        for sample in samples:
            self.append(sample)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def span(self) -> float:
        """Seconds from the first sample to the newest."""
        return self.times[-1] - self.times[0] if self.times else 0.0

    def append(self, sample: Device) -> None:
        """Take in the next sample."""
        count = len(self.times)
        for gpu in sample.gpus:
            columns = self._gpus.setdefault(key(gpu), (array("d"), array("d")))
            busy = nan if gpu.utilisation is None else gpu.utilisation / 100
            known = gpu.memory_used is not None and gpu.memory_total
            full = (gpu.memory_used or 0) / (gpu.memory_total or 1) if known else nan
            for column, value in zip(columns, (busy, full), strict=True):
                column.extend([nan] * (count - len(column)))
                if len(column) > count:  # two instances that nothing tells apart
                    column[count] = max((v for v in (column[count], value) if v == v), default=nan)
                else:
                    column.append(value)
        free = sample.host.disk_free if sample.host is not None else None
        self._disk_free.append(nan if free is None else free)
        self.times.append(sample.t)

    def follow(self, history: DeviceHistory) -> None:
        """Become the past of what a history holds now; only what is new in it is unpacked.

        Another thread may be adding to it: what is read in the middle of that is read again by the
        next call.
        """
        stride, count = history.stride, history.count  # before the places, which hang on them
        kept = history.kept[:]
        tail = history.tail(recent := list(history.recent))
        whole = history.count == count and len(kept) + len(recent) == -(-count // stride)
        filled = len(kept) + (max(0, len(recent) - 1) if whole else 0)
        self._filled = min(self._filled, filled) if stride == self._stride else 0
        self._stride = stride
        self._cut(self._filled)
        for packed in kept[self._filled :]:
            self.append(history.unpacked(packed))
        for sample in tail[max(0, self._filled - len(kept)) :]:
            self.append(sample)
        self._filled = filled

    def shares(self) -> dict[str, tuple[Points, Points]]:
        """Each GPU's past (by `key`): utilisation and memory as (unix seconds, share of 1); moments
        at which one wasn't reported are left out."""
        every = max(1, len(self) // MOST_SAMPLES)
        times = self.times[::every]
        return {
            name: (_known(times, busy[::every]), _known(times, full[::every]))
            for name, (busy, full) in self._gpus.items()
        }

    def fill_pace(self) -> float | None:
        """Bytes a second by which the disk's free space shrank; None if too short."""
        seen = [n for n, free in enumerate(self._disk_free) if not isnan(free)]
        if len(seen) < 2:
            return None
        first, last = seen[0], seen[-1]
        seconds = self.times[last] - self.times[first]
        if seconds < 60:
            return None
        return max(0.0, (self._disk_free[first] - self._disk_free[last]) / seconds)

    def _cut(self, count: int) -> None:
        columns = [self.times, self._disk_free]
        for pair in self._gpus.values():
            columns += pair
        for column in columns:
            del column[count:]
        self._gpus = {name: pair for name, pair in self._gpus.items() if pair[0]}


def key(gpu: Gpu) -> str:
    """What tells a GPU from the others of the machine."""
    return gpu.uuid or str(gpu.index)


def _known(times: "array[float]", values: "array[float]") -> Points:
    """The moments that have a value; those after the last one have none."""
    return [(t, value) for t, value in zip(times, values, strict=False) if value == value]
