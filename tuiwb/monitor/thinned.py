"""The hardware's history in bounded memory: of neighbouring samples the fullest is kept."""

from tuiwb.jobs.events import Device

MOST = 720  # samples kept at most; a chart is seldom wider


class DeviceHistory:
    """Up to `most` samples, evenly spread over the run; the newest is always there, last.

    Which are kept depends on the order of the samples only, not on how they came in.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._stride = 1
        self._count = 0
        self._kept: list[Device] = []
        self._newest: Device | None = None

    @property
    def samples(self) -> list[Device]:
        """The samples, in order."""
        kept = list(self._kept)
        if self._newest is not None and (not kept or kept[-1] is not self._newest):
            kept.append(self._newest)
        return kept

    def add(self, sample: Device) -> None:
        """Take in the next sample."""
        self._newest = sample
        if self._count % self._stride == 0:
            if len(self._kept) == self._most - 1:
                pairs = zip(self._kept[::2], self._kept[1::2], strict=False)
                odd = self._kept[len(self._kept) // 2 * 2 :]
                self._kept = [max(pair, key=memory) for pair in pairs] + odd
                self._stride *= 2
            if self._count % self._stride == 0:
                self._kept.append(sample)
            else:
                self._kept[-1] = max(self._kept[-1], sample, key=memory)
        else:
            self._kept[-1] = max(self._kept[-1], sample, key=memory)
        self._count += 1


def memory(sample: Device) -> int:
    """Bytes in use on the GPUs, or on the host where there is none."""
    if sample.gpus:
        return sum(gpu.memory_used or 0 for gpu in sample.gpus)
    return sample.host.memory_used if sample.host else 0
