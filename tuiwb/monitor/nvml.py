"""GPUs through NVML (nvidia-ml-py): one open session, asked again and again.

`Nvml.gpus(job)` gives every GPU (a card in MIG mode: every instance) as events.Gpu, and a sentence
where the driver can't be asked at all. It never raises. Asking takes milliseconds to tens of them a
GPU: never on the UI's thread.

A handle is looked up anew at each look: one kept over a GPU's loss or a driver's reload may crash
the process in native code. nvmlInit_v2 attaches no GPU, so a lost one doesn't hide the others.
NVML's reference: https://docs.nvidia.com/deploy/nvml-api/
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tuiwb.jobs.events import Gpu, GpuProcess
from tuiwb.monitor.processes import Owners, foreign_pids

T = TypeVar("T")

PCIE_EVERY = 10.0  # seconds between two looks at a GPU's PCIe traffic: each takes about 40 ms
UNINITIALIZED, LIBRARY_NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED, UNKNOWN = 1, 12, 15, 16, 999
LOST = "fell off the bus (GPU is lost): it needs a reset or a reboot; `dmesg | grep Xid` says more"
AT_OPENING = {
    4: "this user may not talk to the NVIDIA driver: look at the rights of /dev/nvidiactl",
    9: "the NVIDIA driver is not loaded: nvidia-smi says more",
    15: "the NVIDIA driver can't be asked: a GPU is lost; `dmesg | grep Xid` says more",
    17: "the operating system keeps this process from the NVIDIA driver",
    18: "the NVIDIA driver and its library are of different versions (it was updated): reboot, or "
    "reload the nvidia kernel modules",
}
NO_LIBRARY = (
    "there is an NVIDIA driver and no libnvidia-ml.so.1: in a container, start it with --gpus and "
    "the driver capability utility"
)
# nvmlClocksEventReasons (nvml.h), in words.
REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "sw power cap",
    0x8: "hw slowdown",
    0x10: "sync boost",
    0x20: "sw thermal",
    0x40: "hw thermal",
    0x80: "power brake",
    0x100: "display clocks",
}


class _Lost(Exception):
    """The GPU that was asked doesn't answer any more; says why."""


class _Closed(Exception):
    """NVML says that it was never opened: the session has to be opened again."""


