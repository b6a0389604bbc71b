"""The hardware's history in bounded memory: of neighbouring samples the fullest is kept."""

import msgspec

from tuiwb.jobs.events import Device

MOST = 720  # samples kept at most; a chart is seldom wider


class DeviceHistory(msgspec.Struct):
    """Up to `most` samples, evenly spread over the run; the newest is always there, last.

    Which are kept depends on the order of the samples only, not on how they came in.
    """

    most: int = MOST
    stride: int = 1
    count: int = 0
    kept: list[Device] = []
    newest: Device | None = None

    @property
    def samples(self) -> list[Device]:
        """The samples, in order."""
        kept = list(self.kept)
        if self.newest is not None and (not kept or kept[-1] != self.newest):
            kept.append(self.newest)
        return kept

    def add(self, *samples: Device) -> None:
        """Take in the next samples; each place is filled by `stride` of them."""
        fullest = memory(self.kept[-1]) if self.kept else 0
        for sample in samples:
            begins = self.count % self.stride == 0
            if begins and len(self.kept) >= self.most - 1:
                kept = self.kept
                self.kept = [max(kept[n : n + 2], key=memory) for n in range(0, len(kept), 2)]
                self.stride *= 2
                begins = self.count % self.stride == 0
                fullest = memory(self.kept[-1])
            full = memory(sample)
            if begins:
                self.kept.append(sample)
                fullest = full
            elif full > fullest:
                self.kept[-1] = sample
                fullest = full
            self.count += 1
            self.newest = sample


def memory(sample: Device) -> int:
    """Bytes in use on the GPUs, or on the host where there is none."""
    if sample.gpus:
        used = 0
        for gpu in sample.gpus:
            used += gpu.memory_used or 0
        return used
    return sample.host.memory_used if sample.host else 0
