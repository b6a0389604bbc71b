"""A libnvidia-ml in Python: it answers the C calls of the real pynvml through their pointers.

pynvml's own structs, argument shapes and error classes run. A machine is described by `Card`s. The
default card's memory is that of published `nvidia-smi` output (published.json has the sources); its
other figures are made up, each unlike the others so that a mix-up shows.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml

MIB = 1 << 20
SUCCESS, UNINITIALIZED, INVALID, NOT_SUPPORTED, NO_PERMISSION = 0, 1, 2, 3, 4
NOT_FOUND, INSUFFICIENT, DRIVER_NOT_LOADED, FUNCTION_NOT_FOUND = 6, 7, 9, 13
LOST, MISMATCH, UNKNOWN = 15, 18, 999


@dataclass
class Held:
    """A process on a GPU; memory in bytes, None: the driver doesn't say."""

    pid: int
    memory: int | None
    kind: str = "Compute"


@dataclass
class Instance:
    """A MIG instance."""

    profile: str
    total: int
    used: int
    uuid: str
    held: list[Held] = field(default_factory=list)


@dataclass
class Card:
    """A GPU; None: not supported."""

    name: str = "NVIDIA H100 80GB HBM3"
    uuid: str = "GPU-0"
    total: int = 81559 * MIB
    reserved: int = 565 * MIB
    used: int = 1 * MIB
    busy: tuple[int, int] | None = (97, 40)
    temperature: int | None = 61
    milliwatts: int | None = 412_300
    limit: int | None = 700_000
    clocks: tuple[int, int] = (1755, 2619)
    most: int = 1980
    reasons: int = 0
    ecc: tuple[int, int] | None = (0, 0)
    pcie: tuple[int, int] | None = (5, 16)
    traffic: tuple[int, int] | None = (1200, 340_000)  # KB/s sent, received
    held: list[Held] = field(default_factory=list)
    mig: list[Instance] | None = None
    slots: int = 7
    lost: int = 0  # an error code of every call on it
    lost_calls: int = 0  # an error code of every call but the look-up of its handle


