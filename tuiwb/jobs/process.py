"""Which process does a job, told so that no other process is ever taken for it.

A pid alone is reused; pid, start time in clock ticks since boot and the boot's id are not. Nor does
it mean anything in another container of the same kernel: that one has pids of its own.
"""

import os
import socket
from pathlib import Path

import msgspec

from tuiwb.jobs.folder import PROCESS, write_atomically
from tuiwb.prepared import prepared

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(msgspec.Struct, kw_only=True):
    """Enough to find a job's process again, or to know it is gone.

    `waits`: it is not the worker but waits for the worker's turn. `pids` names the set of pids that
    `pid` is one of (its pid namespace; empty: not known).
    """

    pid: int
    start: float
    host: str
    boot: str
    waits: bool = False
    pids: str = ""


def boot_id() -> str:
    """The kernel's id of this boot; the boot time where there is none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def pid_namespace() -> str:
    """Which set of pids ours are of (pid_namespaces(7)); empty where there is only one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def identify(pid: int) -> ProcessIdentity:
    """Describe a live process; ProcessLookupError when there is none."""
    seen = _start_and_status(pid)
    if seen is None:
        raise ProcessLookupError(pid)
    return ProcessIdentity(
        pid=pid, start=seen[0], host=socket.gethostname(), boot=boot_id(), pids=pid_namespace()
    )


def alive(identity: ProcessIdentity) -> bool | None:
    """Whether that very process runs; None when it is on another host or in another container, and
    can't be known."""
    if identity.boot != boot_id() or not _among_ours(identity):
        # Under the same name this machine, or this container, has been started again.
        return False if identity.host == socket.gethostname() else None
    seen = _start_and_status(identity.pid)
    return seen is not None and seen[0] == identity.start and seen[1] not in "ZX"


def being_told(identity: ProcessIdentity) -> bool:
    """Whether the process has ended and its supervisor still writes down how (exit.json)."""
    if identity.boot != boot_id() or not _among_ours(identity):
        return False
    if not (seen := stat(identity.pid)):
        return False
    if seen[0] != "Z" or float(seen[19]) != identity.start:
        return False
    try:
        return b"supervise.py" in Path(f"/proc/{seen[1]}/cmdline").read_bytes()
    except OSError:
        return False


def write(folder: Path, identity: ProcessIdentity) -> None:
    """Leave the identity in the job folder."""
    write_atomically(folder / PROCESS, msgspec.json.encode(identity))


def read(folder: Path) -> ProcessIdentity | None:
    """The identity left in the job folder, if any."""
    try:
        return msgspec.json.decode((folder / PROCESS).read_bytes(), type=prepared(ProcessIdentity))
    except (OSError, msgspec.MsgspecError):
        return None


def _among_ours(identity: ProcessIdentity) -> bool:
    return not identity.pids or identity.pids == pid_namespace()


def _start_and_status(pid: int) -> tuple[float, str] | None:
    """Start time (ticks since boot on Linux) and one-letter status (proc(5), stat)."""
    fields = stat(pid)
    if fields:
        return float(fields[19]), fields[0]
    if os.path.isdir("/proc/self"):
        return None
    import psutil  # only where there is no /proc: it costs the start-up

    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return process.create_time(), "Z" if zombie else "R"
    except psutil.Error:
        return None


def stat(pid: int) -> list[str]:
    """/proc/PID/stat from the state on (state, ppid, ...); empty without such a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
    return fields if len(fields) > 19 else []
