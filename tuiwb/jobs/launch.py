"""Start a job's worker so that it outlives the terminal: its own session, its log a file.

A small supervisor (supervise.py) stands between: it tells how the worker ended.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import death, process, scope, supervise
from tuiwb.jobs.events import AnyEvent, EventWriter, Log, State
from tuiwb.jobs.folder import CONTROL, EVENTS, LOG, PROCESS, load
from tuiwb.jobs.lock import alone
from tuiwb.jobs.state import ENDED, status

WORKER_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
    # A module that happens to lie in the job's folder must never be taken for a library.
    "PYTHONSAFEPATH": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

# What the user's own environment may override. OpenMP threads that spin while they wait burn the
# cores of whatever else runs: on 2 shared cores a training step took 5 times as long.
WORKER_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}
LEAVES_WITHIN = 15.0  # seconds from a job's last word to the end of its process


def launch(
    folder: Path, *, python: str | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """Run `python -m tuiwb.jobs.run FOLDER` detached, under a supervisor; the worker's pid.

    The supervisor writes exit.json when the worker ends. `environment` adds to ours and may carry
    secrets: it is given to the process, written nowhere.
    """
    load(folder)
    folder = folder.resolve()
    worker = [python or sys.executable, "-m", "tuiwb.jobs.run", str(folder)]
    try:
        supervisor = scope.start(
            [sys.executable, "-I", "-S", supervise.__file__, str(folder), *worker],
            cwd=folder,
            environment={
                **WORKER_DEFAULTS,
                **os.environ,
                **WORKER_ENVIRONMENT,
                **(environment or {}),
            },
            log=folder / LOG,
        )
    except OSError as error:
        raise BadInput(f"can't start the worker of {folder}: {error}") from None
    said = scope.line_of(supervisor)
    scope.close(supervisor)
    if not said.isdigit():
        why = said.removeprefix("! ") or "its supervisor ended at once"
        raise BadInput(f"can't start the worker of {folder}: {why}")
    try:
        process.write(folder, process.identify(int(said)))
    except (ProcessLookupError, OSError):
        pass
    return int(said)


def relaunch(folder: Path, *, python: str | None = None, phase: str = "again") -> int:
    """Start a new worker in the folder of a job whose process is gone; returns its pid.

    The event log goes on with a `queued` event and how it ended, if badly; commands meant for the
    old process are set aside. BadInput while that process lives.
    """
    with alone(folder):
        check_gone(folder)
        ended = death.ended_badly(folder, status(folder))
        warnings = [f"{ended}; started again"] if ended else []
        return launch_again(folder, warnings, python=python, phase=phase)


def launch_again(
    folder: Path, warnings: Sequence[str] = (), *, python: str | None = None, phase: str = "again"
) -> int:
    """`relaunch` for a caller that is `alone` with the folder and has checked."""
    queue_again(folder, phase, warnings)
    try:
        return launch(folder, python=python)
    except TuiwbError as error:
        say(folder, State(state="failed", message=str(error), exit_code=error.exit_code))
        raise


def check_gone(folder: Path) -> None:
    """BadInput while the job's process lives, or could live on another host.

    A job that has said its last word gets a few seconds to leave; on another host, where that
    can't be seen, the last word is enough then.
    """
    deadline = time.monotonic() + LEAVES_WITHIN
    while (identity := process.read(folder)) is not None:
        alive, state = process.alive(identity), status(folder)
        if alive is False:
            return
        over = time.monotonic() > deadline
        if alive is None and state.state in ENDED:
            if over or time.time() - (state.ended or 0.0) > LEAVES_WITHIN:
                return
        elif state.state not in ENDED or over:
            where = f" on {identity.host}" if alive is None else ""
            raise BadInput(
                f"{folder.name} still has its process {identity.pid}{where}: stop it first"
            )
        time.sleep(0.05)


def queue_again(folder: Path, phase: str = "again", warnings: Sequence[str] = ()) -> None:
    """Make an ended job ready for a second launch: its log says so, old commands are set aside.

    `warnings`, such as how the attempt before ended, are told after that: what stands before it in
    the log is counted as that attempt's time.
    """
    control = folder / CONTROL
    if control.exists():
        control.replace(folder / f"control-{int(control.stat().st_mtime_ns)}.jsonl")
    # Without the old process.json nobody takes the queued job for one that died.
    (folder / PROCESS).unlink(missing_ok=True)
    (folder / supervise.EXIT).unlink(missing_ok=True)
    say(folder, State(state="queued", phase=phase))
    for message in warnings:
        say(folder, Log(level="warn", message=message))


def say(folder: Path, event: AnyEvent) -> None:
    """Add to the log of a job that has no process."""
    events = EventWriter(folder / EVENTS)
    try:
        events.emit(event)
    finally:
        events.close()
