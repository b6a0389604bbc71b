"""A job whose project was moved or copied: the paths it was asked about, as they are now."""

import os
from pathlib import Path
from typing import Any


def roots(then: str | None, folder: Path, spec: dict[str, Any]) -> tuple[Path, Path] | None:
    """The folder above a job that was moved or copied: where it was, where it is; None where the
    job's folder stands as it did.

    `then` is the job's folder as its job.yaml has it. An older one lacks it: a job about a run is
    known by the run's path, a run by where its config was if that is gone.
    """
    now = Path(os.path.abspath(folder))
    run, config = spec.get("run"), spec.get("config_file")
    if then is None and isinstance(run, str) and Path(run).is_absolute():
        then = str(Path(run) / now.name)
    elif then is None and isinstance(config, str):
        return _by_config(Path(config), now.parent.parent)
    if then is None or not os.path.isabs(then) or then == str(now):
        return None
    if os.path.exists(then) and os.path.samefile(then, now):
        return None  # the same place by another name: a link
    was = Path(then)
    while was.name == now.name and was.name:
        was, now = was.parent, now.parent
    return was, now


def present(value: Any, moved: tuple[Path, Path]) -> Any:
    """`value` with every path below the old place put below the new one, in lists and mappings,
    keys too; what stands in the old place alone stays as it is."""
    if isinstance(value, str):
        return _path(value, *moved)
    if isinstance(value, list):
        return [present(each, moved) for each in value]
    if isinstance(value, dict):
        return {present(key, moved): present(each, moved) for key, each in value.items()}
    return value


def _path(text: str, was: Path, now: Path) -> str:
    old = str(was)
    if text != old and not text.startswith(old.rstrip("/") + "/"):
        return text
    here = str(now / text[len(old) :].lstrip("/"))
    return text if os.path.exists(text) and not os.path.exists(here) else here


def _by_config(config: Path, root: Path) -> tuple[Path, Path] | None:
    """The old root of a run without its folder in job.yaml: its config stands in the same place
    below the present one, and no more where it was."""
    if not config.is_absolute() or os.path.exists(config):
        return None
    fit = [old for old in config.parents if os.path.exists(root / config.relative_to(old))]
    return (fit[-1], root) if fit else None  # the longest path below a root is the surest
