"""Several jobs for the GPUs of one machine: each waits in a process of its own for its turn.

A ticket in a folder of the user's (TUIWB_QUEUE, else XDG_STATE_HOME/tuiwb/queue/HOST) says what
each needs; a file lock held by its process says that it still waits, so that a killed one blocks
nobody. `python -m tuiwb.jobs.queue FOLDER TICKET` is that process; turns.py decides.
"""

import contextlib
import fcntl
import importlib
import os
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec

from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import process, scope
from tuiwb.jobs.control import ControlReader
from tuiwb.jobs.events import Control, Device, EventWriter, Gpu, State
from tuiwb.jobs.folder import EVENTS, LOG, load, write_atomically
from tuiwb.jobs.launch import WORKER_ENVIRONMENT, launch
from tuiwb.jobs.state import status
from tuiwb.jobs.turns import Ticket, key, turn, waiting

HOME = "TUIWB_QUEUE"
HARDWARE = "tuiwb.monitor.device"  # by name: it stands above this package
LOOK_EVERY = 1.0  # seconds between two looks at commands, and at the GPUs for the first in line
LOOK_LATER = 4  # of those for everyone behind
SAY_EVERY = 10.0  # seconds between two phases that differ only in what is free

Sample = Callable[[], list[Gpu]]


class Place(msgspec.Struct, kw_only=True):
    """One job in the line. `place` counts from 1 among those that wait, 0: it has started.

    `needs` bytes of GPU memory (None: a whole GPU); `gpus` the indexes it may use (None: any).
    """

    folder: Path
    place: int
    needs: int | None
    gpus: list[int] | None
    since: float


def enqueue(
    folder: Path,
    *,
    needs: int | None = None,
    gpus: list[int] | None = None,
    cpu: bool = False,
    python: str | None = None,
) -> int:
    """Let the job in `folder` wait for its turn in a detached process; returns its pid.

    `needs` bytes of GPU memory (None: a whole GPU), on one of `gpus` (None: any). Without a GPU,
    and with `cpu`, it starts when no other queued job of this user runs here. BadInput when it is
    in line already or the waiting process can't be started.
    """
    job = load(folder)
    folder = folder.resolve()
    if any(place.folder == folder and place.place for place in line()):
        raise BadInput(f"{job.name} is in the queue already")
    now = time.time()
    ticket = Ticket(
        id=uuid.uuid4().hex[:12],
        folder=str(folder),
        name=job.name,
        order=now,
        since=now,
        needs=needs,
        gpus=gpus,
        cpu=cpu,
    )
    # Our own Python waits, light and known to be whole; the job's own trains.
    command = [sys.executable, "-m", "tuiwb.jobs.queue", str(folder), python or sys.executable]
    try:
        waiter = scope.start(
            [*command, msgspec.json.encode(ticket).decode()],
            cwd=folder,
            environment={**os.environ, **WORKER_ENVIRONMENT},
            log=folder / LOG,
        )
    except OSError as error:
        raise BadInput(f"can't queue {folder}: {error}") from None
    said = scope.line_of(waiter)
    scope.close(waiter)
    if not said.isdigit():
        reason = said.removeprefix("! ") or f"the waiting process ended at once; see {LOG}"
        raise BadInput(f"can't queue {job.name}: {reason}")
    return int(said)


def line() -> list[Place]:
    """Every job of this user in this host's line: those that run, then those that wait, in order.

    A waiting job is cancelled with `jobs.send(folder, "stop")`, answered within a second or two.
    """
    with _decision() as home:
        tickets = _tickets(home)
    order = [*(t for t in tickets if t.started is not None), *waiting(tickets)]
    places = {t.id: n for n, t in enumerate(waiting(tickets), 1)}
    return [
        Place(
            folder=Path(t.folder),
            place=places.get(t.id, 0),
            needs=t.needs,
            gpus=t.gpus,
            since=t.since,
        )
        for t in order
    ]


