"""The hardware, sampled into the event log while a worker lives, whoever looks.

Every two seconds a look; a line only when something changed that a person would notice, or every
ten seconds. A warning before memory runs out is an alert, `memory_low`.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from tuiwb.jobs.events import Alert, Device, Gpu, TorchMemory
from tuiwb.jobs.run import JobContext
from tuiwb.monitor.device import sample
from tuiwb.monitor.memory import MemoryWarning, forecast

EVERY, QUIET = 2.0, 10.0  # seconds between looks, and between lines where nothing changed
KEPT, APART = 240, 5.0  # samples the forecast looks back on, and seconds between them: 20 minutes
MEMORY, HEAT, HOST = 0.01, 5.0, 0.02  # what is noticed: shares of the memory, degrees
JOB, JOB_LEAST = 0.1, 64 << 20  # of the job's own memory on the host: a tenth, and bytes
AGAIN = 600.0  # seconds before the same warning is told again
MOST_PROCESSES = 16


def watch_device(context: JobContext, every: float = EVERY) -> threading.Event:
    """Sample the hardware into the event log from a thread until the returned event is set."""
    over = threading.Event()
    thinned = Thinned()
    warned = MemoryAlerts(context.spec)

    def look() -> None:
        while not over.is_set():
            try:
                device = now(context)
                if over.is_set():  # the job's end is written: nothing may follow it
                    return
                line = thinned.take(device)
                if line is not None:
                    context.emit(line)
                alert = warned.take(device)
                if alert is not None:
                    context.emit(alert)
            except Exception as error:
                context.log(f"the hardware is not watched any more: {error}", "warn")
                return
            over.wait(every)

    threading.Thread(target=look, name="device", daemon=True).start()
    return over


def now(context: JobContext) -> Device:
    """One look, with torch's figures where this process has torch and CUDA at work."""
    device = sample(os.getpid(), context.folder, os.environ)
    device.t = time.time()
    device.torch = torch_memory(device.gpus)
    for torch in device.torch:
        for gpu in device.gpus:
            if gpu.index == torch.index and gpu.job_from == "hidden" and gpu.memory_job is None:
                gpu.memory_job, gpu.job_from = torch.reserved, "torch"
    return device


def torch_memory(gpus: list[Gpu]) -> list[TorchMemory]:
    """What torch's allocator holds on each GPU that it uses; never the first to start CUDA."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return []
        found = []
        for number in range(cuda.device_count()):
            stats = cuda.memory_stats(number)
            reserved = int(stats.get("reserved_bytes.all.current", 0))
            if reserved:
                found.append(
                    TorchMemory(
                        index=_nvml_index(cuda, number, gpus),
                        allocated=int(stats.get("allocated_bytes.all.current", 0)),
                        reserved=reserved,
                        peak_allocated=int(stats.get("allocated_bytes.all.peak", 0)),
                        peak_reserved=int(stats.get("reserved_bytes.all.peak", 0)),
                    )
                )
        return found
    except (AttributeError, RuntimeError, AssertionError):  # torch is just being imported, or ends
        return []


def _nvml_index(cuda: Any, number: int, gpus: list[Gpu]) -> int:
    """torch's device number as the driver counts, by UUID, else by what is visible."""
    uuid = str(getattr(cuda.get_device_properties(number), "uuid", ""))
    for gpu in gpus:
        if uuid and gpu.uuid.endswith(uuid):
            return gpu.index
    visible = [gpu.index for gpu in gpus if gpu.visible]
    return visible[number] if number < len(visible) else number


class Thinned:
    """Decides which samples are worth a line; figures that jitter are averaged between lines."""

    def __init__(self, quiet: float = QUIET) -> None:
        self._quiet = quiet
        self._written: Device | None = None
        self._since: list[Device] = []

    def take(self, device: Device) -> Device | None:
        """The line to write for this sample, or None."""
        self._since.append(device)
        before = self._written
        due = before is None or not 0 <= device.t - before.t < self._quiet
        if not due and before is not None and not noticed(before, device):
            return None
        line = _averaged(device, self._since)
        self._written, self._since = device, []
        return line


def noticed(before: Device, after: Device) -> bool:
    """Whether a person would want to know at once: memory, heat, throttling, who is there."""
    if len(before.gpus) != len(after.gpus) or before.problem != after.problem:
        return True
    if any(_gpu_noticed(a, b) for a, b in zip(before.gpus, after.gpus, strict=True)):
        return True
    held = {t.index: t for t in before.torch}
    for torch in after.torch:
        least = max(MEMORY * torch.reserved, 16 << 20)
        known = held.get(torch.index)
        if known is None or abs(torch.reserved - known.reserved) > least:
            return True
        if torch.peak_allocated - known.peak_allocated > least:
            return True
    if before.host and after.host:
        moved = abs(after.host.memory_used - before.host.memory_used)
        if moved > HOST * after.host.memory_total:
            return True
        own = before.host.job_memory or 0
        return abs((after.host.job_memory or 0) - own) > max(JOB * own, JOB_LEAST)
    return False


