"""What a run will be, once everything that can be known to go wrong was checked; no torch."""

from pathlib import Path
from typing import Any

from tuiwb.errors import BadInput, MissingHere
from tuiwb.project import Project
from tuiwb.train.check import Found, examine
from tuiwb.train.config import RunConfig, load_config, read_config
from tuiwb.train.machine import look
from tuiwb.train.names import run_name
from tuiwb.train.problems import Problem
from tuiwb.train.rows import canary_file, heldout_file, train_files


def plan(
    project: Project, config_path: Path, name: str | None = None
) -> tuple[Path, dict[str, Any]]:
    """The folder and the spec of the run a config asks for, every path absolute.

    BadInput or MissingHere with file:line of the first thing that would stop the run.
    """
    config_path = config_path.absolute()
    reading = read_config(config_path)
    found = examine(project, reading, look(project), named=name is not None)
    if found.errors or reading.config is None:
        raise _refused(found.errors, config_path)
    folder = project.runs / run_name(project, reading.config, config_path, name)
    return folder, spec_of(project, config_path, reading.config, found)


def spec_of(project: Project, config_path: Path, config: RunConfig, found: Found) -> dict[str, Any]:
    """The spec of a run: the config with every default, its paths absolute, its rows counted."""
    base = project.resolve(config.model.base)
    spec: dict[str, Any] = config.model_dump(exclude={"name"})
    spec["model"]["base"] = str(base) if base.exists() else config.model.base
    spec["data"]["train"] = [str(path) for path in train_files(project, config)]
    spec["data"]["heldout"] = str(heldout) if (heldout := heldout_file(project, config)) else None
    spec["data"]["canary"] = str(canary) if (canary := canary_file(project, config)) else None
    spec["config_file"] = str(config_path)
    spec["rows"] = {
        "train": found.rows.count if found.rows else 0,
        "heldout": found.heldout.count if found.heldout else 0,
    }
    return spec


def read(config_path: Path) -> RunConfig:
    """The config of a file; BadInput with its first error and how many more there are."""
    config, problems = load_config(config_path)
    errors = [p for p in problems if p.severity == "error"]
    if errors or config is None:
        raise _refused(errors, config_path)
    return config


def _refused(errors: list[Problem], config_path: Path) -> BadInput | MissingHere:
    more = f" ({len(errors) - 1} more: tuiwb config check {config_path})" * (len(errors) > 1)
    kind = MissingHere if all(p.here for p in errors) else BadInput
    return kind(errors[0].at(config_path) + more)
