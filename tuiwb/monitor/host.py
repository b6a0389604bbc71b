"""The machine and the job's processes: CPU, memory against the limit that counts, swap, disk.

In a container the cgroup's limit counts, not the machine's memory: the OOM killer goes by it.
"""

import os
import threading
import time
from pathlib import Path

import psutil

from tuiwb.jobs.events import Host
from tuiwb.monitor.cgroup import Limits, limits_of

SHORTEST = 0.1  # seconds over which CPU use is measured at least: the kernel counts in 0.01 s
SHARED_EVERY = 10.0  # seconds between two looks at what the job's processes share


class HostWatch:
    """CPU use is what passed since the last look: keep one of these and ask it again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[int, float] = {}  # CPU seconds by process, at the last look
        self._looked: float | None = None
        self._shared: tuple[float, frozenset[int], int] | None = None
        self._cpu_before: tuple[float, float | None] = (0.0, None)

    def look(self, pids: frozenset[int], disk: Path) -> Host:
        """The host now, with the share of the processes `pids`; `disk`: a folder on the disk."""
        with self._lock:
            if self._looked is None:
                psutil.cpu_percent(None)
                self._busy, self._looked = _busy(pids), time.monotonic()
                time.sleep(SHORTEST)
            host = self._memory(pids)
            self._cpu(host, pids)
        _disk(host, disk)
        return host

    def _memory(self, pids: frozenset[int]) -> Host:
        memory = psutil.virtual_memory()
        host = Host(cpu=0.0, memory_used=memory.total - memory.available, memory_total=memory.total)
        limits = limits_of(min(pids, default=os.getpid()))
        if limits.memory is not None and limits.memory < memory.total and limits.used is not None:
            host.memory_total, host.memory_used, host.limit = limits.memory, limits.used, "cgroup"
        host.cores = _cores(limits)
        try:
            swap = psutil.swap_memory()
            host.swap_used, host.swap_total = swap.used, swap.total
        except (OSError, RuntimeError):  # no /proc/vmstat in some containers
            pass
        host.job_memory = self._job_memory(pids)
        return host

    def _cpu(self, host: Host, pids: frozenset[int]) -> None:
        try:
            host.load = round(os.getloadavg()[0], 2)
        except OSError:
            pass
        now = time.monotonic()
        passed = now - (self._looked if self._looked is not None else now)
        if passed < SHORTEST:
            host.cpu, host.job_cpu = self._cpu_before
            return
        host.cpu, busy = psutil.cpu_percent(None), _busy(pids)
        if busy:
            # A process that is new since the last look counts from its beginning.
            used = sum(seconds - self._busy.get(pid, 0.0) for pid, seconds in busy.items())
            host.job_cpu = round(max(0.0, 100 * used / passed), 1)
        self._busy, self._looked = busy, now
        self._cpu_before = (host.cpu, host.job_cpu)

    def _job_memory(self, pids: frozenset[int]) -> int | None:
        """Resident bytes; of several processes each page once (Pss, proc(5) smaps_rollup)."""
        if len(pids) < 2:
            return _resident(pids)
        now = time.monotonic()
        if self._shared and self._shared[1] == pids and now - self._shared[0] < SHARED_EVERY:
            return self._shared[2]
        sizes = [size for pid in pids if (size := _proportional(pid)) is not None]
        if not sizes:
            return _resident(pids)
        self._shared = (now, pids, sum(sizes))
        return self._shared[2]


def _busy(pids: frozenset[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
            found[pid] = times.user + times.system
        except psutil.Error:
            pass
    return found


def _resident(pids: frozenset[int]) -> int | None:
    sizes = []
    for pid in pids:
        try:
            sizes.append(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            pass
    return sum(sizes) if sizes else None


def _proportional(pid: int) -> int | None:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return _resident(frozenset({pid}))


def _cores(limits: Limits) -> float:
    """CPUs this process may use: its affinity, and the cgroup's quota where that is less."""
    allowed = getattr(os, "sched_getaffinity", None)
    count = float(len(allowed(0)) if allowed else os.cpu_count() or 1)
    return min(count, limits.cores) if limits.cores else count


def _disk(host: Host, disk: Path) -> None:
    try:
        stats = os.statvfs(disk)
    except OSError:
        return
    host.disk_free = stats.f_bavail * stats.f_frsize
    host.disk_total = stats.f_blocks * stats.f_frsize
