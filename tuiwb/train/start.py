"""Start a run, or go on with one: detached, from the screen and the command line alike."""

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import Any

from tuiwb import jobs
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.death import ended_badly
from tuiwb.jobs.events import State
from tuiwb.jobs.folder import fingerprint
from tuiwb.jobs.launch import check_gone, launch_again, queue_again, say
from tuiwb.jobs.lock import alone
from tuiwb.jobs.queue import enqueue
from tuiwb.jobs.rewind import rewind
from tuiwb.project import Project
from tuiwb.train.base_model import hub_snapshot
from tuiwb.train.checkpoints import history_of, last_checkpoint, remove_broken, step_of
from tuiwb.train.estimate import estimate_memory
from tuiwb.train.finite import not_finite
from tuiwb.train.names import run_name
from tuiwb.train.plan import plan, read

HASHED_WHOLE = 256 << 20
SAMPLE = 1 << 20
TRIES = 20  # of a number for a run that is free


def start(
    project: Project, config_path: Path, name: str | None = None, *, queue: bool = False
) -> Path:
    """Check a config, make its job folder and launch the worker; returns the folder.

    With `queue` the run waits in a process of its own until a GPU has the memory it needs.
    """
    folder, spec = plan(project, config_path, name)
    files = [*spec["data"]["train"], *filter(None, [spec["data"]["heldout"]])]
    prints = {path: fingerprint(Path(path)) for path in files}
    model = model_folder(spec)
    if model is not None:
        prints[spec["model"]["base"]] = model_fingerprint(model)
    folder = _created(project, config_path, folder, spec, prints, named=name is not None)
    try:
        if queue:
            _enqueue(folder, spec, model, project.train_python)
        else:
            jobs.launch(folder, python=project.train_python)
    except TuiwbError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _created(
    project: Project,
    config_path: Path,
    folder: Path,
    spec: dict[str, Any],
    prints: dict[str, str],
    *,
    named: bool,
) -> Path:
    """Make the run's folder; where another start took its number meanwhile, of the next one."""
    for _ in range(TRIES):
        try:
            jobs.create(folder, "train", spec, fingerprints=prints)
            return folder
        except BadInput:
            if named or not folder.exists():
                raise
            # A name of the config's own is refused here as ever.
            config = read(config_path)
            folder = project.runs / run_name(project, config, config_path, None)
    raise BadInput(f"{config_path} is being started too often at once: try again")


def resume(folder: Path, *, python: str | None = None, queue: bool = False) -> Path:
    """Go on from the run's last whole checkpoint in a new process; returns the checkpoint.

    The event log is taken back to that checkpoint first, so that every metric is in it once. With
    `queue` the run waits for its turn.

    BadInput while the run still goes, when it has finished, without a checkpoint, or when the
    last one holds NaN or infinities.
    """
    try:
        # Who asks twice at once would have two workers write one log.
        with alone(folder):
            return _resume(folder, python, queue)
    except OSError as error:
        raise BadInput(f"can't resume {folder}: {error.strerror or error}") from None


def _resume(folder: Path, python: str | None, queue: bool) -> Path:
    state = jobs.status(folder)
    if state.kind != "train":
        raise BadInput(f"{state.name} is a {state.kind} job: only a train job can be resumed")
    if state.running:
        raise BadInput(f"{state.name} is {state.word}: there is nothing to resume")
    if state.state == "finished":
        raise BadInput(f"{state.name} has finished: start a new run to train further")
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        raise BadInput(
            f"{state.name} left no whole checkpoint: start its config again as a new run"
        )
    if (broken := not_finite(checkpoint)) is not None:
        raise BadInput(
            f"{broken.what}, and so would what goes on from it: {broken.fix} (a resume takes the "
            "newest checkpoint that is there)"
        )
    check_gone(folder)
    ended = ended_badly(folder, state)
    remove_broken(folder)
    try:
        rewound = rewind(folder, step_of(checkpoint), history_of(checkpoint))
    except (ValueError, KeyError) as error:
        raise BadInput(f"can't read {checkpoint / 'trainer_state.json'}: {error}") from None
    warnings = []
    if rewound.undone:
        undone = "; ".join(rewound.undone)
        warnings.append(f"what was set after {checkpoint.name} is undone, set it again: {undone}")
    if ended:
        again = _again(step_of(checkpoint), state.step)
        warnings.append(f"{ended}; resumed from {checkpoint.name}{again}")
    phase = f"resuming from {checkpoint.name}"
    if queue:
        queue_again(folder, phase, warnings)
        spec = jobs.load(folder).spec
        try:
            _enqueue(folder, spec, model_folder(spec), python)
        except TuiwbError as error:
            say(folder, State(state="failed", message=str(error), exit_code=error.exit_code))
            raise
    else:
        launch_again(folder, warnings, python=python, phase=phase)
    return checkpoint


def _again(checkpoint: int, reached: int) -> str:
    """Which steps are lost to the resume, of those that were logged."""
    if reached <= checkpoint:
        return ""
    if reached == checkpoint + 1:
        return f", step {reached} is trained again"
    return f", steps {checkpoint + 1}-{reached} are trained again"


def _enqueue(folder: Path, spec: dict[str, Any], model: Path | None, python: str | None) -> None:
    """Let a run wait for the GPU memory that it is estimated to need, else for a whole GPU."""
    needs = None
    if model is not None:
        with contextlib.suppress(BadInput, OSError):
            needs = estimate_memory(spec, model).high
    enqueue(folder, needs=needs, cpu=bool(spec["training"]["use_cpu"]), python=python)


def model_folder(spec: dict[str, Any]) -> Path | None:
    """Where a run's base model lies on this machine; None: not here yet."""
    base, revision = spec["model"]["base"], spec["model"]["revision"]
    return Path(base) if Path(base).is_absolute() else hub_snapshot(base, revision)


def model_fingerprint(folder: Path) -> str:
    """sha256 of a model's folder; over 256 MiB, of each file's name, size and both its ends."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if sum(p.stat().st_size for p in files) <= HASHED_WHOLE:
        return fingerprint(folder)
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)}\0{size}\0".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            digest.update(file.read(SAMPLE))
            file.seek(max(0, size - SAMPLE))
            digest.update(file.read(SAMPLE))
    return "sha256-ends:" + digest.hexdigest()
