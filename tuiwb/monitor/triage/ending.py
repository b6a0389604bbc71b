"""How a run ended: out of memory, told from the worker's own last word or from its death."""

import re
from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Device, Metrics, State
from tuiwb.monitor.triage.facts import DataFacts
from tuiwb.monitor.triage.rule import number, setting
from tuiwb.text import short_bytes

_MEMORY = re.compile(
    r"out of memory|OutOfMemory|memory is full|CUBLAS_STATUS_ALLOC|can't allocate memory|"
    r"cannot allocate memory|MemoryError|OOM.killer|ran out of memory",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"OOM.killer|MemoryError|host|machine|cannot allocate|can't allocate|cgroup", re.I
)
SHORTEST = 512  # tokens below which max_length is not halved


class OutOfMemory:
    """A run that failed, or died, for want of memory."""

    name = "out_of_memory"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.facts: DataFacts | None = None
        self._peak = 0.0
        self._seen = ""
        self._step: int | None = None

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Remember the fullest sample; speak when the worker says why it failed."""
        if isinstance(event, Metrics):
            self._step = event.step
        elif isinstance(event, Device):
            for gpu in event.gpus:
                if gpu.memory_used and gpu.memory_total and gpu.visible is not False:
                    share = gpu.memory_used / gpu.memory_total
                    if share > self._peak:
                        self._peak = share
                        self._seen = (
                            f"GPU {gpu.index} held {short_bytes(gpu.memory_used)} of "
                            f"{short_bytes(gpu.memory_total)} at most"
                        )
        elif isinstance(event, State) and event.state in ("failed", "died"):
            yield from self.ended(event.message)

    def ended(self, why: str, cause: str = "") -> Iterator[Alert]:
        """The alert if `why` (a sentence) or `cause` (of a Death) speaks of memory."""
        if cause != "out_of_memory" and not _MEMORY.search(why):
            return
        host = bool(_HOST.search(why)) and "GPU" not in why and "CUDA" not in why
        change = {} if host else self._smaller()
        where = f" after step {self._step}" if self._step is not None else " before the first step"
        yield Alert(
            rule=self.name,
            severity="critical",
            evidence=f"the run ended{where}: {why[:200]}" + (f"; {self._seen}" * bool(self._seen)),
            cause="the machine's own memory ran out: other processes, or a dataset that is held "
            "whole"
            if host
            else "a batch of long rows needs more memory than the GPU has left",
            fix="free memory on the machine, then resume the run"
            if host
            else "start again with "
            + ", ".join(f"{key.split('.')[1]}: {str(v).lower()}" for key, v in change.items())
            + " (the same effective batch)" * ("training.gradient_accumulation_steps" in change),
            change=change,
            look="the memory estimate against the card, and who else is on it",
            numbers={"memory_share": self._peak} if self._peak else {},
            step=self._step,
        )

    def _smaller(self) -> dict[str, Any]:
        """The next thing to make smaller: batch, then recomputation, then length."""
        batch = int(number(self.spec, "training.per_device_train_batch_size", 8))
        if batch > 1:
            steps = int(number(self.spec, "training.gradient_accumulation_steps", 1))
            small = batch // 2
            return {
                "training.per_device_train_batch_size": small,
                "training.gradient_accumulation_steps": -(-steps * batch // small),
            }
        if setting(self.spec, "training.gradient_checkpointing") is False:
            return {"training.gradient_checkpointing": True}
        length = int(number(self.spec, "training.max_length", 0))
        if length >= 2 * SHORTEST:
            return {"training.max_length": length // 2}
        return {"lora.r": max(1, int(number(self.spec, "lora.r", 16)) // 2)}
