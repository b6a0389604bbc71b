"""Checkpoints on disk: which are whole, and which is the last a run can resume from."""

import json
import re
import shutil
import zipfile
from pathlib import Path

CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"
WEIGHTS = "adapter_model.safetensors"
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
    """Delete checkpoints whose write was cut short; returns them. Whole ones are never touched."""
    broken = [p for p in checkpoints(folder) if not is_whole(p)]
    for path in broken:
        shutil.rmtree(path, ignore_errors=True)
    return broken


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
