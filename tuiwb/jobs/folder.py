"""The job folder: its file names, creating one, reading job.yaml back."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec

import tuiwb
from tuiwb.errors import BadInput
from tuiwb.jobs.moved import present, roots
from tuiwb.prepared import prepared

JOB = "job.yaml"
PROCESS = "process.json"
EVENTS = "events.jsonl"
CONTROL = "control.jsonl"
LOG = "worker.log"

_MENDED = "put it back as it was, or take the folder away with 'tuiwb runs remove'"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Job(msgspec.Struct, kw_only=True):
    """What was asked, with every default resolved; never changes once written. `folder` is where
    it was created, so that one that was moved is known."""

    kind: str
    name: str
    created: float
    folder: str | None = None
    spec: dict[str, Any]
    tuiwb: str = tuiwb.__version__
    git: str | None = None
    fingerprints: dict[str, str] = {}


def check_name(name: str) -> str:
    """Return `name` if it may become a folder name, else raise BadInput."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise BadInput(
            f"{name!r} can't be a run's name: use letters, digits, '.', '_' and '-', "
            "starting with a letter or digit, at most 64"
        )
    return name


def create(
    folder: Path,
    kind: str,
    spec: dict[str, Any],
    *,
    name: str | None = None,
    fingerprints: dict[str, str] | None = None,
) -> Job:
    """Make `folder` and its job.yaml; BadInput if the folder exists or can't be written."""
    job = Job(
        kind=kind,
        name=check_name(name or folder.name),
        created=time.time(),
        folder=os.path.abspath(folder),
        spec=spec,
        git=_git_sha(folder.parent),
        fingerprints=fingerprints or {},
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        raise BadInput(
            f"a {kind} job named {job.name!r} exists already ({folder}): choose another name"
        ) from None
    except OSError as error:
        raise BadInput(f"can't create {folder}: {error.strerror or error}") from None
    try:
        write_atomically(folder / JOB, msgspec.yaml.encode(msgspec.to_builtins(job)))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise BadInput(f"can't write {folder / JOB}: {error.strerror or error}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return job


def load(folder: Path) -> Job:
    """Read job.yaml; BadInput when the folder holds no readable job.

    Of a project that was moved or copied, paths inside it are told as they are now.
    """
    try:
        job = msgspec.yaml.decode((folder / JOB).read_bytes(), type=prepared(Job))
    except FileNotFoundError:
        raise BadInput(f"{folder} is not a job folder (no {JOB} in it)") from None
    except OSError as error:
        raise BadInput(f"can't read {folder / JOB}: {error.strerror or error}") from None
    except msgspec.MsgspecError as error:
        raise BadInput(f"can't read {folder / JOB}{_damage(error)}; {_MENDED}") from None
    if moved := roots(job.folder, folder, job.spec):
        try:
            spec, prints = present(job.spec, moved), present(job.fingerprints, moved)
        except RecursionError:
            raise BadInput(
                f"can't read {folder / JOB}, it is nested deeper than any job; {_MENDED}"
            ) from None
        here = os.path.abspath(folder)
        job = msgspec.structs.replace(job, folder=here, spec=spec, fingerprints=prints)
    return job


def _damage(error: msgspec.MsgspecError) -> str:
    """What is wrong, after the file's name, in words that need no YAML parser's."""
    if isinstance(error, msgspec.ValidationError):
        return f", it is not what a job was asked ({' '.join(str(error).split())[:200]})"
    mark = getattr(error.__context__, "problem_mark", None)
    line = f":{mark.line + 1}" if mark is not None else ""
    return f"{line}, the file is damaged there and no YAML any more"


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside, fsync, rename over: a reader sees the old file or the new, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def fingerprint(path: Path) -> str:
    """sha256 of a file, or of a folder's relative file names and contents, as 'sha256:HEX'."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode("utf-8", "surrogateescape") + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def _git_sha(folder: Path) -> str | None:
    where = next((p for p in (folder, *folder.parents) if p.is_dir()), None)
    if where is None or shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", "-C", str(where), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None if done.returncode == 0 else None
