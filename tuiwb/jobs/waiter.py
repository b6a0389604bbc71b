"""The process of a job that waits for its turn: it looks, says why it waits, and starts the job.

In: the job's folder, its ticket, what samples the GPUs. Out: a launched worker, or the last word of
a job that was stopped meanwhile.
"""

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.jobs import process
from tuiwb.jobs.control import ANSWERED, ControlReader
from tuiwb.jobs.events import Control, EventWriter, Gpu, State
from tuiwb.jobs.folder import EVENTS
from tuiwb.jobs.launch import launch
from tuiwb.jobs.state import status
from tuiwb.jobs.tickets import deciding, held, tickets_in, write_ticket
from tuiwb.jobs.turns import Ticket, key, seen, turn

LOOK_EVERY = 1.0  # seconds between two looks at commands, and at the GPUs for the first in line
LOOK_LATER = 4  # of those for everyone behind
SAY_EVERY = 10.0  # seconds between two phases that differ only in what is free

Sample = Callable[[], list[Gpu]]


def wait(
    folder: Path, ticket: Ticket, python: str, sample: Sample, *, every: float = LOOK_EVERY
) -> int:
    """Wait for the turn of the job in `folder` and start it; the exit code.

    `sample` gives the GPUs as they are now. Commands: stop cancels, others are refused.
    """
    told_to_end = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        told_to_end.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    voice = _Voice(folder)
    gpus: list[Gpu] = []
    looks = 0
    with held(ticket):
        process.write(folder, msgspec.structs.replace(process.identify(os.getpid()), waits=True))
        greet(str(os.getpid()))
        while True:
            if told_to_end.is_set() or voice.told_to_stop():
                voice.end(State(state="cancelled", message="stopped while it was in the queue"))
                return 0
            fresh = voice.place <= 1 or looks % LOOK_LATER == 0
            if fresh and not ticket.cpu:
                gpus = sample()
            if _start_if_it_may(folder, ticket.id, python, gpus, voice, fresh):
                return 0
            looks += 1
            told_to_end.wait(every)


def _start_if_it_may(
    folder: Path, ticket_id: str, python: str, gpus: list[Gpu], voice: "_Voice", fresh: bool
) -> bool:
    """One decision, alone among all waiting processes; whether this one is over.

    On a sample of the GPUs that is not `fresh` nothing is started: the next look takes another.
    """
    with deciding() as home:
        tickets = tickets_in(home)
        mine = next((t for t in tickets if t.id == ticket_id), None)
        if mine is None:
            voice.end(State(state="failed", message="its ticket in the queue was removed"))
            return True
        if (gpus_seen := seen(mine, gpus)) != mine.gpus:
            mine.gpus = gpus_seen
            write_ticket(home, mine)
        found = turn(mine, tickets, gpus)
        if not found.go or not fresh:
            voice.waits(found.place, found.why)
            return False
        told = {ANSWERED: str(voice.heard)}
        if found.gpu is not None:
            told |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": key(found.gpu)}
        mine.step = status(folder).step
        voice.end()
        try:
            pid = launch(folder, python=python, environment=told)
        except TuiwbError as error:
            voice = _Voice(folder)
            voice.end(State(state="failed", message=str(error), exit_code=error.exit_code))
            return True
        with contextlib.suppress(ProcessLookupError):
            mine.started = process.identify(pid)
        mine.gpu = key(found.gpu) if found.gpu is not None else None
        write_ticket(home, mine)
        return True


class _Voice:
    """The waiting process's part of the event log, and its ear."""

    def __init__(self, folder: Path) -> None:
        self.place = 0
        self._events = EventWriter(folder / EVENTS)
        self._control = ControlReader(folder)
        self._said = ""
        self._at = 0.0

    @property
    def heard(self) -> int:
        """How much of control.jsonl has been answered, in bytes."""
        return self._control.offset

    def told_to_stop(self) -> bool:
        """Answer new commands; whether stop is among them."""
        commands = self._control.read()
        for command in commands:
            stop = command.command == "stop"
            note = "taken out of the queue" if stop else "it waits for its turn"
            self._events.emit(Control(id=command.id, command=command.command, ok=stop, note=note))
        return any(command.command == "stop" for command in commands)

    def waits(self, place: int, why: str) -> None:
        """Say why it waits when that changed, and not too often."""
        self.place, before = place, self.place
        if not why:
            return
        moved = place != before or _without_figures(why) != _without_figures(self._said)
        if why != self._said and (moved or time.monotonic() - self._at >= SAY_EVERY):
            self._events.emit(State(state="queued", phase=why))
            self._said, self._at = why, time.monotonic()

    def end(self, last: State | None = None) -> None:
        """Say the last word, if any, and let go of the log."""
        if last is not None:
            self._events.emit(last)
        self._events.close()


def _without_figures(text: str) -> str:
    return re.sub(r"[\d.]+ \w+ free", "", text)


def greet(words: str) -> None:
    """Tell the process that queued the job."""
    with contextlib.suppress(OSError):
        os.write(1, words.encode() + b"\n")
