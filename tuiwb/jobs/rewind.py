"""Take an event log back to a checkpoint's step, so that what is trained again is told once.

In: a job folder whose worker is gone, the step it goes on from, and what the trainer had logged by
then. Out: events.jsonl with every metric of that history once and in order; what came after lies
in events-lost.jsonl.
"""

import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs import process
from tuiwb.jobs.events import (
    VERSION,
    Alert,
    AnyEvent,
    Artifact,
    Control,
    Log,
    Metrics,
    Progress,
    Sample,
    decode,
    encode,
)
from tuiwb.jobs.folder import EVENTS

LOST = "events-lost.jsonl"


class Rewound(msgspec.Struct, kw_only=True):
    """What a rewind did: events moved to events-lost.jsonl, metrics put back, changes undone."""

    lost: int = 0
    restored: int = 0
    undone: list[str] = []


def rewind(folder: Path, step: int, history: list[dict[str, Any]] | None = None) -> Rewound:
    """Rewrite events.jsonl as it stood at `step`; only while no worker lives.

    `history` is the checkpoint's log_history: its metrics are in the log afterwards, each once and
    in order, also those that a power cut took from the log. The rewrite is a new file renamed over
    the old one. BadInput when the disk is full or a worker lives; nothing has changed then.
    """
    identity = process.read(folder)
    if identity is not None and process.alive(identity):
        raise BadInput(f"{folder.name} still has its process {identity.pid}: stop it first")
    log, lost = folder / EVENTS, folder / LOST
    beside, lost_beside = folder / f".{EVENTS}.rewind", folder / f".{LOST}.rewind"
    sort = _Sort(step, history)
    try:
        with log.open("rb") as old, beside.open("wb") as new:
            gone = [line for line in _lines(old) if not sort.keep(line, new)]
            sort.finish(new)
            _synced(new)
        if not gone and not sort.restored:
            beside.unlink()
            return Rewound()
        _append_lost(lost, lost_beside, b"".join(gone))
        beside.replace(log)
        _sync_folder(folder)
    except FileNotFoundError:
        return Rewound()
    except OSError as error:
        for half in (beside, lost_beside):
            half.unlink(missing_ok=True)
        mend = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that"
        raise BadInput(
            f"can't rewrite {log}: {error.strerror or error}; {mend} and resume again: "
            "nothing has changed"
        ) from None
    return Rewound(lost=len(gone), restored=sort.restored, undone=sort.undone)


class _Sort:
    """Decides line by line what stays; writes what stays, and what is missing before it."""

    def __init__(self, step: int, history: list[dict[str, Any]] | None) -> None:
        self.step = step
        self.history = [_values(entry) for entry in history or []]
        self.exact = history is not None
        self.next = 0
        self.restored = 0
        self.undone: list[str] = []
        self._beyond = False  # whether the checkpoint, or an event of a later step, has passed
        self._t = 0.0
        self._total: int | None = None

    def keep(self, line: bytes, new: IO[bytes]) -> bool:
        """Write the line to `new` if it belongs to the run as it stood; whether it does."""
        event = decode(line)
        if event is not None and self._is_lost(event, new):
            return False
        if event is not None:
            self._t = event.t
        new.write(line if line.endswith(b"\n") else line + b"\n")
        return True

    def finish(self, new: IO[bytes]) -> None:
        """Write the metrics that the history has after the log's last."""
        self._restore(len(self.history), new)

    def _is_lost(self, event: AnyEvent, new: IO[bytes]) -> bool:
        match event:
            case Metrics():
                self._total = event.total_steps or self._total
                self._beyond = self._beyond or event.step > self.step
                return event.step > self.step or not self._known(event, new)
            case Artifact(kind="checkpoint"):
                self._beyond = self._beyond or event.step == self.step
                return (event.step or 0) > self.step
            case Sample() | Alert():
                return event.step is not None and event.step > self.step
            case Progress(phase="training"):
                return event.done > self.step
            case Progress(phase="evaluating"):
                return self._beyond
            case Control(command="set", ok=True) if self._beyond:
                self.undone.append(event.note)
                return True
            case Log() if self._beyond:
                return any(event.message in note for note in self.undone)
            case _:
                # Samples of the hardware stay: that time was spent, and paid for.
                return False

    def _known(self, event: Metrics, new: IO[bytes]) -> bool:
        """Whether the history holds this event next; what it holds before is put back first."""
        if not self.exact:
            return True
        for position in range(self.next, len(self.history)):
            at, _, values = self.history[position]
            if at > event.step:
                break
            if at == event.step and _same(values, event.values):
                self._restore(position, new)
                self.next = position + 1
                return True
        return False

    def _restore(self, until: int, new: IO[bytes]) -> None:
        for at, epoch, values in self.history[self.next : until]:
            missing = Metrics(
                v=VERSION, t=self._t, step=at, epoch=epoch, total_steps=self._total, values=values
            )
            new.write(encode(missing))
            self.restored += 1
        self.next = max(self.next, until)


def _values(entry: dict[str, Any]) -> tuple[int, float | None, dict[str, float]]:
    """(step, epoch, numbers) of an entry of log_history."""
    numbers = {
        k: float(v)
        for k, v in entry.items()
        if k not in ("step", "epoch") and isinstance(v, int | float) and not isinstance(v, bool)
    }
    epoch = entry.get("epoch")
    return int(entry.get("step", 0)), None if epoch is None else float(epoch), numbers


def _same(logged: dict[str, float], told: dict[str, float]) -> bool:
    """Whether an event tells this entry: it may tell more (tokens_per_second), never less."""
    return all(
        name in told and (told[name] == value or (math.isnan(told[name]) and math.isnan(value)))
        for name, value in logged.items()
    )


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    return iter(file.readline, b"")


def _append_lost(lost: Path, beside: Path, gone: bytes) -> None:
    """Add to events-lost.jsonl, whole or not at all; once, though a kill made us come again."""
    before = lost.read_bytes() if lost.exists() else b""
    if not gone or before.endswith(gone):
        return
    with beside.open("wb") as file:
        file.write(before + gone)
        _synced(file)
    beside.replace(lost)


def _synced(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
