"""The hardware's history in bounded memory: of neighbouring samples the fullest is kept.

A sample of one GPU takes 2 kB as an object, and most of it is as in the first one: what is kept is
deflated with the first one as its dictionary, to 150 bytes.
"""

import zlib

import msgspec

from tuiwb.jobs.events import Device, decode, encode
from tuiwb.jobs.log_file import LONGEST

MOST = 720  # samples kept at most; a chart is seldom wider
AT_ONCE = 4  # places packed with an addition of so few: a long log is read first, packed by and by
# zlib's window and memory level. Raw, 4 kB back: to where the first sample says the same.
WINDOW, LITTLE = -12, 3


class DeviceHistory(msgspec.Struct):
    """Up to `most` samples, evenly spread over the run; the newest is always there, last.

    Which are kept depends on the order of the samples only, not on how they came in. The oldest
    places are packed (`kept`, by the JSON of the first one, `model`); of those in `recent` the last
    is still being filled.
    """

    most: int = MOST
    stride: int = 1
    count: int = 0
    model: bytes = b""
    kept: list[bytes] = []
    recent: list[Device] = []
    newest: Device | None = None

    @property
    def samples(self) -> list[Device]:
        """The samples, in order."""
        return [*(self.unpacked(packed) for packed in self.kept), *self.tail(self.recent)]

    def tail(self, recent: list[Device]) -> list[Device]:
        """`recent` and after it the newest sample."""
        newest = self.newest
        if newest is None or (recent and recent[-1] == newest):
            return recent
        return [*recent, newest]

    def add(self, *samples: Device) -> None:
        """Take in the next samples; each place is filled by `stride` of them."""
        fullest = memory(self.recent[-1]) if self.recent else 0
        for sample in samples:
            begins = self.count % self.stride == 0
            if begins and len(self.kept) + len(self.recent) >= self.most - 1:
                self._thin()
                begins = self.count % self.stride == 0
                fullest = memory(self.recent[-1])
            full = memory(sample)
            if begins:
                self.recent.append(sample)
                fullest = full
            elif full > fullest:
                self.recent[-1] = sample
                fullest = full
            self.count += 1
            self.newest = sample
        if len(samples) > AT_ONCE:
            return
        done = self.recent[:-1][:AT_ONCE]
        packed = [self._packed(sample) for sample in done]
        # In this order: another thread that looks in between sees them never rather than twice.
        del self.recent[: len(done)]
        self.kept += packed

    def unpacked(self, packed: bytes) -> Device:
        """A sample of `kept`."""
        found = decode(zlib.decompressobj(WINDOW, self.model).decompress(packed, LONGEST))
        assert isinstance(found, Device)
        return found

    def _packed(self, sample: Device) -> bytes:
        line = encode(sample)
        self.model = self.model or line
        deflate = zlib.compressobj(6, zlib.DEFLATED, WINDOW, LITTLE, zdict=self.model)
        return deflate.compress(line) + deflate.flush()

    def _thin(self) -> None:
        """Of each two places keep the fuller one."""
        places: list[tuple[bytes | Device, int]] = [
            *((packed, memory(self.unpacked(packed))) for packed in self.kept),
            *((sample, memory(sample)) for sample in self.recent),
        ]
        left = [
            max(places[n : n + 2], key=lambda place: place[1])[0] for n in range(0, len(places), 2)
        ]
        self.kept = [place for place in left if isinstance(place, bytes)]
        self.recent = [place for place in left if isinstance(place, Device)]
        if not self.recent:
            self.recent.append(self.unpacked(self.kept.pop()))
        self.stride *= 2


def memory(sample: Device) -> int:
    """Bytes in use on the GPUs, or on the host where there is none."""
    if sample.gpus:
        used = 0
        for gpu in sample.gpus:
            used += gpu.memory_used or 0
        return used
    return sample.host.memory_used if sample.host else 0
