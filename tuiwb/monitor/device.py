"""One look at the hardware: GPUs through NVML, the host through psutil.

NVML is slow (milliseconds to tens of them a GPU): call it off the UI's thread, every 1-2 s.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tuiwb.jobs.events import Device, Gpu, Host

T = TypeVar("T")


def sample(pid: int, disk: Path) -> Device:
    """The GPUs and the host now; `pid`'s share of both, and the free space where `disk` is.

    A machine without NVIDIA GPUs gives an empty list of GPUs. Never raises.
    """
    return Device(gpus=_gpus(pid), host=_host(pid, disk))


def _gpus(pid: int) -> list[Gpu]:
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except Exception:  # no driver, no library: each version says it with another class
        return []
    try:
        count = _ask(nvml.nvmlDeviceGetCount) or 0
        return [_gpu(nvml, index, pid) for index in range(count)]
    finally:
        _ask(nvml.nvmlShutdown)


def _gpu(nvml: Any, index: int, pid: int) -> Gpu:
    handle = _ask(nvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Gpu(index=index, name="not answering")
    memory = _ask(nvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _ask(nvml.nvmlDeviceGetUtilizationRates, handle)
    milliwatts = _ask(nvml.nvmlDeviceGetPowerUsage, handle)
    temperature = _ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
    name = _ask(nvml.nvmlDeviceGetName, handle) or ""
    processes = _ask(nvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    mine = [p.usedGpuMemory for p in processes if p.pid == pid and p.usedGpuMemory is not None]
    return Gpu(
        index=index,
        name=name.decode() if isinstance(name, bytes) else name,
        memory_used=memory.used if memory else None,
        memory_total=memory.total if memory else None,
        memory_job=sum(mine) if mine else None,
        utilisation=float(rates.gpu) if rates else None,
        temperature=float(temperature) if temperature is not None else None,
        power=milliwatts / 1000 if milliwatts is not None else None,
    )


def _ask(function: Callable[..., T], *arguments: Any) -> T | None:
    """The answer, or None where this GPU or driver does not report that."""
    try:
        return function(*arguments)
    except Exception:  # NVMLError has a subclass per code; a GPU may fall off the bus at any call
        return None


_processes: dict[int, psutil.Process] = {}


def _host(pid: int, disk: Path) -> Host:
    memory = psutil.virtual_memory()
    host = Host(cpu=psutil.cpu_percent(None), memory_used=memory.used, memory_total=memory.total)
    try:
        # psutil measures CPU since the same object's last call, so the object is kept.
        process = _processes.setdefault(pid, psutil.Process(pid))
        host.job_cpu = process.cpu_percent(None)
        host.job_memory = process.memory_info().rss
    except psutil.Error:
        _processes.pop(pid, None)
    try:
        stats = os.statvfs(disk)
        host.disk_free = stats.f_bavail * stats.f_frsize
    except OSError:
        pass
    return host
