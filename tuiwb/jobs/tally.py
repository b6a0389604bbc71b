"""What a run has cost and reached, counted event by event so that no reader needs the whole log.

In: events in order. Out: seconds that it really ran, peaks of memory, best losses with their
steps, the pace of its steps.
"""

import math

import msgspec

from tuiwb.jobs.events import AnyEvent, Device, Metrics, State

LONGEST_SILENCE = 3600.0  # seconds; a longer gap is a machine that slept or a clock that was set
IDLE_PHASES = frozenset({"paused"})
ACTIVE = frozenset({"starting", "running", "stopping"})
OLD = 0.7  # weight of the pace so far against that of the newest log line


class Tally(msgspec.Struct, kw_only=True):
    """`active`: seconds in which the job ran, without queueing, pauses and the time between two
    processes. Memory in bytes, summed over the GPUs on which the job held some (`gpus` of them at
    most), as the driver reports it; `torch_memory` as torch does. `pace`: seconds a step of late,
    evaluations included.
    """

    active: float = 0.0
    counting: bool = False
    gpus: int = 0
    gpu_memory: int | None = None
    torch_memory: int | None = None
    host_memory: int | None = None
    best_eval_loss: float | None = None
    best_eval_step: int | None = None
    best_train_loss: float | None = None
    best_train_step: int | None = None
    pace: float | None = None
    paced_step: int | None = None
    paced_active: float = 0.0

    @property
    def peak_memory(self) -> int | None:
        """The most GPU memory that the job held, by the driver's word or else torch's."""
        return self.gpu_memory if self.gpu_memory is not None else self.torch_memory

    def add(self, event: AnyEvent, before: float | None) -> None:
        """Count one event; `before` is the time of the event before it."""
        self._clock(event, before)
        if isinstance(event, Device):
            self.take_device(event)
        elif isinstance(event, Metrics):
            self._metrics(event)

    def active_until(self, now: float, seen: float | None) -> float:
        """`active` with the time since the last event (`seen`), of a job that runs at `now`."""
        since = now - seen if seen is not None and self.counting else 0.0
        return self.active + (since if 0 < since <= LONGEST_SILENCE else 0.0)

    def _clock(self, event: AnyEvent, before: float | None) -> None:
        begins_anew = isinstance(event, State) and event.state in ("queued", "starting")
        if self.counting and before is not None and not begins_anew:
            gap = event.t - before
            if 0 < gap <= LONGEST_SILENCE:
                self.active += gap
        if isinstance(event, State):
            self.counting = event.state in ACTIVE and event.phase not in IDLE_PHASES
            if begins_anew:
                self.paced_step = None

    def take_device(self, event: Device) -> None:
        """Count a sample of the hardware."""
        driver = by_torch = None
        used = hidden = 0
        for gpu in event.gpus:
            memory, told_by = gpu.memory_job, gpu.job_from
            if memory is not None:
                used += memory != 0
                if told_by:
                    by_torch = (by_torch or 0) + memory
                else:
                    driver = (driver or 0) + memory
            # Where nobody can tell which of them it uses: those that it may.
            if told_by == "hidden" and gpu.visible is not False:
                hidden += 1
        if event.torch:
            by_torch, hidden = 0, len(event.torch)
            for torch in event.torch:
                reserved, peak = torch.reserved, torch.peak_reserved
                by_torch += reserved if reserved > peak else peak
        # Compared by hand: a log may hold a hundred thousand samples.
        if driver is not None and (self.gpu_memory is None or driver > self.gpu_memory):
            self.gpu_memory = driver
        if by_torch is not None and (self.torch_memory is None or by_torch > self.torch_memory):
            self.torch_memory = by_torch
        if used > self.gpus or hidden > self.gpus:
            self.gpus = max(used, hidden)
        host = event.host
        if host is not None and host.job_memory is not None:
            held = host.job_memory
            if self.host_memory is None or held > self.host_memory:
                self.host_memory = held

    def take_best(self, name: str, value: float, step: int) -> None:
        """A loss at a step, if it is the lowest yet."""
        if name == "eval_loss" and _better(value, self.best_eval_loss):
            self.best_eval_loss, self.best_eval_step = value, step
        elif name == "loss" and _better(value, self.best_train_loss):
            self.best_train_loss, self.best_train_step = value, step

    def take_pace(self, step: int, active: float, counting: bool) -> None:
        """A log line of training at a step, after so many active seconds."""
        if counting and self.paced_step is not None and step > self.paced_step:
            newest = (active - self.paced_active) / (step - self.paced_step)
            self.pace = newest if self.pace is None else OLD * self.pace + (1 - OLD) * newest
        self.paced_step, self.paced_active = step, active

    def _metrics(self, event: Metrics) -> None:
        for name in ("eval_loss", "loss"):
            if name in event.values:
                self.take_best(name, event.values[name], event.step)
        if "loss" in event.values:
            self.take_pace(event.step, self.active, self.counting)


def _better(value: float, best: float | None) -> bool:
    return math.isfinite(value) and (best is None or value < best)
