"""A warning before memory runs out: the card's, and the host's (the kernel kills who asks last).

In: the samples so far. Out: a `MemoryWarning` or None. Pure.

torch's allocator keeps what it once took, so a run climbs in stairs to a plateau, and one that sits
at 95% of the card is well set, not in danger. So two things count: what is left when torch's cache
is given back (it is, before an allocation fails), and whether the need still grows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from tuiwb.jobs.events import Device, Gpu, TorchMemory
from tuiwb.text import short_bytes, short_seconds

WINDOW = 900.0  # seconds that the trend is taken over
WARM_UP = 120.0  # seconds after the first sample that no trend is taken from: models are loading
SOON, AT_ONCE = 1800.0, 300.0  # a trend that reaches the top in as many seconds is told
TIGHT = 0.03  # share of the card that is left: told as a note where nothing grows
CLOSE = 0.015  # share that is left: told as a warning where anything still grows
HOST_TIGHT, HOST_CLOSE = 0.06, 0.03  # the host has no cache to give back, and no second try
FEWEST = 8  # samples a trend needs
Severity = Literal["note", "warning", "critical"]


@dataclass(frozen=True)
class MemoryWarning:
    """Which memory runs short, how much is left of it (bytes), and when it may be used up.

    `where` is "GPU 0" or "host"; `rate` in bytes a second; `seconds` None where nothing grows.
    """

    where: str
    severity: Severity
    left: int
    total: int
    rate: float
    seconds: float | None
    evidence: str
    cause: str
    fix: str


def forecast(history: Sequence[Device]) -> MemoryWarning | None:
    """The most pressing warning that the samples give (oldest first), or None."""
    found = [*_gpus(history), *_host(history)]
    order = {"critical": 0, "warning": 1, "note": 2}
    return min(found, key=lambda w: (order[w.severity], w.left / max(w.total, 1)), default=None)


def _gpus(history: Sequence[Device]) -> list[MemoryWarning]:
    if not history:
        return []
    found = []
    for gpu in history[-1].gpus:
        if not (gpu.memory_job or gpu.job_from == "hidden") or not gpu.memory_total:
            continue
        warning = _one(history, f"GPU {gpu.index}", gpu.memory_total, _left_of(gpu), (TIGHT, CLOSE))
        if warning is not None:
            found.append(warning)
    return found


def _left_of(wanted: Gpu) -> Callable[[Device], int | None]:
    """How to read what is left on a GPU from a sample."""

    def left(device: Device) -> int | None:
        for gpu in device.gpus:
            same = gpu.uuid == wanted.uuid if wanted.uuid else gpu.index == wanted.index
            if same and gpu.memory_total and gpu.memory_used is not None:
                torch = next((t for t in device.torch if t.index == gpu.index), None)
                return headroom(gpu, torch)
        return None

    return left


def headroom(gpu: Gpu, torch: TorchMemory | None) -> int:
    """Bytes a run can still get: free on the card, and torch's cache that its peak never needed."""
    total, used = gpu.memory_total or 0, gpu.memory_used or 0
    free = max(0, total - used - (gpu.memory_reserved or 0))
    return free + (max(0, torch.reserved - torch.peak_allocated) if torch else 0)


def _host(history: Sequence[Device]) -> list[MemoryWarning]:
    host = history[-1].host if history else None
    if host is None or not host.memory_total:
        return []

    def left(device: Device) -> int | None:
        h = device.host
        return max(0, h.memory_total - h.memory_used) if h else None

    found = _one(history, "host", host.memory_total, left, (HOST_TIGHT, HOST_CLOSE))
    return [found] if found else []


def _one(
    history: Sequence[Device],
    where: str,
    total: int,
    read: Callable[[Device], int | None],
    limits: tuple[float, float],
) -> MemoryWarning | None:
    seen = [(d.t, left) for d in history if (left := read(d)) is not None]
    if not seen:
        return None
    left = seen[-1][1]
    rate = growth(seen)
    seconds = left / rate if rate > 0 else None
    tight, close = limits
    soon = seconds if seconds is not None else float("inf")
    # What the host runs out of ends processes; a card that is full and stays so is well used.
    pressing = rate > 0 or where == "host"
    severity: Severity
    if soon < AT_ONCE or (pressing and left < close * total / 2):
        severity = "critical"
    elif soon < SOON or (pressing and left < close * total):
        severity = "warning"
    elif left < tight * total:
        severity = "warning" if where == "host" else "note"
    else:
        return None
    return _words(where, severity, left, total, rate, seconds)


def growth(seen: Sequence[tuple[float, int]]) -> float:
    """By how many bytes a second what is left (unix seconds, bytes) shrinks; 0 where it doesn't.

    The trend of the lowest in each of four quarters of the last WINDOW seconds, after WARM_UP: it
    counts only if the last quarter still went down, so that a stair that ended is no trend.
    """
    begin = max(seen[0][0] + WARM_UP, seen[-1][0] - WINDOW)
    recent = [(t, left) for t, left in seen if t >= begin]
    if len(recent) < FEWEST or recent[-1][0] - recent[0][0] < 60:
        return 0.0
    first, span = recent[0][0], recent[-1][0] - recent[0][0]
    lowest: list[int | None] = [None] * 4
    for t, left in recent:
        at = min(3, int(4 * (t - first) / span))
        before = lowest[at]
        lowest[at] = left if before is None else min(before, left)
    known = [value for value in lowest if value is not None]
    if len(known) < 4 or not all(a > b for a, b in pairwise(known)):
        return 0.0
    return (known[0] - known[3]) / (0.75 * span)


def _words(
    where: str, severity: Severity, left: int, total: int, rate: float, seconds: float | None
) -> MemoryWarning:
    share = 100 * left / max(total, 1)
    evidence = f"{where}: {short_bytes(left)} of {short_bytes(total)} left ({share:.1f}%)"
    if seconds is not None:
        evidence += (
            f", {short_bytes(60 * rate)} less each minute: used up in {short_seconds(seconds)}"
        )
    if where == "host":
        cause = "the dataset, its workers or other programs fill the host's memory"
        fix = "lower training.dataloader_num_workers, or end what else runs here"
    elif seconds is not None:
        cause = "memory grows step by step: longer rows come, or something keeps tensors alive"
        fix = "lower training.max_length or per_device_train_batch_size before it ends the run"
    else:
        cause = "the card is full up to this: a longer row than any so far may not fit"
        fix = "lower per_device_train_batch_size (gradient_accumulation_steps makes up for it)"
    return MemoryWarning(
        where=where,
        severity=severity,
        left=left,
        total=total,
        rate=rate,
        seconds=seconds,
        evidence=evidence,
        cause=cause,
        fix=fix,
    )