class Nvml:
    """A session with the driver; safe from several threads and after a fork."""

    def __init__(self, module: Any = None) -> None:
        self._nvml = module
        self._open_in = 0  # the process that opened it
        self._lock = threading.Lock()
        self._cards: dict[int, Gpu] = {}  # the last whole look at each card
        self._fixed: dict[str, dict[str, Any]] = {}
        self._pcie: dict[str, tuple[float, float | None, float | None]] = {}
        self._owners = Owners()

    def gpus(self, job: frozenset[int] = frozenset()) -> tuple[list[Gpu], str]:
        """Every GPU now, and why there is none where there may be some; `job`: the run's pids."""
        with self._lock:
            for _ in range(2):
                problem = self._open()
                if problem is not None:
                    return self._gone(problem), problem
                try:
                    return self._look(job), ""
                except _Closed:
                    self.close()
            return self._gone("NVML closes as soon as it is opened"), ""

    def close(self) -> None:
        """End the session; the next look opens another."""
        if self._open_in == os.getpid():
            try:
                self._nvml.nvmlShutdown()
            except Exception:  # it may be the very reason that it is closed
                pass
        self._open_in = 0

    def _open(self) -> str | None:
        if self._open_in == os.getpid():
            return None
        # After a fork the parent's session is not ours: it is left as it is, and one opened anew.
        self._open_in = 0
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
        except Exception as error:
            return _why_not_open(error)
        self._open_in = os.getpid()
        return None

    def _gone(self, problem: str) -> list[Gpu]:
        """The GPUs of the last look, each with why it gives no figures."""
        return [_nameplate(gpu, problem or LOST) for _, gpu in sorted(self._cards.items())]

    def _look(self, job: frozenset[int]) -> list[Gpu]:
        count = self._ask(self._nvml.nvmlDeviceGetCount) or 0
        found: list[Gpu] = []
        seen: set[str] = set()
        for index in range(count):
            entries = self._card(index, job)
            found += entries
            if entries and not entries[0].problem:
                seen.add(self._cards[index].uuid)
        for index, card in sorted(self._cards.items()):
            if card.uuid not in seen and not any(gpu.index == index for gpu in found):
                found.append(_nameplate(card, "the driver doesn't list it any more: " + LOST))
        return found

    def _card(self, index: int, job: frozenset[int]) -> list[Gpu]:
        """One card, or its MIG instances."""
        nvml = self._nvml
        try:
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
            except Exception as error:
                raise _Lost(_why_no_handle(error)) from None
            gpu = self._facts(handle, index)
            mode = self._ask(nvml.nvmlDeviceGetMigMode, handle)
            if mode and mode[0] == 1:
                entries = self._instances(handle, gpu, job)
            else:
                self._memory(handle, gpu)
                rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
                if rates is not None:
                    gpu.utilisation, gpu.memory_utilisation = float(rates.gpu), float(rates.memory)
                self._processes(handle, gpu, job)
                entries = [gpu]
        except _Lost as lost:
            known = self._cards.get(index, Gpu(index=index))
            return [_nameplate(known, str(lost))]
        if entries == [gpu] and gpu.memory_used is None and gpu.temperature is None:
            gpu.problem = gpu.problem or "gives no figures"
        self._cards[index] = msgspec.structs.replace(gpu, processes=[])
        return entries

    def _facts(self, handle: Any, index: int) -> Gpu:
        """What the card as a whole reports: name, heat, power, clocks, errors, PCIe."""
        nvml, ask = self._nvml, self._ask
        uuid = _text(ask(nvml.nvmlDeviceGetUUID, handle))
        fixed = self._fixed.get(uuid)
        if fixed is None:
            fixed = {
                "name": _text(ask(nvml.nvmlDeviceGetName, handle)),
                "clock_sm_most": ask(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM),
            }
            if uuid:
                self._fixed[uuid] = fixed
        gpu = Gpu(index=index, uuid=uuid, **fixed)
        gpu.temperature = _number(
            ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        )
        gpu.power = _number(ask(nvml.nvmlDeviceGetPowerUsage, handle), 1000)
        gpu.power_limit = _number(ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle), 1000)
        gpu.clock_sm = _number(ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM))
        gpu.clock_memory = _number(ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM))
        reasons = ask(nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if reasons is None:
            reasons = ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        gpu.throttle = [words for bit, words in REASONS.items() if reasons and reasons & bit]
        gpu.ecc_corrected = ask(nvml.nvmlDeviceGetTotalEccErrors, handle, 0, 0)
        gpu.ecc_uncorrected = ask(nvml.nvmlDeviceGetTotalEccErrors, handle, 1, 0)
        gpu.pcie_generation = ask(nvml.nvmlDeviceGetCurrPcieLinkGeneration, handle)
        gpu.pcie_width = ask(nvml.nvmlDeviceGetCurrPcieLinkWidth, handle)
        self._traffic(handle, gpu)
        return gpu

    def _traffic(self, handle: Any, gpu: Gpu) -> None:
        """PCIe bytes a second, one GPU at a look at most: NVML measures for 20 ms a direction."""
        now = time.monotonic()
        when, sent, received = self._pcie.get(gpu.uuid, (-PCIE_EVERY, None, None))
        just = any(now - other < 1.0 for other, _, _ in self._pcie.values())
        if now - when >= PCIE_EVERY and not just:
            nvml = self._nvml
            sent, received = (
                _number(self._ask(nvml.nvmlDeviceGetPcieThroughput, handle, counter), 1 / 1000)
                for counter in (nvml.NVML_PCIE_UTIL_TX_BYTES, nvml.NVML_PCIE_UTIL_RX_BYTES)
            )
            self._pcie[gpu.uuid] = (time.monotonic(), sent, received)
        gpu.pcie_sent, gpu.pcie_received = sent, received

    def _memory(self, handle: Any, gpu: Gpu) -> None:
        """Version 2 tells the driver's own share apart; version 1 counts it as used."""
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
        if memory is not None:
            gpu.memory_reserved = int(memory.reserved)
        else:
            memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        if memory is not None:
            gpu.memory_total, gpu.memory_used = int(memory.total), int(memory.used)

    def _processes(self, handle: Any, gpu: Gpu, job: frozenset[int]) -> None:
        nvml = self._nvml
        held: dict[int, int | None] = {}
        for kind in ("Compute", "Graphics", "MPSCompute"):
            for version in ("_v3", "_v2"):
                question = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses{version}", None)
                listed = self._ask(question, handle) if question else None
                if listed is not None:
                    for one in listed:
                        # One that draws and computes is in both lists with the same figure.
                        before = held.get(one.pid)
                        now = one.usedGpuMemory
                        held[one.pid] = max(before or 0, now) if now is not None else before
                    break
        foreign = foreign_pids()
        for pid, memory in held.items():
            mine = not foreign and pid in job
            user, name = ("", "") if foreign else self._owners.of(pid)
            gpu.processes.append(GpuProcess(pid=pid, user=user, name=name, memory=memory, job=mine))
        ours = [p.memory for p in gpu.processes if p.job and p.memory is not None]
        if ours:
            gpu.memory_job = sum(ours)
        elif job and foreign:
            gpu.job_from = "hidden"

    def _instances(self, handle: Any, card: Gpu, job: frozenset[int]) -> list[Gpu]:
        """An entry per MIG instance; heat, power and clocks are the whole card's."""
        nvml = self._nvml
        found = []
        for slot in range(self._ask(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            try:
                instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
            except Exception:  # NVML_ERROR_NOT_FOUND: an empty slot
                continue
            gpu = msgspec.structs.replace(
                card,
                uuid=_text(self._ask(nvml.nvmlDeviceGetUUID, instance)),
                mig=self._profile(instance),
                processes=[],
            )
            self._memory(instance, gpu)
            self._processes(instance, gpu, job)
            found.append(gpu)
        if not found:
            card.problem = "MIG is on and no instance is made: nothing can run here"
        return found or [card]

    def _profile(self, instance: Any) -> str:
        """'1g.10gb', from the instance's name, else from its slices and memory."""
        nvml = self._nvml
        name = _text(self._ask(nvml.nvmlDeviceGetName, instance))
        if " MIG " in name:
            return name.rsplit(" MIG ", 1)[1]
        sizes = self._ask(nvml.nvmlDeviceGetAttributes, instance)
        if sizes is not None:
            gigabytes = round(sizes.memorySizeMB / 1024)
            return f"{sizes.gpuInstanceSliceCount}g.{gigabytes}gb"
        number = self._ask(nvml.nvmlDeviceGetGpuInstanceId, instance)
        return f"instance {number}" if number is not None else "instance"

    def _ask(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """The answer, or None where this GPU or driver doesn't report that."""
        try:
            return function(*arguments)
        except Exception as error:  # NVMLError has a class per code
            code = getattr(error, "value", None)
            if code == UNINITIALIZED:
                raise _Closed from None
            if code == GPU_IS_LOST:
                raise _Lost(LOST) from None
            if code == RESET_REQUIRED:
                raise _Lost("needs a reset before it can be used: nvidia-smi --gpu-reset") from None
            return None


def _nameplate(gpu: Gpu, problem: str) -> Gpu:
    """What stays known of a GPU that doesn't answer: which one it is, and why."""
    return Gpu(index=gpu.index, name=gpu.name, uuid=gpu.uuid, problem=problem)


def _why_not_open(error: Exception) -> str:
    code = getattr(error, "value", None)
    if isinstance(error, ImportError):
        return "nvidia-ml-py is not installed"
    if code == LIBRARY_NOT_FOUND:
        there = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
        return NO_LIBRARY if there else ""
    if isinstance(code, int) and code in AT_OPENING:
        return AT_OPENING[code]
    return f"the NVIDIA driver can't be asked: {' '.join(str(error).split())}"


def _why_no_handle(error: Exception) -> str:
    code = getattr(error, "value", None)
    if code == UNINITIALIZED:
        raise _Closed from None
    if code == GPU_IS_LOST:
        return LOST
    if code == 4:
        return "this user may not use it"
    words = " ".join(str(error).split())
    if code == UNKNOWN:
        return f"doesn't answer ({words}): it may have fallen off the bus; `dmesg | grep Xid`"
    return f"doesn't answer ({words})"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _number(value: Any, per: float = 1) -> float | None:
    return None if value is None else float(value) / per