def move_to_front(folder: Path) -> None:
    """Let a waiting job go before all others; BadInput when it doesn't wait."""
    folder = folder.resolve()
    with _decision() as home:
        order = waiting(_tickets(home))
        mine = next((t for t in order if Path(t.folder) == folder), None)
        if mine is None:
            raise BadInput(f"{folder.name} does not wait in the queue")
        if order[0].id != mine.id:
            mine.order = order[0].order - 1
            _write(home, mine)


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
    with _held(ticket):
        process.write(folder, msgspec.structs.replace(process.identify(os.getpid()), waits=True))
        _greet(str(os.getpid()))
        while True:
            if told_to_end.is_set() or voice.told_to_stop():
                voice.end(State(state="cancelled", message="cancelled while it was in the queue"))
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
    with _decision() as home:
        tickets = _tickets(home)
        mine = next((t for t in tickets if t.id == ticket_id), None)
        if mine is None:
            voice.end(State(state="failed", message="its ticket in the queue was removed"))
            return True
        found = turn(mine, tickets, gpus)
        if not found.go or not fresh:
            voice.waits(found.place, found.why)
            return False
        where = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        if found.gpu is not None:
            where["CUDA_VISIBLE_DEVICES"] = key(found.gpu)
        voice.end()
        try:
            launch(folder, python=python, environment=where if found.gpu is not None else None)
        except TuiwbError as error:
            voice = _Voice(folder)
            voice.end(State(state="failed", message=str(error), exit_code=error.exit_code))
            return True
        mine.started = process.read(folder)
        mine.gpu = key(found.gpu) if found.gpu is not None else None
        _write(home, mine)
        return True


class _Voice:
    """The waiting process's part of the event log, and its ear."""

    def __init__(self, folder: Path) -> None:
        self.place = 0
        self._events = EventWriter(folder / EVENTS)
        self._control = ControlReader(folder)
        self._said = ""
        self._at = 0.0

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


def _home() -> Path:
    """The user's queue of this host; made if it isn't there. BadInput when it can't be."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    default = Path(state).expanduser() / "tuiwb" / "queue" / socket.gethostname()
    home = Path(os.environ.get(HOME) or default)
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadInput(f"can't make the queue's folder {home}: {error.strerror}") from None
    return home


@contextlib.contextmanager
def _decision() -> Iterator[Path]:
    """The queue's folder, with nobody else deciding; the lock goes with its process."""
    home = _home()
    with (home / "decision.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield home


@contextlib.contextmanager
def _held(ticket: Ticket) -> Iterator[None]:
    """The ticket in the queue's folder while we live; it stays when its job has started."""
    home = _home()
    with (home / f"{ticket.id}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(home, ticket)
        try:
            yield
        finally:
            mine = _read(home / f"{ticket.id}.json")
            if mine is None or mine.started is None:
                _remove(home, ticket.id)


def _tickets(home: Path) -> list[Ticket]:
    """Every ticket whose waiting process or job lives; the others are removed. Under the lock."""
    found = []
    for path in sorted(home.glob("*.json")):
        ticket = _read(path)
        if ticket is None:
            continue
        if ticket.started is None and not _locked(home / f"{ticket.id}.lock"):
            # Killed between starting its job and noting that, or while it waited.
            identity = process.read(Path(ticket.folder))
            ticket.started = identity if identity and not identity.waits else None
        elif ticket.started is None:
            found.append(ticket)
            continue
        if ticket.started is None or not process.alive(ticket.started):
            _remove(home, ticket.id)
            continue
        if not ticket.settled and _trains(Path(ticket.folder)):
            ticket.settled = True
            _write(home, ticket)
        found.append(ticket)
    return found


def _trains(folder: Path) -> bool:
    """Whether a job has done its first step: its memory is allocated by then."""
    try:
        return status(folder).step > 0
    except (TuiwbError, OSError):
        return True


def _locked(path: Path) -> bool:
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _read(path: Path) -> Ticket | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ticket)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(home: Path, ticket: Ticket) -> None:
    write_atomically(home / f"{ticket.id}.json", msgspec.json.encode(ticket))


def _remove(home: Path, ticket_id: str) -> None:
    for ending in ("json", "lock"):
        (home / f"{ticket_id}.{ending}").unlink(missing_ok=True)


def _greet(words: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, words.encode() + b"\n")


def hardware() -> list[Gpu]:
    """The GPUs as they are now; one that gives no figures where they can't be asked."""
    device: Device = importlib.import_module(HARDWARE).sample(os.getpid(), Path.cwd())
    if not device.gpus and device.problem:
        # There may well be one: not a machine to train on the CPU of.
        return [Gpu(index=0, problem=device.problem)]
    return device.gpus


def main(folder: Path, python: str, ticket: Ticket) -> int:
    """The waiting process."""
    _greet("here")
    try:
        return wait(folder, ticket, python, hardware)
    except (TuiwbError, OSError) as error:
        _greet(f"! {error}")
        print(f"the queue: {error}", file=sys.stderr)  # noqa: T201
        return 4


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], msgspec.json.decode(sys.argv[3], type=Ticket)))
