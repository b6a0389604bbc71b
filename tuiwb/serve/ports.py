"""Which port a server listens on: tried before a job exists, settled when its worker starts.

Between the two, and until an engine listens, another server may take it. So the worker holds the
port it settles on with a file lock that the workers of other servers look at, and that goes with
its process.
"""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from tuiwb.errors import BadInput

FIRST_PORT = 8000
PORTS_TRIED = 100


def choose_port(host: str, port: int | None) -> int:
    """`port` if it is free, or the first free one from 8000 on; BadInput when there is none."""
    if port is not None:
        if not 1 <= port <= 65535:
            raise BadInput(f"{port} is no port: give one from 1 to 65535")
        if reason := _trouble(host, port):
            said = f"can't listen on {host} port {port}: {reason}; give another"
            raise BadInput(f"{said} --port", on_screen=f"{said}, or leave the port empty")
        return port
    reason = ""
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        reason = _trouble(host, candidate)
        if not reason:
            return candidate
    raise _none_free(host, FIRST_PORT, reason)


class HeldPort:
    """A port that no other server of ours settles on until this is closed or its process ends."""

    def __init__(self, port: int, lock: IO[str] | None) -> None:
        self.port = port
        self._lock = lock

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.close()


def hold(host: str, port: int, *, named: bool) -> HeldPort:
    """`port` where a user `named` it, whoever has it; else it, or the next one that neither
    another server of ours holds nor anybody listens on. BadInput when there is none."""
    if named:
        lock, _ = _lock(port)
        return HeldPort(port, lock)
    reason = ""
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        lock, ours = _lock(candidate)
        if not ours:
            continue
        reason = _trouble(host, candidate)
        if not reason:
            return HeldPort(candidate, lock)
        if lock is not None:
            lock.close()
    raise _none_free(host, port, reason or "other servers hold them")


def _none_free(host: str, first: int, reason: str) -> BadInput:
    return BadInput(f"can't listen on {host}, ports {first} to {first + PORTS_TRIED - 1}: {reason}")


def _lock(port: int) -> tuple[IO[str] | None, bool]:
    """The port's lock, and whether it is ours to take. Where no lock can be had (a read-only home)
    the port is tried without."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = Path(state).expanduser() / "tuiwb" / "ports" / socket.gethostname()
    with contextlib.ExitStack() as on_error:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = on_error.enter_context((folder / f"{port}.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None, False
        except OSError:
            return None, True
        on_error.pop_all()
        return file, True


def _trouble(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the last server in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""
