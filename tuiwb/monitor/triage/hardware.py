"""The machine under the run: slower than it was, too hot, a GPU that waits."""

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Device, Metrics, State
from tuiwb.monitor.triage.rule import Episode, middle, number, over, training_loss

LAPS = 5  # log entries for a pace
SLOWER = 0.6  # of the best pace so far
SLOW_FOR, STAYS_SLOW = 30.0, 120.0  # seconds: a note, a warning
HOT = {"hw slowdown", "hw thermal", "sw thermal", "power brake"}
HOT_FOR = 10.0  # seconds
WAITS = 35.0  # percent of the GPU's time in use
WAITS_FOR = 60.0  # seconds
FEW = 3  # samples; while nothing changes they are half a minute apart
BUSY = 60.0  # percent of a core by the job's own process: it, not the disk, prepares batches


class ThroughputDrop:
    """Tokens (or steps) a second far below what the run did before: a note after half a minute, a
    warning if it stays so for two."""

    name = "throughput_drop"

    def __init__(self) -> None:
        self._laps: deque[float] = deque(maxlen=LAPS)
        self._best = 0.0
        self._slow_since = 0.0
        self._last: tuple[int, float] | None = None
        self._unit = "tokens"
        self._open = self._warned = self._skip = False

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Take the pace of each log entry of training."""
        if isinstance(event, State):
            if event.state == "starting":
                self.__init__()  # type: ignore[misc]
            self._skip = self._skip or event.phase in ("evaluating", "saving", "paused")
            return
        if training_loss(event) is None or not isinstance(event, Metrics):
            return
        pace = self._pace(event)
        if pace is None:
            return
        self._laps.append(pace)
        now = middle(self._laps)
        if len(self._laps) == LAPS and not self._open:
            self._best = max(self._best, now)
        slow = self._best > 0 and now < SLOWER * self._best
        self._slow_since = (self._slow_since or event.t) if slow else 0.0
        lasts = event.t - self._slow_since if slow else 0.0
        if slow and lasts >= SLOW_FOR and not self._open:
            self._open = True
            yield self._alert(event, now, "note")
        elif slow and lasts >= STAYS_SLOW and not self._warned:
            self._warned = True
            yield self._alert(event, now, "warning")
        elif self._open and now > 0.85 * self._best:
            self._open = self._warned = False
            yield over(self.name, f"{_pace(now)} {self._unit}/s again", event.step)

    def _pace(self, event: Metrics) -> float | None:
        """tokens_per_second as logged, else steps a second between two entries."""
        before, self._last = self._last, (event.step, event.t)
        skip, self._skip = self._skip, False
        given = event.values.get("tokens_per_second")
        if given is not None:
            # The first lap pays for compilation and caches.
            return given if before is not None and math.isfinite(given) else None
        self._unit = "steps"
        if before is None or skip or event.t <= before[1] or event.step <= before[0]:
            return None
        return (event.step - before[0]) / (event.t - before[1])

    def _alert(self, event: Metrics, now: float, severity: str) -> Alert:
        return Alert(
            rule=self.name,
            severity=severity,
            evidence=f"{_pace(now)} {self._unit}/s (median of {LAPS} log entries) at step "
            f"{event.step}, {100 * now / self._best:.0f}% of the {_pace(self._best)} it was",
            cause="another process shares the GPU, the CPU or the disk; the GPU slows itself down "
            "(heat, power); or rows have become longer",
            fix="see who else uses the machine; the run itself is sound",
            look="the device pane: utilisation, clocks and throttle reasons, processes on the GPU, "
            "host CPU",
            numbers={"now": now, "best": self._best},
            step=event.step,
        )


def _pace(value: float) -> str:
    """Steps of a large model take many seconds: '0.031', '12.5', '4,210'."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


class Throttling:
    """A GPU of the run lowers its clocks for heat or a failing power supply."""

    name = "thermal_throttling"

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._open: set[int] = set()

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Look at the throttle reasons of each sample."""
        if not isinstance(event, Device):
            return
        for gpu in event.gpus:
            if gpu.visible is False:  # somebody else's
                continue
            reasons = [reason for reason in gpu.throttle if reason in HOT]
            if not reasons:
                self._since.pop(gpu.index, None)
                if gpu.index in self._open:
                    self._open.discard(gpu.index)
                    yield over(self.name, f"GPU {gpu.index} runs at full clocks again", None)
                continue
            since = self._since.setdefault(gpu.index, event.t)
            if gpu.index in self._open or event.t - since < HOT_FOR:
                continue
            self._open.add(gpu.index)
            slow = gpu.clock_sm is not None and gpu.clock_sm_most
            yield Alert(
                rule=self.name,
                severity="warning",
                evidence=f"GPU {gpu.index}: {', '.join(reasons)} for {event.t - since:.0f} s"
                + (f", {gpu.temperature:.0f} °C" if gpu.temperature is not None else "")
                + (f", {gpu.clock_sm:.0f} of {gpu.clock_sm_most:.0f} MHz" if slow else ""),
                cause="too little cooling, or a power supply that can't keep up",
                fix="better airflow or a lower power limit (nvidia-smi -pl); the results are not "
                "touched, only the speed",
                look="the device pane: temperature, power and clocks over time",
                numbers={"temperature": gpu.temperature} if gpu.temperature is not None else {},
            )


class Starvation:
    """The GPU waits while the job's own process is busy: batches come too slowly."""

    name = "data_starvation"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._training = False
        self._samples: deque[tuple[float, float, float]] = deque()
        self._episode = Episode(after=1, calm=1)

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Look at the samples that fall into training, over a minute."""
        if isinstance(event, State):
            self._training = event.state == "running" and event.phase == "training"
            self._samples.clear()
            return
        if not isinstance(event, Device) or not self._training or event.host is None:
            return
        used = [
            g.utilisation
            for g in event.gpus
            if g.utilisation is not None and g.visible is not False
        ]
        if not used or event.host.job_cpu is None:
            return
        self._samples.append((event.t, max(used), event.host.job_cpu))
        while self._samples[-1][0] - self._samples[1 if len(self._samples) > 1 else 0][0] > (
            WAITS_FOR
        ):
            self._samples.popleft()
        if event.t - self._samples[0][0] < WAITS_FOR or len(self._samples) < FEW:
            return
        gpu = middle([g for _, g, _ in self._samples])
        cpu = middle([c for _, _, c in self._samples])
        match self._episode.see(gpu < WAITS and cpu > BUSY, good=gpu > 1.5 * WAITS):
            case "fire":
                yield self._alert(gpu, cpu)
            case "clear":
                yield over(self.name, f"the GPU is {gpu:.0f}% in use", None)

    def _alert(self, gpu: float, cpu: float) -> Alert:
        workers = number(self.spec, "training.dataloader_num_workers", 0)
        batch = int(number(self.spec, "training.per_device_train_batch_size", 8))
        change: dict[str, Any] = (
            {"training.dataloader_num_workers": 4}
            if workers < 4
            else {"training.per_device_train_batch_size": 2 * batch}
        )
        return Alert(
            rule=self.name,
            severity="warning",
            evidence=f"over the last minute the GPU was {gpu:.0f}% in use (median) while the "
            f"job's process took {cpu:.0f}% of a core",
            cause="the GPU waits for the CPU: batches are collated in the trainer's own process, "
            "or they are so small that starting each kernel takes longer than the kernel",
            fix="set " + ", ".join(f"{k.split('.')[1]}: {v}" for k, v in change.items()),
            change=change,
            look="the device pane: utilisation over time, host CPU",
            numbers={"utilisation": gpu, "job_cpu": cpu},
        )
