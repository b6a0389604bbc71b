"""Plan a comparison from a run's name, check it before anything is loaded, start its job."""

from pathlib import Path
from typing import Any

from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import Job, load
from tuiwb.jobs.reopen import asks_the_same, open_job
from tuiwb.project import Project
from tuiwb.train.base_model import hub_snapshot
from tuiwb.train.start import model_fingerprint

COMPARE = "compare"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
DTYPES = ("auto", "float32", "bfloat16", "float16")


def plan(
    project: Project,
    run_name: str,
    *,
    prompts: str | Path | None = None,
    limit: int = 50,
    max_new_tokens: int = 256,
    batch_size: int = 16,
    seed: int = 0,
    dtype: str | None = None,
    system: str | None = None,
) -> dict[str, Any]:
    """The spec of a compare job: base and adapter of a finished run on held-out prompts.

    Without `prompts` the run's own held-out file is taken. BadInput when the run, its adapter or
    the prompts are not there, or an argument is out of range.
    """
    for name, value in (
        ("limit", limit),
        ("max_new_tokens", max_new_tokens),
        ("batch_size", batch_size),
    ):
        if value < 1:
            raise BadInput(f"{name} is {value}: give 1 or more")
    run = project.run(run_name)
    job = load(run)
    base = _base_of(job, run)
    chosen = dtype or (job.spec.get("model") or {}).get("dtype") or "auto"
    if chosen not in DTYPES:
        raise BadInput(f"dtype {chosen!r} is not known: one of {', '.join(DTYPES)}")
    data = job.spec.get("data") or {}
    source = _prompts_of(project, run_name, data, prompts)
    trained_on = {str(project.resolve(path)) for path in data.get("train") or []}
    return {
        "run": str(run),
        "base": base,
        "revision": (job.spec.get("model") or {}).get("revision"),
        "adapter": str(adapter_of(run)),
        "prompts": str(source),
        "seen_in_training": str(source) in trained_on,
        "limit": limit,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "seed": seed,
        "dtype": chosen,
        "system": system,
    }


def start(project: Project, spec: dict[str, Any]) -> Path:
    """Start, or go on with, the comparison of `spec` as a detached job; returns its folder."""
    folder = prepare(spec)
    jobs.launch(folder, python=project.train_python)
    return folder


def prepare(spec: dict[str, Any]) -> Path:
    """The job folder for `spec`, ready to launch.

    The same question about the same files goes on where it stopped, and costs nothing once all is
    answered; another one sets the old comparison aside under compare-N. BadInput while it runs.
    """
    folder = Path(spec["run"]) / COMPARE
    open_job(folder, "compare", spec, _prints(spec), name=f"{Path(spec['run']).name}-compare")
    return folder


def answered(spec: dict[str, Any]) -> bool:
    """Whether a finished comparison asked this very question about these very files."""
    folder = Path(spec["run"]) / COMPARE
    if not (folder / "job.yaml").is_file() or jobs.status(folder).state != "finished":
        return False
    return asks_the_same(load(folder), spec, _prints(spec))


def _prints(spec: dict[str, Any]) -> dict[str, str]:
    adapter = [Path(spec["adapter"]) / name for name in ADAPTER_FILES] if spec["adapter"] else []
    files = {"prompts": Path(spec["prompts"]), **{path.name: path for path in adapter}}
    prints = {name: jobs.fingerprint(path) for name, path in files.items()}
    base, revision = spec["base"], spec.get("revision")
    model = Path(base) if Path(base).is_dir() else hub_snapshot(base, revision)
    if model is not None:
        prints["base"] = model_fingerprint(model)
    return prints


def adapter_of(run: Path) -> Path:
    """The adapter folder a run left; BadInput when there is none (yet), or not a PEFT adapter."""
    adapter = run / "adapter"
    if not adapter.is_dir():
        state = jobs.status(run)
        why = (
            "it has not finished yet: wait for it"
            if state.running
            else f"it {state.state}: train it again, or compare another run"
        )
        raise BadInput(f"run {run.name} has no adapter in {adapter}; {why}")
    missing = [name for name in ADAPTER_FILES if not (adapter / name).is_file()]
    if missing:
        raise BadInput(
            f"{adapter} lacks {' and '.join(missing)}: it is not a PEFT adapter in safetensors"
        )
    return adapter


def comparable_runs(project: Project) -> list[Path]:
    """Run folders with an adapter in them, newest first."""
    runs = project.job_folders("train")
    return [run for run in reversed(runs) if (run / "adapter" / ADAPTER_FILES[0]).is_file()]


def _base_of(job: Job, run: Path) -> str:
    base = (job.spec.get("model") or {}).get("base")
    if not isinstance(base, str) or not base:
        raise BadInput(f"{run / 'job.yaml'} names no base model (spec.model.base): is it a run?")
    if base.startswith(("/", ".", "~")) and not Path(base).expanduser().is_dir():
        raise BadInput(f"the base model of run {run.name} is gone from {base}: put it back there")
    return base


def _prompts_of(
    project: Project, run_name: str, data: dict[str, Any], prompts: str | Path | None
) -> Path:
    given = prompts or data.get("heldout")
    if not given:
        raise BadInput(
            f"run {run_name} has no held-out file: give one with --prompts data/FILE.jsonl"
        )
    path = project.resolve(given).resolve()
    if not path.is_file():
        raise BadInput(f"there is no prompts file {path}: give a dataset file with --prompts")
    return path
