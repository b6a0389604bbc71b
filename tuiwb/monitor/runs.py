"""A run in one line: what a table of runs shows, sorts and filters by.

In: a job folder, its state, the price of a GPU hour. Out: a `RunSummary`. Nothing here reads an
event log: what needs the whole history is in the state's tally.
"""

import json
import math
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.events import spell
from tuiwb.jobs.folder import JOB, load
from tuiwb.jobs.labels import NONE, Labels, read_labels
from tuiwb.jobs.state import JobState, word_of
from tuiwb.monitor.triage.rule import open_alerts

MANIFEST = "manifest.json"
MOST_MANIFEST = 4 << 20
SEVERITIES = ("note", "warning", "critical")
PACED = ("training", "evaluating", "paused", "")  # phases in which steps go on


class RunSummary(msgspec.Struct, kw_only=True, frozen=True):
    """One job. Times are unix seconds, durations seconds, memory bytes; None: not known.

    `best_loss` is the lowest held-out loss, and `best_of` says "eval_loss"; of a run without
    held-out data it is the lowest logged training loss ("loss"). `peak_memory` is the GPUs' (summed
    over those of the job), or the process's own where the job held none (`peak_memory_of`: "gpu",
    "torch" or "host"). `active` excludes queueing, pauses and the time between two processes;
    `cost` is the price of a GPU hour times GPUs times active hours. `eta` is seconds to the last
    step at the pace of late. `dataset_version` names a version made by tuiwb with the first 12
    digits of the data's sha256; `problem` says what of the folder could not be read.
    """

    name: str
    folder: Path
    kind: str
    state: str
    running: bool
    phase: str = ""
    message: str = ""
    method: str = ""
    base: str = ""
    dataset: str = ""
    dataset_version: str = ""
    step: int = 0
    total_steps: int = 0
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    best_of: str = ""
    tokens_per_second: float | None = None
    peak_memory: int | None = None
    peak_memory_of: str = ""
    gpus: int = 0
    active: float = 0.0
    cost: float | None = None
    eta: float | None = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    alerts: int = 0
    worst_alert: str = ""
    checkpoint: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False
    problem: str = ""

    @property
    def word(self) -> str:
        """The state as people read it."""
        return word_of(self.state)

    @property
    def paused(self) -> bool:
        """Whether the run waits for a resume."""
        return self.running and self.phase == "paused"

    @property
    def share(self) -> float | None:
        """Steps done, of all: 0 to 1; None where the number of steps is not known."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else None

    @property
    def took(self) -> float | None:
        """The seconds in which it ran (`active`); None before it started."""
        return None if self.started is None else self.active

    def as_json(self) -> dict[str, Any]:
        """Plain values; NaN and infinity as strings, as in the event log."""
        plain: dict[str, Any] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                value = spell(value)
            plain[name] = str(value) if isinstance(value, Path) else value
        return plain


class Asked(msgspec.Struct, frozen=True):
    """What job.yaml says of a run, for the table."""

    method: str
    base: str
    dataset: str
    version: str


def summarise(
    folder: Path, state: JobState, price: float | None = None, now: float | None = None
) -> RunSummary:
    """One line about the job in `folder`; `price` of a GPU hour, None or 0 for no cost.

    Reads job.yaml once and labels.json when it changed; never raises for what stands in them.
    """
    now = time.time() if now is None else now
    tally = state.tally
    active = state.lasted(now) or 0.0
    asked, problem = _asked_of(folder)
    labels, unread = _labels_of(folder)
    memory, memory_of = _peak(state)
    best = state.best
    alerts = [alert.severity for alert in open_alerts(state.alerts)]
    checkpoint = state.last_checkpoint
    return RunSummary(
        name=run_name(folder),
        folder=folder,
        kind=state.kind,
        state=state.state,
        running=state.running,
        phase=state.phase if state.running else "",
        message=state.message,
        method=asked.method,
        base=asked.base,
        dataset=asked.dataset,
        dataset_version=asked.version,
        step=state.at_step,
        total_steps=state.of_steps,
        epoch=state.epoch,
        loss=state.metrics.get("loss"),
        eval_loss=state.metrics.get("eval_loss"),
        best_loss=best[0],
        best_step=best[1],
        best_of=best[2] if best[0] is not None else "",
        tokens_per_second=state.metrics.get("tokens_per_second"),
        peak_memory=memory,
        peak_memory_of=memory_of,
        gpus=tally.gpus,
        active=active,
        cost=price * tally.gpus * active / 3600 if price and tally.gpus else None,
        eta=_eta(state, now),
        created=state.created,
        started=state.started,
        ended=state.ended,
        alerts=len(alerts),
        worst_alert=max(alerts, key=_severity, default=""),
        checkpoint=checkpoint.path if checkpoint else "",
        tags=labels.tags,
        note=labels.note,
        archived=labels.archived,
        problem=problem or unread,
    )


def run_name(folder: Path) -> str:
    """What the user calls the job: its path below runs/."""
    above = folder.parent.name
    return folder.name if above in ("runs", "") else f"{above}/{folder.name}"


def _severity(name: str) -> int:
    return SEVERITIES.index(name) if name in SEVERITIES else 0


def _peak(state: JobState) -> tuple[int | None, str]:
    tally = state.tally
    if tally.gpu_memory is not None:
        return tally.gpu_memory, "gpu"
    if tally.torch_memory is not None:
        return tally.torch_memory, "torch"
    return tally.host_memory, "host" if tally.host_memory is not None else ""


def _eta(state: JobState, now: float) -> float | None:
    tally = state.tally
    if tally.pace is None or not state.running or not state.total_steps:
        return None
    if state.phase not in PACED or tally.paced_step is None:
        return None
    left = (state.total_steps - tally.paced_step) * tally.pace
    since = tally.active_until(now, state.seen) - tally.paced_active
    return max(0.0, left - max(0.0, since))


def _asked_of(folder: Path) -> tuple[Asked, str]:
    path = folder / JOB
    try:
        stat = path.stat()
        return _read_asked(folder, stat.st_mtime_ns, stat.st_size), ""
    except BadInput as error:
        return Asked("", "", "", ""), str(error)
    except OSError as error:
        return Asked("", "", "", ""), f"can't read {path}: {error.strerror or error}"


@lru_cache(maxsize=4096)
def _read_asked(folder: Path, _changed: int, _size: int) -> Asked:
    """job.yaml never changes, and YAML is slow to read: kept per file, time and size."""
    job = load(folder)
    spec = job.spec
    data = _dict(spec.get("data"))
    train = data.get("train")
    files = [str(f) for f in (train if isinstance(train, list) else [train]) if f]
    if not files and isinstance(spec.get("dataset"), str):
        files = [spec["dataset"]]
    method = spec.get("method")
    base = _dict(spec.get("model")).get("base", spec.get("base"))
    versions = [_version(Path(file), job.fingerprints.get(file, "")) for file in files]
    return Asked(
        method=method if isinstance(method, str) else "",
        base=base if isinstance(base, str) else "",
        dataset=", ".join(files),
        version=", ".join(filter(None, versions)),
    )


def _version(path: Path, fingerprint: str) -> str:
    """`NAME sha256` of a version made by tuiwb: that of the very data the run was given."""
    manifest = (path if path.is_dir() else path.parent) / MANIFEST
    try:
        with manifest.open("rb") as file:
            plain = _dict(json.loads(file.read(MOST_MANIFEST)))
    except (OSError, ValueError, RecursionError):
        return ""
    name = plain.get("name")
    if not isinstance(name, str):
        return ""
    listed = plain.get("outputs")
    outputs = [_dict(output) for output in listed] if isinstance(listed, list) else []
    written = next((o.get("sha256") for o in outputs if o.get("file") == path.name), None)
    used = fingerprint.removeprefix("sha256:")
    changed = " (not as its manifest says)" if used and written and used != written else ""
    return f"{name} {(used or str(written or ''))[:12]}".rstrip() + changed


def _labels_of(folder: Path) -> tuple[Labels, str]:
    try:
        return read_labels(folder), ""
    except BadInput as error:
        return NONE, str(error)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
