"""What kind of run lies in a folder that isn't one of ours."""

from collections.abc import Callable
from pathlib import Path

from tuiwb.errors import BadInput, MissingHere
from tuiwb.monitor.foreign.run import ForeignRun
from tuiwb.monitor.foreign.source import Source
from tuiwb.monitor.foreign.tensorboard import PATTERN, TensorBoardSource, event_files
from tuiwb.monitor.foreign.trainer_state import STATE, TrainerStateSource, checkpoints
from tuiwb.monitor.foreign.wandb import WandbSource, run_files
from tuiwb.monitor.watched import Watched

DEEP = ("*", "*/*", "*/*/*")  # how far down TensorBoard's folders lie (runs/DATE_HOST/)
NAMED = 3  # folders named in an error


def open_foreign(folder: Path) -> Watched:
    """The run in a folder of another tool, or in one of its files.

    BadInput where none is; MissingHere where one is but the package that reads it isn't.
    """
    if folder.is_file():
        return ForeignRun(folder.parent, [_of_file(folder)])
    if not folder.is_dir():
        raise BadInput(f"there is no file or folder {folder}")
    sources: list[Source] = []
    missing: list[MissingHere] = []
    if (folder / STATE).is_file() or checkpoints(folder):
        sources.append(TrainerStateSource(folder))
    for find in (_tensorboard, _wandb):
        try:
            found = find(folder)
        except MissingHere as error:
            missing.append(error)
            continue
        if found is not None:
            sources.append(found)
    if sources:
        return ForeignRun(folder, sources)
    if missing:
        raise missing[0]
    raise BadInput(_nothing(folder))


def _of_file(path: Path) -> Source:
    if path.name == STATE:
        return TrainerStateSource(path.parent)
    if path.suffix == ".wandb":
        return WandbSource(path)
    if path.match(PATTERN):
        return TensorBoardSource(path.parent)
    raise BadInput(
        f"{path} is no file of a run that can be watched: give a run's folder, a {STATE}, a "
        f"{PATTERN} or a run-*.wandb"
    )


def _tensorboard(folder: Path) -> Source | None:
    """The event files in the folder itself, else in the folder below that was written last."""
    if event_files(folder):
        return TensorBoardSource(folder)
    below = {p.parent for deep in DEEP for p in folder.glob(f"{deep}/{PATTERN}")}
    newest = max(below, key=_written, default=None)
    return TensorBoardSource(newest) if newest is not None else None


def _written(folder: Path) -> float:
    return max((path.stat().st_mtime for path in event_files(folder)), default=0.0)


def _wandb(folder: Path) -> Source | None:
    files = run_files(folder)
    return WandbSource(files[-1]) if files else None


def _nothing(folder: Path) -> str:
    is_run: Callable[[Path], bool] = lambda path: (  # noqa: E731
        (path / STATE).is_file() or (path / "job.yaml").is_file() or bool(checkpoints(path))
    )
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and is_run(path))
    except OSError as error:
        return f"can't look into {folder}: {error.strerror or error}"
    looked = f"no job.yaml, {STATE}, checkpoint-N, {PATTERN} or run-*.wandb in it"
    if not inside:
        return f"{folder} holds no run that can be watched: {looked}"
    names = ", ".join(str(path) for path in inside[:NAMED])
    more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
    return f"{folder} holds no run itself, but there are runs in it: {names}{more}"
