"""Several jobs for the GPUs of one machine: each waits in a process of its own for its turn.

A ticket in a folder of the user's (XDG_STATE_HOME/tuiwb/queue/HOST) says what each needs; a file
lock says that its process lives. The oldest ticket that may use a GPU goes first.
"""

from pathlib import Path

import msgspec


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
    python: str | None = None,
) -> int:
    """Let the job in `folder` wait for its turn in a detached process; returns its pid."""
    raise NotImplementedError


def line() -> list[Place]:
    """Every job of this user in this host's line: those that run, then those that wait, in order.

    A waiting job is cancelled with `jobs.send(folder, "stop")`, answered within a second or two.
    """
    raise NotImplementedError


def move_to_front(folder: Path) -> None:
    """Let a waiting job go before all others; BadInput when it doesn't wait."""
    raise NotImplementedError
