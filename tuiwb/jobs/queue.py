"""Several jobs for the GPUs of one machine: each waits in a process of its own for its turn.

tickets.py keeps what each needs, turns.py decides whose turn it is, waiter.py waits.
"""

import os
import sys
import time
import uuid
from pathlib import Path

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs import scope
from tuiwb.jobs.folder import LOG, load
from tuiwb.jobs.launch import WORKER_ENVIRONMENT
from tuiwb.jobs.tickets import HOME, deciding, tickets_in, write_ticket
from tuiwb.jobs.turns import Ticket, waiting

__all__ = ["HOME", "Place", "enqueue", "line", "move_to_front"]
PATIENCE = 60.0  # seconds; a start through a service manager that does not answer takes 20
WAITER = "tuiwb.monitor.wait_turn"  # a process of its own, which sees the GPUs


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
    command = [sys.executable, "-m", WAITER, str(folder), python or sys.executable]
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
    BadInput when the queue is held up by a process that hangs.
    """
    with deciding(PATIENCE) as home:
        tickets = tickets_in(home)
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
    with deciding(PATIENCE) as home:
        order = waiting(tickets_in(home))
        mine = next((t for t in order if Path(t.folder) == folder), None)
        if mine is None:
            raise BadInput(f"{folder.name} does not wait in the queue")
        if order[0].id != mine.id:
            mine.order = order[0].order - 1
            write_ticket(home, mine)
