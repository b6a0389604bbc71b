"""Checkpoints on disk: which are whole, and which is the last a run can resume from."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.project import Project

CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"
WEIGHTS = "adapter_model.safetensors"
TOKENS = "tokens.json"  # in a checkpoint: how many tokens the run had trained on
ASIDE = "set-aside-"
_NAME = re.compile(r"checkpoint-(\d+)")


def step_of(path: Path) -> int:
    """The optimiser step a checkpoint folder was written at; -1 for another folder."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def checkpoints(folder: Path) -> list[Path]:
    """Every checkpoint folder of a run, oldest step first, whole or not."""
    try:
        found = [p for p in (folder / CHECKPOINTS).iterdir() if step_of(p) >= 0 and p.is_dir()]
    except OSError:
        return []
    return sorted(found, key=step_of)


def named_checkpoint(project: Project, word: str) -> Path | None:
    """The checkpoint that `word` names, as RUN:checkpoint-N or by its folder in a run of this
    project; None where it says something else. BadInput where the run has none of that name."""
    found = _own_checkpoint(project, project.resolve(word))
    run, colon, name = word.partition(":")
    if found is not None or not colon or not project.has_run(run):
        return found
    folder = project.run(run)
    there = {path.name: path for path in checkpoints(folder)}
    if name not in there:
        names = ", ".join(there) or "none"
        raise BadInput(f"run {run} has no checkpoint {name[:80]!r}: there are {names}")
    return there[name]


def _own_checkpoint(project: Project, path: Path) -> Path | None:
    """The checkpoint that a path leads to, however it is written, below its run in the project."""
    if "\0" in str(path):
        return None
    real = os.path.realpath(path)
    # The name of a run is that of its folder in runs/, which may be a link to another disk.
    for way in (Path(os.path.normpath(path)), Path(real)):
        run = way.parent.parent.name
        own = project.runs / run / CHECKPOINTS / way.name
        if step_of(own) >= 0 and project.has_run(run) and os.path.realpath(own) == real:
            return own if own.is_dir() else None
    return None


def run_of(checkpoint: Path) -> Path:
    """The run's folder that a checkpoint's folder lies in."""
    return checkpoint.parent.parent


def name_of(checkpoint: Path) -> str:
    """What a run's checkpoint is called wherever one is named: RUN:checkpoint-N."""
    return f"{run_of(checkpoint).name}:{checkpoint.name}"


def is_whole(checkpoint: Path) -> bool:
    """Whether everything a resume reads is there and complete: a write cut short is not."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_bytes())
        return (
            isinstance(state.get("global_step"), int)
            and safetensors_whole(checkpoint / WEIGHTS)
            and zipfile.is_zipfile(checkpoint / "optimizer.pt")
            and zipfile.is_zipfile(checkpoint / "scheduler.pt")
        )
    except (OSError, ValueError, AttributeError):
        return False


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    return next((p for p in reversed(checkpoints(folder)) if is_whole(p)), None)


def remove_broken(folder: Path) -> list[Path]:
    """Take checkpoints that no run can resume from out of the way; returns where they were.

    One that still holds whole adapter weights is renamed to set-aside-checkpoint-N: someone may
    have thinned it out to keep it. What a cut write left is deleted. Whole ones stay.
    """
    broken = [p for p in checkpoints(folder) if not is_whole(p)]
    for path in broken:
        if _has_weights(path):
            _set_aside(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return broken


def remove_cut(folder: Path) -> None:
    """Delete what a write that failed just now left of the newest checkpoint, to get its room."""
    newest = next(reversed(checkpoints(folder)), None)
    if newest is not None and not is_whole(newest):
        shutil.rmtree(newest, ignore_errors=True)


def history_of(checkpoint: Path) -> list[dict[str, Any]]:
    """What the trainer had logged by a whole checkpoint: its log_history."""
    state = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return [entry for entry in state["log_history"] if isinstance(entry, dict)]


def keep_tokens(checkpoint: Path, tokens: int) -> None:
    """Note in a checkpoint how many tokens were trained on: between two logs nothing else says."""
    write_atomically(checkpoint / TOKENS, json.dumps({"num_tokens": tokens}).encode())


def tokens_of(checkpoint: Path) -> int:
    """How many tokens the run had trained on by a checkpoint."""
    try:
        return int(json.loads((checkpoint / TOKENS).read_bytes())["num_tokens"])
    except (OSError, ValueError, KeyError, TypeError):
        seen = [e["num_tokens"] for e in history_of(checkpoint) if "num_tokens" in e]
        return int(seen[-1]) if seen else 0


def _has_weights(checkpoint: Path) -> bool:
    try:
        return safetensors_whole(checkpoint / WEIGHTS)
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return False


def _set_aside(path: Path) -> None:
    names = (f"{ASIDE}{path.name}{n}" for n in ["", *(f"-{n}" for n in range(2, 10_000))])
    target = next(p for name in names if not (p := path.with_name(name)).exists())
    try:
        path.rename(target)
    except OSError as error:
        raise BadInput(f"can't set {path} aside: {error.strerror}") from None


def safetensors_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says.

    Format: 8 bytes little-endian header length, JSON header with data_offsets, then the data.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            return False
        header = json.loads(file.read(length))
    ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
    return 8 + length + max(ends, default=0) == size
