"""Open a job's folder to go on with it, or set it aside where another question is asked."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import JOB, Job, create, load
from tuiwb.jobs.launch import queue_again
from tuiwb.jobs.state import status


def open_job(
    folder: Path,
    kind: str,
    spec: dict[str, Any],
    fingerprints: dict[str, str],
    *,
    name: str,
    carry: tuple[str, ...] = (),
) -> Job:
    """The job in `folder` if it asks the same, else a new one, the old set aside as FOLDER-N.

    Files named in `carry` are copied into the new job. BadInput while the old one runs.
    """
    if not (folder / JOB).is_file():
        return create(folder, kind, spec, name=name[:64], fingerprints=fingerprints)
    _check_at_rest(folder)
    old = load(folder)
    if asks_the_same(old, spec, fingerprints):
        queue_again(folder)
        return old
    aside = set_aside(folder)
    job = create(folder, kind, spec, name=name[:64], fingerprints=fingerprints)
    for file in carry:
        if (aside / file).is_file():
            shutil.copy2(aside / file, folder / file)
    return job


def asks_the_same(old: Job, spec: dict[str, Any], prints: dict[str, str]) -> bool:
    """Whether a job was asked this very question about these very files."""
    return bool(msgspec.to_builtins(old.spec) == spec and old.fingerprints == prints)


def set_aside(folder: Path) -> Path:
    """Rename a job's folder to FOLDER-N, the first N that is free; BadInput while it runs."""
    if (folder / JOB).is_file():
        _check_at_rest(folder)
    aside = next(
        path
        for n in range(1, 10_000)
        if not (path := folder.with_name(f"{folder.name}-{n}")).exists()
    )
    folder.rename(aside)
    return aside


def _check_at_rest(folder: Path) -> None:
    if (state := status(folder)).running and state.state != "queued":
        # A job's name is its path below runs/.
        inside = (folder.parent / JOB).is_file()
        shown = f"{folder.parent.name}/{folder.name}" if inside else folder.name
        raise BadInput(
            f"{shown} is {state.word} already: 'tuiwb runs follow {shown}' watches it, "
            "'runs stop' stops it"
        )
