"""W&B's local run file (wandb/run-*/run-*.wandb, offline or not), with the `wandb` package's own
message types.

The file is a LevelDB log: a header of 7 bytes, then blocks of 32 KiB with records of CRC (4
bytes), length (2, little-endian) and type (1: whole, 2: first, 3: middle, 4: last part).
Source: LevelDB doc/log_format.md. Checksums are not looked at: a torn end waits for its rest.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from tuiwb.errors import MissingHere
from tuiwb.jobs.events import Artifact, Metrics
from tuiwb.monitor.foreign.source import Reading, number, trainer_name

HEADER, BLOCK, RECORD = 7, 32768, 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
MAGIC = b":W&B"
# What integrations call the optimiser step beside W&B's own counter of log calls.
STEPS = ("train/global_step", "trainer/global_step", "global_step", "_step")
EPOCHS = ("train/epoch", "epoch")
CHUNK = 4 << 20


class Records:
    """Whole records of a growing log file; what has only half arrived is waited for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._parts: list[bytes] = []

    def read(self) -> list[bytes]:
        """The records that have come in since, of at most CHUNK bytes; OSError, or ValueError for
        a file of another kind."""
        with self.path.open("rb") as file:
            if not self.offset:
                head = file.read(HEADER)
                if len(head) < HEADER:
                    return []
                if not head.startswith(MAGIC):
                    raise ValueError("it is not a W&B run file")
                self.offset = HEADER
            file.seek(self.offset)
            data = file.read(CHUNK)
        found: list[bytes] = []
        at = 0
        while True:
            left = BLOCK - (self.offset + at) % BLOCK
            if left < RECORD:  # the rest of a block that can't hold a record is padding
                if at + left > len(data):
                    break
                at += left
                continue
            length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6 : at + 7]
            end = at + RECORD + length
            if not kind or end > len(data):
                break
            self._add(kind[0], data[at + RECORD : end], found)
            at = end
        self.offset += at
        return found

    def _add(self, kind: int, part: bytes, found: list[bytes]) -> None:
        if kind in (WHOLE, FIRST):
            self._parts = []
        self._parts.append(part)
        if kind in (WHOLE, LAST):
            found.append(b"".join(self._parts))
            self._parts = []


class WandbSource:
    """One run file, followed."""

    what = "W&B run file"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._messages = _messages()
        self.restart()

    def restart(self) -> None:
        """Give everything again at the next poll."""
        self._records = Records(self.path)
        self._size = -1
        self._more = False
        self._end = ""
        self._total = 0

    @property
    def done(self) -> float:
        """The share of the file's bytes that is read."""
        return min(1.0, self._records.offset / self._size) if self._size > 0 else 1.0

    def poll(self, seconds: float) -> Reading | None:
        """The history rows logged since the last look, for about so long at most."""
        until = time.monotonic() + seconds
        try:
            stat = self.path.stat()
        except OSError:
            return None
        anew = stat.st_size < self._records.offset
        if anew:
            self.restart()
        if stat.st_size == self._size and not self._more:
            return None
        self._size, self._more = stat.st_size, True
        reading = Reading(anew=anew, written=stat.st_mtime)
        events: list[Metrics | Artifact] = []
        try:
            while True:
                before = self._records.offset
                for data in self._records.read():
                    self._take(data, events)
                self._more = self._records.offset != before
                if not self._more or time.monotonic() >= until:
                    break
        except (OSError, ValueError) as error:
            self._more = False
            reading.problem = f"{self.path} can't be read: {error}"
        reading.events, reading.end, reading.total_steps = events, self._end, self._total
        return reading

    def _take(self, data: bytes, events: list[Metrics | Artifact]) -> None:
        record = self._messages.Record()
        try:
            record.ParseFromString(data)
        except Exception:  # a record of another version: protobuf's error has no public home
            return
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = _row(record.history)
            if row is not None:
                events.append(row)
        elif kind == "exit":
            self._end = "failed" if record.exit.exit_code else "finished"
        elif kind in ("run", "config"):
            config = record.run.config if kind == "run" else record.config
            for item in config.update:
                if item.key == "max_steps":
                    total = number(_json(item.value_json))
                    self._total = int(total) if total and 0 < total < 2**53 else 0


def _row(history: Any) -> Metrics | None:
    """A history row as metrics; None for one without a number."""
    plain = {item.key or "/".join(item.nested_key): _json(item.value_json) for item in history.item}
    steps = (number(plain.get(name)) for name in STEPS)
    step = next((s for s in steps if s is not None), float(history.step.num))
    epochs = (number(plain.get(name)) for name in EPOCHS)
    values = {
        trainer_name(name): value
        for name, raw in plain.items()
        if name not in (*STEPS, *EPOCHS)
        and not name.startswith("_")
        and (value := number(_finite(raw))) is not None
    }
    if not values or not 0 <= step < 2**53:
        return None
    return Metrics(
        t=number(plain.get("_timestamp")) or 0.0,
        step=int(step),
        epoch=next((e for e in epochs if e is not None), None),
        values=values,
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _finite(value: Any) -> Any:
    """W&B writes NaN and infinity as strings."""
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def run_files(folder: Path) -> list[Path]:
    """The run files of a folder: its own, or those of its runs, the newest last."""
    found = [
        path
        for pattern in ("run-*.wandb", "*run-*/run-*.wandb", "wandb/*run-*/run-*.wandb")
        for path in folder.glob(pattern)
        if path.is_file() and not path.parent.is_symlink()
    ]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _messages() -> Any:
    """W&B's message types; MissingHere says what to install."""
    # Importing wandb starts its error reporting, which would send ours to them.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        from wandb.proto import wandb_internal_pb2
    except ImportError as error:
        raise MissingHere(
            f"reading W&B run files needs the wandb package ({error}): pip install wandb"
        ) from None
    return wandb_internal_pb2