class FakeLibrary:
    """What pynvml takes for the loaded library. `old` lacks the calls of newer drivers."""

    def __init__(self, cards: list[Card], *, at_init: int = SUCCESS, old: bool = False) -> None:
        self.cards, self.at_init, self.old = cards, at_init, old
        self.open = 0
        self.calls: list[str] = []
        self._kept: list[Any] = []
        self._by_address: dict[int, Card | Instance] = {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        newer = ("_v3", "EventReasons", "MemoryInfo_v2")
        method = getattr(type(self), f"do_{name}", None)
        if method is None or (self.old and name.endswith(newer)):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name not in ("nvmlInitWithFlags", "nvmlErrorString") and not self.open:
                return UNINITIALIZED
            code: int = method(self, *arguments)
            return code

        return call

    def do_nvmlInitWithFlags(self, _flags: int) -> int:
        self.open += self.at_init == SUCCESS
        return self.at_init

    def do_nvmlShutdown(self) -> int:
        self.open -= 1
        return SUCCESS

    def do_nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.cards)
        return SUCCESS

    def do_nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        if index.value >= len(self.cards):
            return INVALID
        card = self.cards[index.value]
        return card.lost or self._hand_out(card, handle)

    def _hand_out(self, thing: Card | Instance, handle: Any) -> int:
        block = ctypes.create_string_buffer(8)
        self._kept.append(block)
        address = ctypes.addressof(block)
        self._by_address[address] = thing
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = address
        return SUCCESS

    def _at(self, handle: Any) -> Card | Instance:
        address = ctypes.cast(handle, ctypes.c_void_p).value
        assert address, "a call with a NULL handle crashes the real library"
        return self._by_address[address]

    def _put(self, handle: Any, pointer: Any, value: Callable[[Card], int | None]) -> int:
        thing = self._at(handle)
        if isinstance(thing, Instance):
            return NOT_SUPPORTED
        if thing.lost or thing.lost_calls:
            return thing.lost or thing.lost_calls
        found = value(thing)
        if found is None:
            return NOT_SUPPORTED
        pointer._obj.value = found
        return SUCCESS

    def _text(self, buffer: Any, text: str) -> int:
        buffer.value = text.encode()
        return SUCCESS

    def do_nvmlDeviceGetName(self, handle: Any, buffer: Any, _size: Any) -> int:
        thing = self._at(handle)
        if isinstance(thing, Instance):
            card = next(c for c in self.cards if c.mig and thing in c.mig)
            return self._text(buffer, f"{card.name} MIG {thing.profile}")
        return thing.lost_calls or self._text(buffer, thing.name)

    def do_nvmlDeviceGetUUID(self, handle: Any, buffer: Any, _size: Any) -> int:
        thing = self._at(handle)
        if isinstance(thing, Card) and (thing.lost or thing.lost_calls):
            return thing.lost or thing.lost_calls
        return self._text(buffer, thing.uuid)

    def do_nvmlDeviceGetMemoryInfo(self, handle: Any, pointer: Any) -> int:
        thing, memory = self._at(handle), pointer._obj
        if isinstance(thing, Card) and thing.lost_calls:
            return thing.lost_calls
        if isinstance(thing, Card) and thing.mig is not None:
            return NO_PERMISSION
        reserved = thing.reserved if isinstance(thing, Card) else 0
        first = not hasattr(memory, "reserved")
        # Version 1 counts the driver's own share as used.
        memory.total, memory.used = thing.total, thing.used + (reserved if first else 0)
        memory.free = thing.total - thing.used - reserved
        if not first:
            memory.reserved = reserved
        return SUCCESS

    def do_nvmlDeviceGetMemoryInfo_v2(self, handle: Any, pointer: Any) -> int:
        assert pointer._obj.version == pynvml.nvmlMemory_v2
        return self.do_nvmlDeviceGetMemoryInfo(handle, pointer)

    def do_nvmlDeviceGetUtilizationRates(self, handle: Any, pointer: Any) -> int:
        card = self._at(handle)
        if isinstance(card, Instance) or card.busy is None or card.mig is not None:
            return NOT_SUPPORTED
        if card.lost_calls:
            return card.lost_calls
        pointer._obj.gpu, pointer._obj.memory = card.busy
        return SUCCESS

    def do_nvmlDeviceGetTemperature(self, handle: Any, _sensor: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.temperature)

    def do_nvmlDeviceGetTemperatureV(self, handle: Any, pointer: Any) -> int:
        card = self._at(handle)
        if isinstance(card, Instance) or card.temperature is None:
            return NOT_SUPPORTED
        pointer._obj.temperature = card.temperature
        return card.lost_calls

    def do_nvmlDeviceGetPowerUsage(self, handle: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.milliwatts)

    def do_nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.limit)

    def do_nvmlDeviceGetClockInfo(self, handle: Any, kind: Any, pointer: Any) -> int:
        memory = kind.value == pynvml.NVML_CLOCK_MEM
        return self._put(handle, pointer, lambda card: card.clocks[memory])

    def do_nvmlDeviceGetMaxClockInfo(self, handle: Any, _kind: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.most)

    def do_nvmlDeviceGetCurrentClocksEventReasons(self, handle: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.reasons)

    do_nvmlDeviceGetCurrentClocksThrottleReasons = do_nvmlDeviceGetCurrentClocksEventReasons

    def do_nvmlDeviceGetTotalEccErrors(
        self, handle: Any, kind: Any, counter: Any, pointer: Any
    ) -> int:
        assert counter.value == pynvml.NVML_VOLATILE_ECC
        return self._put(handle, pointer, lambda card: card.ecc[kind.value] if card.ecc else None)

    def do_nvmlDeviceGetCurrPcieLinkGeneration(self, handle: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.pcie[0] if card.pcie else None)

    def do_nvmlDeviceGetCurrPcieLinkWidth(self, handle: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.pcie[1] if card.pcie else None)

    def do_nvmlDeviceGetPcieThroughput(self, handle: Any, counter: Any, pointer: Any) -> int:
        at = counter.value == pynvml.NVML_PCIE_UTIL_RX_BYTES
        return self._put(handle, pointer, lambda card: card.traffic[at] if card.traffic else None)

    def _held(self, kind: str, handle: Any, count: Any, array: Any) -> int:
        thing = self._at(handle)
        if isinstance(thing, Card) and (thing.lost_calls or thing.mig is not None):
            return thing.lost_calls or NO_PERMISSION
        held = [one for one in thing.held if one.kind == kind]
        room, count._obj.value = count._obj.value, len(held)
        if not held:
            return SUCCESS
        if array is None or room < len(held):
            return INSUFFICIENT
        for place, one in zip(array, held, strict=False):
            place.pid = one.pid
            none = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value
            place.usedGpuMemory = none if one.memory is None else one.memory
        return SUCCESS

    def do_nvmlDeviceGetComputeRunningProcesses_v3(self, *arguments: Any) -> int:
        return self._held("Compute", *arguments)

    def do_nvmlDeviceGetGraphicsRunningProcesses_v3(self, *arguments: Any) -> int:
        return self._held("Graphics", *arguments)

    def do_nvmlDeviceGetMPSComputeRunningProcesses_v3(self, *arguments: Any) -> int:
        return self._held("MPSCompute", *arguments)

    do_nvmlDeviceGetComputeRunningProcesses_v2 = do_nvmlDeviceGetComputeRunningProcesses_v3
    do_nvmlDeviceGetGraphicsRunningProcesses_v2 = do_nvmlDeviceGetGraphicsRunningProcesses_v3

    def do_nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> int:
        card = self._at(handle)
        assert isinstance(card, Card)
        current._obj.value = pending._obj.value = int(card.mig is not None)
        return card.lost_calls

    def do_nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, pointer: Any) -> int:
        return self._put(handle, pointer, lambda card: card.slots)

    def do_nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, slot: Any, found: Any) -> int:
        card = self._at(handle)
        assert isinstance(card, Card)
        if slot.value >= len(card.mig or []):
            return NOT_FOUND
        return self._hand_out((card.mig or [])[slot.value], found)


@contextmanager
def library(fake: FakeLibrary | None) -> Iterator[FakeLibrary | None]:
    """Make pynvml believe that `fake` is the loaded library; None: none can be loaded."""
    before = pynvml.nvmlLib
    cache = dict(pynvml._nvmlGetFunctionPointer_cache)
    pynvml._nvmlGetFunctionPointer_cache.clear()
    pynvml.nvmlLib = fake
    try:
        yield fake
    finally:
        pynvml.nvmlLib = before
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml._nvmlGetFunctionPointer_cache.update(cache)
