"""Which processes are a job's, who owns one, and whether pids of the driver mean anything here."""

import os
from pathlib import Path

import psutil

# PROC_PID_INIT_INO (linux/proc_ns.h): the inode of the machine's own pid namespace.
MACHINES_NAMESPACE = 0xEFFFFFFC


def family(pid: int) -> frozenset[int]:
    """`pid` and every process below it; only `pid` where it is gone."""
    found, waiting = {pid}, [pid]
    while waiting:
        below = _children(waiting.pop())
        if below is None:
            return _slow_family(pid)
        waiting += below - found
        found |= below
    return frozenset(found)


def _children(pid: int) -> set[int] | None:
    """Children as the kernel lists them (proc(5), task/TID/children); None where it doesn't.

    Looking through every process of the machine instead would hold up the trainer's Python.
    """
    found: set[int] = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found.update(map(int, file.read().split()))
    except ProcessLookupError:
        return found
    except FileNotFoundError:
        # A thread or the process has just ended, unless this kernel has no such file.
        return found if _kernel_lists_children() else None
    except (OSError, ValueError):
        return None
    return found


def _kernel_lists_children() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _slow_family(pid: int) -> frozenset[int]:
    try:
        return frozenset({pid, *(c.pid for c in psutil.Process(pid).children(recursive=True))})
    except psutil.Error:
        return frozenset({pid})


def foreign_pids(namespace: Path = Path("/proc/self/ns/pid")) -> bool:
    """Whether the driver's pids are another namespace's: we are in a container of its own pids.

    The driver knows no namespaces and gives the machine's pids (NVIDIA/nvidia-docker, issue 1483).
    """
    try:
        return namespace.stat().st_ino != MACHINES_NAMESPACE
    except OSError:
        return False


class Owners:
    """User and command of processes, looked up once each."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, str, str]] = {}

    def of(self, pid: int) -> tuple[str, str]:
        """User and short command; empty where the process can't be seen."""
        try:
            process = psutil.Process(pid)
            began = process.create_time()
            known = self._known.get(pid)
            if known is None or known[0] != began:
                known = (began, _user(process), short_command(process))
                if len(self._known) > 1000:
                    self._known.clear()
                self._known[pid] = known
            return known[1], known[2]
        except (psutil.Error, OSError):
            return "", ""


def _user(process: psutil.Process) -> str:
    try:
        return process.username()
    except (psutil.Error, KeyError):
        return ""


def short_command(process: psutil.Process) -> str:
    """The program and the script or module it runs: no arguments, which may hold secrets."""
    try:
        words = process.cmdline()
    except psutil.Error:
        words = []
    if not words:
        return process.name()
    program = os.path.basename(words[0]) or process.name()
    if not program.startswith("python"):
        return program
    for at, word in enumerate(words[1:], 1):
        if word == "-m" and at + 1 < len(words):
            return f"{program} -m {words[at + 1]}"
        if word == "-c":
            return f"{program} -c"
        if not word.startswith("-"):
            return f"{program} {os.path.basename(word)}"
    return program
