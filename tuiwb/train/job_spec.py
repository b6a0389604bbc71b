"""What a training job's spec names, read so that a file which a hand has changed breaks nothing."""

from collections.abc import Mapping
from typing import Any, TypeGuard


def section(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of a job's spec; nothing where something else stands there."""
    found = spec.get(name)
    return found if isinstance(found, dict) else {}


def train_files(spec: Mapping[str, Any]) -> list[str]:
    """The files a run was trained on; what is no file's name is passed over."""
    named = section(spec, "data").get("train")
    return [file for file in (named if isinstance(named, list) else [named]) if is_path(file)]


def heldout_file(spec: Mapping[str, Any]) -> str:
    """The run's own held-out file; '' where it has none."""
    named = section(spec, "data").get("heldout")
    return named if is_path(named) else ""


def is_path(value: Any) -> TypeGuard[str]:
    """Whether a value can name a file."""
    return isinstance(value, str) and bool(value) and "\0" not in value
