"""The event log: typed events, one JSON object a line, one writer, any number of readers.

A torn last line waits for its rest; an unknown type, a newer field or a broken line never stops a
reader. NaN and infinity travel as the strings "NaN", "Infinity" and "-Infinity".
"""

import math
import os
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from tuiwb.jobs.log_file import LogFile

VERSION = 1


class Event(msgspec.Struct, kw_only=True, tag_field="type", omit_defaults=True, gc=False):
    """What every event carries: format version and unix seconds.

    No event refers to itself, so the garbage collector need not look at them: a log has many.
    """

    v: int = 0
    t: float = 0.0
    durable: ClassVar[bool] = False


class State(Event, tag="state"):
    """The job entered a state, or a new phase of it."""

    state: str
    phase: str = ""
    message: str = ""
    exit_code: int | None = None
    durable: ClassVar[bool] = True


class Progress(Event, tag="progress"):
    """How far a phase has come: `done` of `total` units (total 0: not known)."""

    phase: str
    done: float
    total: float = 0
    unit: str = ""

    @property
    def in_steps(self) -> bool:
        """Whether it counts optimiser steps."""
        return self.phase == "training" and self.unit == "steps"


class Metrics(Event, tag="metrics"):
    """Values by the trainer's own names at an optimiser step; NaN and infinity as such."""

    step: int
    epoch: float | None = None
    total_steps: int | None = None
    values: dict[str, float] = {}


