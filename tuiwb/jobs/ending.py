"""End a job at once, whatever its worker is doing; what it wrote stays."""

import contextlib
import os
import signal
import time
from pathlib import Path

from tuiwb.errors import BadInput
from tuiwb.jobs import process
from tuiwb.jobs.control import send
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.folder import EVENTS, PROCESS
from tuiwb.jobs.process import ProcessIdentity
from tuiwb.jobs.state import JobState, status

GIVEN_UP = 600.0  # seconds; a run that goes on logs the hardware every ten
AFTER_TERM = 2.0  # seconds from SIGTERM to SIGKILL
AFTER_KILL = 30.0  # seconds for the kernel to let go: a process in a stuck read takes its time
LOOK_EVERY = 0.05


def stop_now(folder: Path, *, patience: float = 5.0) -> JobState:
    """Ask the worker to end without saving; after `patience` seconds SIGTERM, then SIGKILL.

    Signals go to that very process and to the processes it started. Blocks until it is gone;
    returns the state afterwards: `cancelled`, with a sentence. BadInput when the job doesn't run,
    runs on another host, or can't be ended. A job on another host that has been silent for
    `GIVEN_UP` seconds is taken for gone with its host: only a person can know that.
    """
    state = status(folder)
    if not state.running:
        raise BadInput(f"{state.name} does not run: its state is {state.word}")
    identity = process.read(folder)
    if identity is not None:
        alive = process.alive(identity)
        if alive is None:
            return _give_up(folder, identity, state)
        how = _end(folder, identity, patience) if alive else ""
    else:
        how = ""
    state = status(folder)
    if state.state in ("finished", "failed", "cancelled"):
        return state
    checkpoint = state.last_checkpoint
    way_on = f"; it can resume from {checkpoint.path}" if checkpoint else ""
    _say(folder, f"stopped now at step {state.step}{how}; nothing it wrote is lost{way_on}")
    return status(folder)


def _give_up(folder: Path, identity: ProcessIdentity, state: JobState) -> JobState:
    """The last word for a job whose machine is gone: a rented one that was given back."""
    heard = state.seen or state.created
    if time.time() - heard < GIVEN_UP:
        raise BadInput(
            f"{state.name} runs on {identity.host}: stop it there; if that machine is gone, come "
            f"again once nothing was heard for {GIVEN_UP / 60:.0f} minutes"
        )
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(heard))
    checkpoint = state.last_checkpoint
    way_on = f"; it can resume from {checkpoint.path}" if checkpoint else ""
    _say(
        folder,
        f"given up at step {state.step}: not heard of since {since} on {identity.host}{way_on}",
        heard,
    )
    (folder / PROCESS).unlink(missing_ok=True)
    return status(folder)


def _end(folder: Path, identity: ProcessIdentity, patience: float) -> str:
    """End the process by asking, then by force; how, in words for the message."""
    with contextlib.suppress(BadInput):  # a full disk is no reason to spare it
        send(folder, "stop", now=True)
    if _gone(identity, patience):
        return ""
    family = _family(identity)
    try:
        _signal(identity, signal.SIGTERM)
    except PermissionError:
        raise BadInput(
            f"process {identity.pid} is another user's: it was asked to stop; who started it can "
            "end it"
        ) from None
    how = "by SIGTERM"
    if not _gone(identity, AFTER_TERM):
        family = {**family, **_family(identity)}
        _signal(identity, signal.SIGKILL)
        how = "by SIGKILL"
    for other in family.values():
        with contextlib.suppress(PermissionError):
            _signal(other, signal.SIGKILL)
    if not _gone(identity, AFTER_KILL):
        raise BadInput(
            f"process {identity.pid} does not end even on SIGKILL: it hangs in the kernel, as on a "
            "disk or a GPU that does not answer"
        )
    return f" {how}, as it gave no answer within {patience:g} s"


def _gone(identity: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.alive(identity) or process.being_told(identity):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY)
    return True


def _family(identity: ProcessIdentity) -> dict[int, ProcessIdentity]:
    """The processes below a worker: its children's children too, and all of its session."""
    parents: dict[int, tuple[int, int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if entry.isdigit() and (seen := process.stat(int(entry))):
            parents[int(entry)] = (int(seen[1]), int(seen[3]))
    below = {identity.pid}
    grown = True
    while grown:
        found = {
            p
            for p, (parent, session) in parents.items()
            if p not in below and (parent in below or session == identity.pid)
        }
        below |= found
        grown = bool(found)
    family = {}
    for pid in below - {identity.pid, os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            family[pid] = process.identify(pid)
    return family


def _signal(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to that very process: the pid is held while its identity is looked at."""
    with contextlib.suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):
            if process.alive(identity):
                os.kill(identity.pid, number)
            return
        held = os.pidfd_open(identity.pid)
        try:
            if process.alive(identity):
                signal.pidfd_send_signal(held, number)
        finally:
            os.close(held)


def _say(folder: Path, message: str, t: float = 0.0) -> None:
    """The last word, of now or of `t`."""
    try:
        events = EventWriter(folder / EVENTS)
    except OSError as error:
        raise BadInput(f"can't write into {folder / EVENTS}: {error.strerror}") from None
    try:
        events.emit(State(state="cancelled", message=message, exit_code=0, t=t))
        if events.waiting:
            raise BadInput(f"it has ended, but the disk of {folder} is full: free some space")
    finally:
        events.close()
