"""Plan an evaluation of a run, check it before anything is loaded, start its job. No torch."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tuiwb import jobs
from tuiwb.compare.evaluation.general import PROBE
from tuiwb.compare.evaluation.prompts import read_suite
from tuiwb.compare.evaluation.results import ITEMS
from tuiwb.compare.evaluation.tasks import (
    OWN,
    benchmarks_not_run,
    check_harness,
    harness_there,
    task_names,
)
from tuiwb.compare.plan import ADAPTER_FILES, COMPARE, DTYPES, adapter_of
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import Job, load
from tuiwb.jobs.reopen import asks_the_same, open_job
from tuiwb.project import SETTINGS, GateSettings, Project
from tuiwb.train.base_model import hub_snapshot
from tuiwb.train.job_spec import heldout_file, section, train_files
from tuiwb.train.start import model_fingerprint

EVAL = "eval"
# Suites that are files of the project, by the setting of the gate that names them.
SUITES: dict[Literal["canary", "ood"], str] = {
    "canary": "the canary set",
    "ood": "the out-of-distribution prompts",
}
TASK_FILES = BENCHMARKS = "benchmarks"
# What may differ while the answers stay what they are; `limit` is of benchmarks alone.
LOOSE = ("tasks", "compared", "task_files", "limit")
# What the next evaluation of a run takes over from the last where nobody says otherwise.
KEPT = ("canary", "ood", "max_new_tokens", "batch_size", "limit", "seed")


def plan(
    project: Project,
    run_name: str,
    *,
    tasks: Sequence[str] = (),
    canary: str | Path | None = None,
    ood: str | Path | None = None,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    limit: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The spec of an evaluation of a finished run; without `tasks` all of tuiwb's own.

    Other names than tuiwb's own are lm-evaluation-harness tasks (`limit` items of each), the
    user's from the project's folder benchmarks/. BadInput when the run, its adapter or a file that
    was named is not there, or an argument is out of range.
    """
    for name, value in (("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
        if value < 1:
            raise BadInput(f"{name.replace('_', '-')} is {value}: give 1 or more")
    if limit is not None and limit < 1:
        raise BadInput(f"limit is {limit}: give 1 or more")
    run = project.run(run_name)
    job = load(run)
    settings = project.settings.gate
    model = section(job.spec, "model")
    base = model.get("base")
    if not isinstance(base, str) or not base:
        raise BadInput(f"{run / 'job.yaml'} names no base model (spec.model.base): is it a run?")
    if base.startswith(("/", ".", "~")) and not Path(base).expanduser().is_dir():
        raise BadInput(f"the base model of run {run.name} is gone from {base}: put it back there")
    dtype = model.get("dtype") or "auto"
    files = project.root / TASK_FILES
    return {
        "run": str(run),
        "base": base,
        "revision": model.get("revision"),
        "adapter": str(adapter_of(run)),
        "dtype": dtype if dtype in DTYPES else "auto",
        "tasks": task_names(tasks, files, project.train_python),
        "canary": _file(project, "canary", canary),
        "ood": _file(project, "ood", ood),
        "heldout": _heldout(project, heldout_file(job.spec)),
        "compared": _compared(run),
        "train": [str(project.resolve(path)) for path in train_files(job.spec)],
        "task_files": str(files) if files.is_dir() else None,
        "threshold": settings.canary_regression,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "limit": limit,
        "seed": seed,
    }


def plan_missing(project: Project, run_name: str) -> dict[str, Any]:
    """The spec of what the gate needs: all of tuiwb's own tasks, as the last evaluation asked."""
    before = _before(project.run(run_name) / EVAL)
    asked = before.spec if before is not None else {}
    kept = {name: asked[name] for name in KEPT if asked.get(name) is not None}
    for name in ("canary", "ood"):
        if name in kept and not Path(str(kept[name])).is_file():
            del kept[name]
    return plan(project, run_name, **kept)


def prepare(spec: dict[str, Any]) -> Path:
    """The job folder for `spec`, ready to launch: answers to the same items are kept.

    Tasks that were done before stay in it; another model, file or setting sets the old evaluation
    aside under eval-N. BadInput while it runs, and before anything is set aside where a file can't
    be asked from.
    """
    for name in SUITES:
        if spec.get(name) and name in spec["tasks"]:
            read_suite(Path(spec[name]))
    run = Path(spec["run"])
    folder = run / EVAL
    prints = fingerprints(spec)
    kept: tuple[str, ...] = ()
    if (before := _before(folder)) is not None and _alike(before, spec, prints):
        # What could not be run and is asked no more does not stay for good.
        stay = [t for t in before.spec["tasks"] if t not in benchmarks_not_run(folder)]
        tasks = [*stay, *spec["tasks"]]
        spec = {**spec, "tasks": list(dict.fromkeys(tasks))}
        benchmarks = [path.name for path in folder.glob(f"{BENCHMARKS}-*.json")]
        kept = (ITEMS, *(benchmarks if before.spec.get("limit") == spec["limit"] else ()))
    aside = set(run.glob(f"{EVAL}-*")) if kept else set()
    open_job(folder, "evaluate", spec, prints, name=f"{run.name}-eval", carry=kept)
    for old in set(run.glob(f"{EVAL}-*")) - aside if kept else ():
        # The same evaluation with more tasks: what it had is in the new folder.
        shutil.rmtree(old, ignore_errors=True)
    return folder


def start(project: Project, spec: dict[str, Any]) -> Path:
    """Start, or go on with, the evaluation of `spec` as a detached job; returns its folder.

    MissingHere where only benchmarks are asked and what runs them is not installed.
    """
    check_harness(spec["tasks"], project.train_python)
    folder = prepare(spec)
    jobs.launch(folder, python=project.train_python)
    return folder


def answered(spec: dict[str, Any]) -> bool:
    """Whether a finished evaluation did all these tasks on these very files."""
    folder = Path(spec["run"]) / EVAL
    before = _before(folder)
    if before is None or jobs.status(folder).state != "finished":
        return False
    loose = (("compared", {"seen"}), ("limit", set(spec["tasks"]) - set(OWN)))
    for name, of_tasks in loose:
        if of_tasks & set(spec["tasks"]) and before.spec.get(name) != spec[name]:
            return False
    if set(spec["tasks"]) & benchmarks_not_run(folder) and harness_there():
        return False  # it is installed by now, or has the data by now
    done = set(before.spec.get("tasks") or [])
    return set(spec["tasks"]) <= done and _alike(before, spec, fingerprints(spec))


def fingerprints(spec: dict[str, Any]) -> dict[str, str]:
    """sha256 of every file that the figures depend on; a file that is gone has none."""
    files = {name: Path(spec["adapter"]) / name for name in ADAPTER_FILES}
    files |= {name: Path(spec[name]) for name in ("canary", "ood", "heldout") if spec.get(name)}
    files["general"] = PROBE
    prints = {name: jobs.fingerprint(path) for name, path in files.items() if path.is_file()}
    base, revision = spec["base"], spec.get("revision")
    model = Path(base) if Path(base).is_dir() else hub_snapshot(base, revision)
    if model is not None:
        prints["base"] = model_fingerprint(model)
    return prints


def _before(folder: Path) -> Job | None:
    return load(folder) if (folder / "job.yaml").is_file() else None


def _alike(before: Job, spec: dict[str, Any], prints: dict[str, str]) -> bool:
    """Whether only the tasks asked for differ, or the prompts that were compared on."""
    return asks_the_same(before, {**spec, **{k: before.spec.get(k) for k in LOOSE}}, prints)


def _file(
    project: Project, suite: Literal["canary", "ood"], given: str | Path | None
) -> str | None:
    """Where a suite's file is; None where nobody named one and the usual place is empty."""
    if given is None:
        check_named(project, suite)
    path = project.resolve(given or getattr(project.settings.gate, suite)).resolve()
    if path.is_file():
        return str(path)
    if given is not None:
        raise BadInput(f"there is no file {path}: give a dataset file for {SUITES[suite]}")
    return None


def check_named(project: Project, suite: Literal["canary", "ood"]) -> None:
    """BadInput where tuiwb.yaml names a file for a suite that is not there."""
    named = getattr(project.settings.gate, suite)
    if named != getattr(GateSettings(), suite) and not project.resolve(named).is_file():
        raise BadInput(
            f"gate.{suite} in {SETTINGS} names {named}, and there is no such file: put "
            f"{SUITES[suite]} there, or name another file"
        )


def _compared(run: Path) -> str | None:
    """The file of prompts that base and fine-tune were last compared on."""
    folder = run / COMPARE
    prompts = load(folder).spec.get("prompts") if (folder / "job.yaml").is_file() else None
    return str(prompts) if prompts and Path(str(prompts)).is_file() else None


def _heldout(project: Project, path: str) -> str | None:
    found = project.resolve(path).resolve() if path else None
    return str(found) if found is not None and found.is_file() else None
