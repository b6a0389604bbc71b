"""Whose turn it is: jobs in line for GPUs, and what is free. Pure.

In: the tickets of a line and a sample of the GPUs. Out: whether one of them may start, where, or
why it waits. First come, first served for each GPU: a small job never overtakes a big one that
waits for the same GPU, or the big one would wait for ever.
"""

import msgspec

from tuiwb.jobs.events import Gpu
from tuiwb.jobs.process import ProcessIdentity
from tuiwb.text import short_bytes

WHOLE = 0.9  # share of a card's memory that must be free to call the card free


class Ticket(msgspec.Struct, kw_only=True):
    """One job in line. `needs` bytes (None: a whole GPU); `gpus` indexes (None: any).

    `cpu`: it trains on the CPU. Once it has started: `started` its process, `gpu` the key of its
    GPU, `step` where it stood then, `settled` whether it holds its memory by now.
    """

    id: str
    folder: str
    name: str
    order: float
    since: float
    needs: int | None = None
    gpus: list[int] | None = None
    cpu: bool = False
    started: ProcessIdentity | None = None
    gpu: str | None = None
    step: int = 0
    settled: bool = False


class Turn(msgspec.Struct, kw_only=True):
    """Whether it may start now, on which GPU (None: on the CPU), else why not."""

    go: bool
    place: int
    gpu: Gpu | None = None
    why: str = ""


def key(gpu: Gpu) -> str:
    """What CUDA_VISIBLE_DEVICES calls a GPU or a MIG instance."""
    return gpu.uuid or str(gpu.index)


def waiting(line: list[Ticket]) -> list[Ticket]:
    """The tickets that wait, first in line first."""
    return sorted((t for t in line if t.started is None), key=lambda t: (t.order, t.since, t.id))


def seen(mine: Ticket, gpus: list[Gpu]) -> list[int] | None:
    """The GPUs a ticket is for, given what its own process sees of them: on one that is hidden from
    it nobody need wait behind it."""
    if mine.gpus is not None or all(gpu.visible is not False for gpu in gpus):
        return mine.gpus
    return sorted({gpu.index for gpu in gpus if gpu.visible is not False})


def turn(mine: Ticket, line: list[Ticket], gpus: list[Gpu]) -> Turn:
    """Whether `mine`, one of the tickets in `line`, may start, given a sample of all GPUs."""
    order = waiting(line)
    place = next(n for n, ticket in enumerate(order, 1) if ticket.id == mine.id)
    before = order[: place - 1]
    mine_too = [gpu for gpu in gpus if gpu.visible is not False and not mine.cpu]
    usable = [gpu for gpu in mine_too if _may_use(mine, gpu)]
    if not usable and (mine_too or (mine.gpus and not mine.cpu)):
        return Turn(go=False, place=place, why=_no_figures(mine, mine_too, place))
    if not usable:
        # Without a GPU everyone before us is for the CPU too; beside GPUs only who asked for it.
        return _on_cpu([t for t in before if t.cpu or not gpus], line, place)
    found = []
    for gpu in usable:
        ahead = [t for t in before if _may_use(t, gpu)]
        free = room(gpu, line)
        wanted = _wanted(mine, gpu)
        if not ahead and free >= wanted and _whole_if_asked(mine, gpu, line):
            return Turn(go=True, place=place, gpu=gpu)
        found.append((free, wanted, gpu))
    free, wanted, gpu = max(found, key=lambda entry: entry[0])
    where = f"GPU {gpu.index}" if len(usable) == 1 else "a GPU"
    most = "" if len(usable) == 1 else f" at most (GPU {gpu.index})"
    wants = f"{short_bytes(wanted)} needed" if mine.needs is not None else "a whole GPU wanted"
    return Turn(
        go=False,
        place=place,
        why=f"waiting for {where}: {wants}, {short_bytes(max(0, free))} free{most}; "
        f"{_nth(place)} in line",
    )


def room(gpu: Gpu, line: list[Ticket]) -> int:
    """Bytes of a GPU that nobody holds and that no started job of the line will still take."""
    total = gpu.memory_total or 0
    free = total - (gpu.memory_reserved or 0) - (gpu.memory_used or 0)
    for ticket in line:
        if ticket.started is not None and ticket.gpu == key(gpu):
            if ticket.needs is None:
                return 0
            free -= _still_to_take(ticket, gpu)
    return free


def _still_to_take(ticket: Ticket, gpu: Gpu) -> int:
    """What a started job hasn't allocated yet of what it needs."""
    pid = ticket.started.pid if ticket.started else None
    held = [p.memory for p in gpu.processes if p.pid == pid and p.memory is not None]
    if ticket.settled:
        return 0
    return max(0, (ticket.needs or 0) - sum(held))


def _wanted(ticket: Ticket, gpu: Gpu) -> int:
    # An estimate above the card is tried on the whole card: it may be wrong.
    whole = int(WHOLE * (gpu.memory_total or 0))
    return whole if ticket.needs is None else min(ticket.needs, whole)


def _whole_if_asked(ticket: Ticket, gpu: Gpu, line: list[Ticket]) -> bool:
    return ticket.needs is not None or not any(
        t.started is not None and t.gpu == key(gpu) for t in line
    )


def _may_use(ticket: Ticket, gpu: Gpu) -> bool:
    if ticket.cpu or gpu.problem or not gpu.memory_total or gpu.visible is False:
        return False
    return ticket.gpus is None or gpu.index in ticket.gpus


def _no_figures(mine: Ticket, gpus: list[Gpu], place: int) -> str:
    names = ", ".join(map(str, mine.gpus if mine.gpus is not None else [g.index for g in gpus]))
    problem = next((f" ({gpu.problem})" for gpu in gpus if gpu.problem), "")
    return f"waiting for GPU {names}, which gives no figures{problem}; {_nth(place)} in line"


def _on_cpu(before: list[Ticket], line: list[Ticket], place: int) -> Turn:
    """One at a time: jobs that share a CPU only slow each other down."""
    runs = next((t for t in line if t.started is not None and t.gpu is None), None)
    if runs is None and not before:
        return Turn(go=True, place=place)
    behind = runs or before[-1]
    return Turn(
        go=False, place=place, why=f"waiting for {behind.name} to end; {_nth(place)} in line"
    )


def _nth(place: int) -> str:
    ending = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"
