"""What a run is called: the name that was asked for, or the config's with the next number."""

import re
from pathlib import Path

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import check_name
from tuiwb.project import Project
from tuiwb.train.schema import RunConfig


def run_name(project: Project, config: RunConfig, path: Path, name: str | None) -> str:
    """The name asked for if it is free, else the config's stem with the next -vN."""
    wanted = name or config.name
    if wanted is not None:
        return free_name(project, wanted)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:56] or "run"
    stem = re.sub(r"\.{2,}", ".", stem)
    taken = {p.name for p in project.runs.glob(f"{stem}-v*")}
    return next(n for i in range(1, 10**6) if (n := f"{stem}-v{i}") not in taken)


def free_name(project: Project, name: str) -> str:
    """Return `name` if a run can be made under it, else raise BadInput."""
    check_name(name)
    if (project.runs / name).exists():
        raise BadInput(
            f"a run named {name!r} exists already ({project.runs / name}): give this one another "
            "name"
        )
    return name
