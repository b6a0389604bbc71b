"""The comparisons of a project: those that stand, and those of a run that were set aside.

In: the run folders. Out: a line each, newest run first; and another one put in the place where
screen and commands look: `runs/NAME/compare`.
"""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from tuiwb import jobs
from tuiwb.compare.completions import label_of, read_completions, read_summary, side_names
from tuiwb.compare.earlier import COMPARE, make_room, set_aside_before, votes_in
from tuiwb.compare.gate.verdict import verdict_words
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import JOB, load
from tuiwb.project import Project


class Listed(msgspec.Struct, kw_only=True):
    """One comparison: `done` of `total` prompts answered by its first two sides, `votes` of all
    raters, `created` in unix seconds. `shown`: it stands where screen and commands look. The gate's
    `verdict` is on what stands there; '' where none was given."""

    name: str
    run: str
    sides: list[str]
    prompts: str
    done: int
    total: int
    state: str
    created: float
    votes: int
    verdict: str
    shown: bool


def comparisons(project: Project) -> list[Listed]:
    """All of them, the newest run first, of a run what stands before what was set aside."""
    found = []
    for run in reversed(project.job_folders("train")):
        for folder in _folders(run):
            try:
                found.append(_listed(project, run, folder))
            except (TuiwbError, OSError, KeyError, TypeError, ValueError):
                continue  # another program's folder, or one of an older version
    return found


def use(project: Project, name: str, tell: Callable[[str], object]) -> bool:
    """Put the comparison called `name` where screen and commands look; whether it had to be moved.
    `tell` gets the sentences of it. BadInput for a name that is none, or while one is at work."""
    known = {_name(folder): folder for r in project.job_folders("train") for folder in _folders(r)}
    folder = known.get(name) or known.get(f"{name}/{COMPARE}")
    if folder is None:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else "'tuiwb compare list' names them"
        raise BadInput(f"there is no comparison {name!r}: {hint}")
    stands = folder.parent / COMPARE
    if folder == stands:
        return False
    if stands.exists():
        aside = make_room(stands, lambda _: None)
        tell(f"what stood there is {_name(aside)} now")
    folder.rename(stands)
    return True


def _folders(run: Path) -> list[Path]:
    stands = run / COMPARE
    return [*([stands] if (stands / JOB).is_file() else []), *set_aside_before(stands)]


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _check(folder: Path, spec: dict[str, Any]) -> None:
    """BadInput where a job's file holds no question of a comparison: anybody can write one."""
    sides, limit = spec.get("sides") or [], spec.get("limit", 0)
    if (
        not isinstance(spec.get("prompts"), str)
        or not isinstance(limit, int)
        or not isinstance(sides, list)
        or not all(isinstance(side, dict) and isinstance(side.get("name"), str) for side in sides)
    ):
        raise BadInput(f"{folder / JOB} is no comparison's: mend its prompts, limit and sides")


def _listed(project: Project, run: Path, folder: Path) -> Listed:
    job, state, summary = load(folder), jobs.status(folder), read_summary(folder)
    done = len(read_completions(folder))
    _check(folder, job.spec)
    asked = summary.total if summary is not None else job.spec["limit"]
    shown = folder.name == COMPARE
    return Listed(
        name=_name(folder),
        run=run.name,
        sides=[label_of(job.spec, name) for name in side_names(job.spec)],
        prompts=project.shorten(Path(job.spec["prompts"])),
        done=done,
        total=max(done, asked),
        state=state.word,
        created=state.created or 0.0,
        votes=votes_in(folder),
        verdict=verdict_words(run) if shown else "",
        shown=shown,
    )
