"""Remove a run in two steps: into runs/.trash first, for good only when that is emptied.

In: a job folder below runs/. Out: the same folder in the trash, under its name. Links are moved
and deleted as links: nothing outside runs/ is ever touched.
"""

import os
import shutil
from pathlib import Path

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import JOB, load
from tuiwb.jobs.state import status

TRASH = ".trash"


def remove(folder: Path, runs: Path) -> Path:
    """Move the job in `folder` to the trash of `runs`; returns where it lies there.

    BadInput while it, a job inside it or a job that uses it lives, and for a folder that isn't
    one of `runs`.
    """
    name = removable(folder, runs)
    trash = runs / TRASH
    try:
        trash.mkdir(exist_ok=True)
        if trash.is_symlink() or not trash.is_dir():
            raise BadInput(f"{trash} is no folder of its own: move it out of the way")
        stem = name.replace("/", "%")
        target = next(
            path
            for n in range(1, 100_000)
            if not os.path.lexists(path := trash / (stem if n == 1 else f"{stem}~{n}"))
        )
        folder.rename(target)
    except OSError as error:
        raise BadInput(f"can't move {folder} to {trash}: {error.strerror or error}") from None
    return target


def removable(folder: Path, runs: Path) -> str:
    """The name under which a job can be removed now; BadInput as `remove` has it."""
    name = _name_below(folder, runs)
    _refuse_live(folder, runs, name)
    return name


def trashed(runs: Path) -> list[Path]:
    """What lies in the trash, oldest first."""
    trash = runs / TRASH
    if trash.is_symlink() or not trash.is_dir():
        return []
    return sorted(trash.iterdir(), key=lambda path: (path.lstat().st_ctime_ns, path.name))


def restore(runs: Path, name: str) -> Path:
    """Take the run that was removed last under `name` out of the trash; returns its folder."""
    found = [path for path in trashed(runs) if _name_of(path) == name]
    if not found:
        there = ", ".join(dict.fromkeys(_name_of(path) for path in trashed(runs))) or "nothing"
        raise BadInput(f"no run named {name!r} lies in {runs / TRASH}: there is {there}")
    target = runs / name
    if os.path.lexists(target):
        raise BadInput(f"there is a run named {name!r} again: remove or rename that one first")
    if not target.parent.is_dir():
        raise BadInput(f"{name} belongs into {target.parent}, which is gone: restore that first")
    try:
        found[-1].rename(target)
    except OSError as error:
        raise BadInput(f"can't move {found[-1]} to {target}: {error.strerror or error}") from None
    return target


def purge(runs: Path) -> int:
    """Delete for good what lies in the trash; returns how many runs. BadInput when it can't."""
    gone = 0
    for path in trashed(runs):
        try:
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                shutil.rmtree(path)
        except OSError as error:
            raise BadInput(f"can't delete {path}: {error.strerror or error}") from None
        gone += 1
    return gone


def _name_below(folder: Path, runs: Path) -> str:
    """The job's path below runs/; BadInput when it isn't there, or is reached through a link."""
    try:
        parts = folder.relative_to(runs).parts
    except ValueError:
        parts = ()
    if not 1 <= len(parts) <= 2 or any(part in ("", ".", "..", TRASH) for part in parts):
        raise BadInput(f"{folder} is no run of {runs}: only those can be removed")
    if len(parts) == 2 and (runs / parts[0]).is_symlink():
        raise BadInput(f"{runs / parts[0]} is a link: what lies behind it is not removed from here")
    if not (folder / JOB).is_file() and not folder.is_symlink():
        raise BadInput(f"{folder} is not a job folder (no {JOB} in it)")
    return "/".join(parts)


def _refuse_live(folder: Path, runs: Path, name: str) -> None:
    inside = [path.parent for path in folder.glob(f"*/{JOB}")]
    for job in (folder, *inside):
        state = _state_of(job)
        if state is not None:
            which = name if job == folder else f"{name}/{job.name}"
            raise BadInput(f"{which} is {state}: stop it first (tuiwb runs stop {which})")
    for job in (path.parent for path in (*runs.glob(f"*/{JOB}"), *runs.glob(f"*/*/{JOB}"))):
        if job in (folder, *inside) or TRASH in job.parts:
            continue
        if _mentions(job, folder) and _state_of(job) is not None:
            raise BadInput(f"{job.relative_to(runs)} uses {name} right now: stop that first")


def _state_of(job: Path) -> str | None:
    """The state of a job that still lives; None of one that has ended or can't be read."""
    try:
        state = status(job)
    except BadInput:
        return None
    return state.state if state.running else None


def _mentions(job: Path, folder: Path) -> bool:
    """Whether a job was asked about something inside `folder`."""
    try:
        text = (job / JOB).read_text("utf-8", "replace")
        if folder.name not in text:  # reading YAML costs, and hardly any job mentions another
            return False
        asked = load(job)
    except (OSError, BadInput, RecursionError):
        return False
    texts = _texts([asked.spec, asked.fingerprints])
    names = {str(folder), str(folder.resolve())}
    return any(t in names or t.startswith(tuple(f"{n}/" for n in names)) for t in texts)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in (*value, *value.values()) for text in _texts(inner)]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list) else []


def _name_of(path: Path) -> str:
    return path.name.partition("~")[0].replace("%", "/")