class GpuProcess(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """A process that holds memory of a GPU: bytes, None where the driver doesn't say."""

    pid: int
    user: str = ""
    name: str = ""
    memory: int | None = None
    job: bool = False


class Gpu(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One GPU, or one MIG instance, at one moment. None: not reported.

    Bytes, percent, degrees Celsius, watts, MHz; PCIe throughput in bytes/s. `throttle` holds
    NVML's reasons in words, `problem` why the GPU gives no figures, `mig` the instance's profile.
    `memory_reserved` is the driver's own, in `memory_total` but free to nobody. `visible`: whether
    CUDA_VISIBLE_DEVICES lets the job use it. `job_from`: "" when `memory_job` is the driver's
    figure, "torch" when only the allocator's is known (without CUDA's own), "hidden" when the
    driver's pids are another namespace's, so that it can't be known.
    """

    index: int
    name: str = ""
    uuid: str = ""
    mig: str = ""
    problem: str = ""
    memory_used: int | None = None
    memory_total: int | None = None
    memory_job: int | None = None
    memory_reserved: int | None = None
    visible: bool | None = None
    job_from: str = ""
    utilisation: float | None = None
    memory_utilisation: float | None = None
    temperature: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock_sm: float | None = None
    clock_sm_most: float | None = None
    clock_memory: float | None = None
    throttle: list[str] = []
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_sent: float | None = None
    pcie_received: float | None = None
    processes: list[GpuProcess] = []


class Host(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The machine and the job's process with its children at one moment: bytes and percent.

    `limit` names what memory_total is where it isn't the machine's ("cgroup"); `cores` is how many
    CPUs the job may use, `load` the machine's load over one minute.
    """

    cpu: float
    memory_used: int
    memory_total: int
    job_cpu: float | None = None
    job_memory: int | None = None
    disk_free: int | None = None
    disk_total: int | None = None
    limit: str = ""
    cores: float | None = None
    load: float | None = None
    swap_used: int | None = None
    swap_total: int | None = None


class TorchMemory(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What torch's caching allocator holds on one GPU, in bytes; peaks since the run began."""

    index: int
    allocated: int
    reserved: int
    peak_allocated: int
    peak_reserved: int


class Device(Event, tag="device"):
    """A sample of the hardware; `torch` from inside the job's own process.

    `problem` says why no GPU could be asked where there may well be one.
    """

    problem: str = ""
    gpus: list[Gpu] = []
    host: Host | None = None
    torch: list[TorchMemory] = []


class Sample(Event, tag="sample"):
    """A text worth showing while the job runs: a completion, a rendered row."""

    step: int = 0
    prompt: str = ""
    text: str = ""


class Artifact(Event, tag="artifact"):
    """Something the job made, path relative to the job folder.

    `finite`: whether every number of an adapter is one; None where nobody looked.
    """

    kind: str
    path: str
    sha256: str = ""
    step: int | None = None
    finite: bool | None = None
    durable: ClassVar[bool] = True


class Alert(Event, tag="alert"):
    """A rule fired: what was seen, why it is likely so, and what to do.

    `severity` is "note", "warning" or "critical". `change` is the fix as config keys (dotted) and
    their new values; `look` says what to look at next; `rows` are the places (file:line) of rows
    that had a part in it.
    """

    rule: str
    severity: str
    evidence: str
    cause: str = ""
    fix: str = ""
    change: dict[str, Any] = {}
    look: str = ""
    rows: list[str] = []
    numbers: dict[str, float] = {}
    step: int | None = None


class Log(Event, tag="log"):
    """A line worth keeping beside the raw log."""

    level: str = "info"
    message: str = ""


class Control(Event, tag="control"):
    """The worker's answer to a command from control.jsonl."""

    id: str
    command: str
    ok: bool = True
    note: str = ""


AnyEvent = State | Progress | Metrics | Device | Sample | Artifact | Alert | Log | Control


class _WireMetrics(Event, tag="metrics"):
    step: int
    epoch: float | None = None
    total_steps: int | None = None
    values: dict[str, float | str | None] = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(
    State | Progress | _WireMetrics | Device | Sample | Artifact | Alert | Log | Control
)


def encode(event: AnyEvent) -> bytes:
    """One event as a line of JSON, newline included."""
    if isinstance(event, Metrics):
        wire: Any = _WireMetrics(
            v=event.v,
            t=event.t,
            step=event.step,
            epoch=event.epoch,
            total_steps=event.total_steps,
            values={k: x if math.isfinite(x) else spell(x) for k, x in event.values.items()},
        )
    else:
        wire = event
    try:
        return _encoder.encode(wire) + b"\n"
    except UnicodeEncodeError:
        # A lone surrogate, from a file's name or its text, is no reason to lose the event.
        return _encoder.encode(_encodable(msgspec.to_builtins(wire))) + b"\n"


def decode(line: bytes) -> AnyEvent | None:
    """One line as an event; None for a broken line or a type this version does not know."""
    try:
        event: AnyEvent | _WireMetrics = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(event, _WireMetrics):
        return Metrics(
            v=event.v,
            t=event.t,
            step=event.step,
            epoch=event.epoch,
            total_steps=event.total_steps,
            values={k: _number(x) for k, x in event.values.items()},
        )
    return event


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    return [_encodable(v) for v in value] if isinstance(value, list) else value


def spell(value: float) -> str:
    """NaN and the infinities as the event log writes them."""
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _number(value: float | str | None) -> float:
    try:
        return float(value) if value is not None else math.nan
    except ValueError:
        return math.nan


class EventWriter:
    """Appends events; safe from several threads of the one process that owns the log.

    When the disk is full the event waits in memory and is written, in order, once there is room:
    nothing is lost while the process lives, and no half line is left behind.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.RLock()
        self._size = os.fstat(self._fd).st_size
        self._waiting: list[bytes] = []
        with path.open("rb") as file:
            if self._size:
                file.seek(self._size - 1)
                if file.read(1) != b"\n":
                    self._waiting.append(b"\n")

    def emit(self, event: AnyEvent) -> None:
        """Stamp the event with the time if it has none, and append it."""
        event.v = event.v or VERSION
        event.t = event.t or time.time()
        with self._lock:
            self._waiting.append(encode(event))
            self._flush(event.durable)

    @property
    def waiting(self) -> int:
        """How many lines could not be written yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Write what still waits, if it can be written, and let go of the file."""
        with self._lock:
            self._flush(durable=True)
            os.close(self._fd)

    def _flush(self, durable: bool) -> None:
        try:
            while self._waiting:
                line = self._waiting[0]
                written = os.write(self._fd, line)
                if written != len(line):
                    os.ftruncate(self._fd, self._size)
                    return
                self._size += written
                self._waiting.pop(0)
            if durable:
                os.fsync(self._fd)
        except OSError:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                pass


class EventReader:
    """Follows a log: each `read()` returns the whole events added since the last one.

    A log that shrank, or is another than before, is read from its beginning again, and
    `generation` says so.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self._log = LogFile(path, offset)

    @property
    def offset(self) -> int:
        """Where the first line not yet read begins."""
        return self._log.offset

    @property
    def size(self) -> int:
        """How long the log was at the last look."""
        return self._log.size

    @property
    def generation(self) -> int:
        """How often the log turned out to be another one."""
        return self._log.generation

    def read(self, limit: int = 64 << 20) -> list[AnyEvent]:
        """New events in order; at most about `limit` bytes of them. A missing file is empty."""
        lines = self._log.lines(limit)
        events = (decode(line) for line in lines.split(b"\n") if line)
        return [event for event in events if event is not None]