def _gpu_noticed(a: Gpu, b: Gpu) -> bool:
    if (a.uuid, a.problem, a.ecc_uncorrected) != (b.uuid, b.problem, b.ecc_uncorrected):
        return True
    # "idle" comes and goes between two steps.
    if set(a.throttle) - {"idle"} != set(b.throttle) - {"idle"}:
        return True
    if {p.pid for p in a.processes} != {p.pid for p in b.processes}:
        return True
    total = b.memory_total or 1
    if abs((b.memory_used or 0) - (a.memory_used or 0)) > MEMORY * total:
        return True
    return abs((b.temperature or 0) - (a.temperature or 0)) >= HEAT


def _averaged(device: Device, since: list[Device]) -> Device:
    """The newest sample with utilisation and power averaged over those since the last line, and of
    GPUs that are not the job's only what tells how full and how busy they are."""
    gpus = []
    for at, gpu in enumerate(device.gpus):
        same = [d.gpus[at] for d in since if at < len(d.gpus) and d.gpus[at].uuid == gpu.uuid]
        line = msgspec.structs.replace(
            gpu,
            utilisation=_mean([g.utilisation for g in same]),
            memory_utilisation=_mean([g.memory_utilisation for g in same]),
            power=_mean([g.power for g in same]),
            processes=sorted(gpu.processes, key=lambda p: -(p.memory or 0))[:MOST_PROCESSES],
        )
        gpus.append(line if _jobs_own(gpu) else _slim(line))
    return Device(
        t=device.t, problem=device.problem, gpus=gpus, host=device.host, torch=device.torch
    )


def _jobs_own(gpu: Gpu) -> bool:
    return gpu.visible is not False or gpu.memory_job is not None or bool(gpu.problem)


def _slim(gpu: Gpu) -> Gpu:
    return Gpu(
        index=gpu.index,
        name=gpu.name,
        uuid=gpu.uuid,
        mig=gpu.mig,
        visible=gpu.visible,
        memory_used=gpu.memory_used,
        memory_total=gpu.memory_total,
        utilisation=gpu.utilisation,
        temperature=gpu.temperature,
        power=gpu.power,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None


class MemoryAlerts:
    """Turns samples into `memory_low` alerts: once each, again when it gets worse or much later."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._training: Mapping[str, Any] = spec.get("training", {})
        self._history: deque[Device] = deque(maxlen=KEPT)
        self._told: dict[str, tuple[float, str]] = {}

    def take(self, device: Device) -> Alert | None:
        """The alert that this sample gives cause for, or None."""
        if self._history and 0 <= device.t - self._history[-1].t < APART:
            return None
        self._history.append(device)
        warning = forecast(list(self._history))
        if warning is None:
            return None
        order = ("note", "warning", "critical")
        when, severity = self._told.get(warning.where, (device.t - AGAIN, "note"))
        worse = order.index(warning.severity) > order.index(severity)
        again = device.t - when >= AGAIN and warning.severity != "note"
        if warning.where in self._told and not worse and not again:
            return None
        self._told[warning.where] = (device.t, warning.severity)
        return self._alert(warning)

    def _alert(self, warning: MemoryWarning) -> Alert:
        numbers = {"left": float(warning.left), "total": float(warning.total)}
        if warning.seconds is not None:
            numbers |= {"rate": warning.rate, "seconds": warning.seconds}
        return Alert(
            rule="memory_low",
            severity=warning.severity,
            evidence=warning.evidence,
            cause=warning.cause,
            fix=warning.fix,
            change=self._change(warning),
            look="the memory curve of the device panel, and what else holds memory there",
            numbers=numbers,
        )

    def _change(self, warning: MemoryWarning) -> dict[str, Any]:
        """Half the batch, accumulated twice as often: the same optimiser steps in less memory."""
        if warning.where == "host":
            workers = int(self._training.get("dataloader_num_workers") or 0)
            return {"training.dataloader_num_workers": workers // 2} if workers else {}
        batch = int(self._training.get("per_device_train_batch_size") or 1)
        sums = int(self._training.get("gradient_accumulation_steps") or 1)
        length = self._training.get("max_length")
        if batch % 2 == 0:
            return {
                "training.per_device_train_batch_size": batch // 2,
                "training.gradient_accumulation_steps": sums * 2,
            }
        return {"training.max_length": int(length) // 2} if length and length >= 256 else {}
