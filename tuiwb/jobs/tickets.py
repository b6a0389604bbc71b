"""The tickets of jobs in line: files in a folder of the user's, one set for each host.

The folder is TUIWB_QUEUE, else XDG_STATE_HOME/tuiwb/queue/HOST. A file lock held by the waiting
process says that a ticket still waits, so that a killed one blocks nobody.
"""

import contextlib
import fcntl
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import process
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.state import status
from tuiwb.jobs.turns import Ticket
from tuiwb.prepared import prepared

HOME = "TUIWB_QUEUE"
LOOK_EVERY = 0.02  # seconds between two tries for the lock


def home_folder() -> Path:
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
def deciding(patience: float = math.inf) -> Iterator[Path]:
    """The queue's folder, with nobody else deciding; the lock goes with its process.

    BadInput when another process holds it for over `patience` seconds.
    """
    home = home_folder()
    deadline = time.monotonic() + patience
    with (home / "decision.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BadInput(
                        f"the queue is held up: a process that starts a job has had {file.name} "
                        f"locked for over {patience:.0f} s; look at the disk of that job"
                    ) from None
            time.sleep(LOOK_EVERY)
        yield home


@contextlib.contextmanager
def held(ticket: Ticket) -> Iterator[None]:
    """The ticket in the queue's folder while we live; it stays when its job has started."""
    home = home_folder()
    with (home / f"{ticket.id}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_ticket(home, ticket)
        try:
            yield
        finally:
            mine = read_ticket(home / f"{ticket.id}.json")
            if mine is None or mine.started is None:
                remove(home, ticket.id)


def tickets_in(home: Path) -> list[Ticket]:
    """Every ticket whose waiting process or job lives; the others are removed. Under the lock."""
    found = []
    for path in sorted(home.glob("*.json")):
        ticket = read_ticket(path)
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
            remove(home, ticket.id)
            continue
        if not ticket.settled and _has_trained(ticket):
            ticket.settled = True
            write_ticket(home, ticket)
        found.append(ticket)
    return found


def _has_trained(ticket: Ticket) -> bool:
    """Whether a job has done a step since it started: its memory is allocated by then."""
    try:
        return status(Path(ticket.folder)).step > ticket.step
    except (TuiwbError, OSError):
        return True


def read_ticket(path: Path) -> Ticket | None:
    """A ticket's file; None when it is gone or no ticket."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepared(Ticket))
    except (OSError, msgspec.MsgspecError):
        return None


def write_ticket(home: Path, ticket: Ticket) -> None:
    """Leave a ticket, or what has changed of it, in the queue's folder."""
    write_atomically(home / f"{ticket.id}.json", msgspec.json.encode(ticket))


def remove(home: Path, ticket_id: str) -> None:
    """Take a ticket and its lock away."""
    for ending in ("json", "lock"):
        (home / f"{ticket_id}.{ending}").unlink(missing_ok=True)


def _locked(path: Path) -> bool:
    try:
        # A network disk locks alone only what may be written (flock(2), NFS).
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
