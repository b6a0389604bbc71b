"""What an engine's processes leave behind when their worker was killed: a process group, memory.

The worker notes the group it started in engine.json; whoever finds the worker dead ends that group
and removes the shared-memory files it owned.
"""

import os
import signal
import time
from pathlib import Path

import msgspec
import psutil

from tuiwb.jobs import process
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.process import ProcessIdentity
from tuiwb.prepared import prepared

ENGINE = "engine.json"
SHARED_MEMORY = Path("/dev/shm")
GRACE_SECONDS = 5.0


class EngineProcesses(msgspec.Struct, kw_only=True):
    """The group's leader, its members as last seen, and its files in shared memory."""

    leader: ProcessIdentity
    members: list[ProcessIdentity] = []
    shared_memory: list[str] = []


def note(folder: Path, processes: EngineProcesses) -> None:
    """Leave a note of what would have to be ended."""
    write_atomically(folder / ENGINE, msgspec.json.encode(processes))


def members(leader_pid: int) -> list[ProcessIdentity]:
    """The live processes of the group led by `leader_pid`."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == leader_pid:
                found.append(process.identify(pid))
        except (ProcessLookupError, PermissionError):
            continue
    return found


def shared_memory_of(pids: set[int]) -> list[str]:
    """Names in /dev/shm that these processes have open or mapped."""
    found: set[str] = set()
    prefix = f"{SHARED_MEMORY}/"
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
        except OSError:
            continue
        found |= {line.partition(prefix)[2] for line in lines if prefix in line}
    return sorted(n for n in found if n and "/" not in n and not n.endswith("(deleted)"))


def end_leftovers(folder: Path) -> int:
    """End what engine.json names and is still alive; returns how many processes that were."""
    try:
        noted = msgspec.json.decode((folder / ENGINE).read_bytes(), type=prepared(EngineProcesses))
    except (OSError, msgspec.MsgspecError):
        return 0
    return end(noted, folder)


def end(noted: EngineProcesses, folder: Path | None = None) -> int:
    """SIGTERM, a little grace, SIGKILL; only processes that are the very ones noted."""
    alive = [m for m in (noted.leader, *noted.members) if process.alive(m)]
    ended = len({m.pid for m in alive})
    for number, grace in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        for member in alive:
            try:
                os.kill(member.pid, number)
            except (ProcessLookupError, PermissionError):
                continue
        deadline = time.monotonic() + grace
        while (alive := [m for m in alive if process.alive(m)]) and time.monotonic() < deadline:
            time.sleep(0.05)
    # /dev/shm is emptied by a boot: what is there after another one is somebody else's.
    same_boot = noted.leader.boot == process.boot_id()
    for name in noted.shared_memory if same_boot else []:
        if Path(name).name != name:
            continue
        try:
            (SHARED_MEMORY / name).unlink()
        except OSError:
            continue
    if folder is not None and not alive:
        (folder / ENGINE).unlink(missing_ok=True)
    return ended
