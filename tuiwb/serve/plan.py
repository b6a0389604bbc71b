"""From runs and a base to a server's spec, every default resolved and everything checked first.

No torch: adapters are checked against the base from their headers, the port is tried, the engine
is looked for, so that a server that can't come up is refused before a job exists.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb import jobs
from tuiwb.errors import BadInput, MissingHere, TuiwbError
from tuiwb.project import Project
from tuiwb.serve.ports import choose_port
from tuiwb.serve.preflight import CONFIG, WEIGHTS, read_config, require
from tuiwb.serve.spec import ENGINES, Adapter, ServeSpec
from tuiwb.train import base_model
from tuiwb.train.checkpoints import CHECKPOINTS, name_of, named_checkpoint, run_of
from tuiwb.train.start import model_fingerprint

KEY_VARIABLE = "TUIWB_API_KEY"
PYTHON_VARIABLE = "TUIWB_VLLM_PYTHON"
SPARE_LORAS = 4
VLLM_RANKS = (16, 32, 64, 128, 256, 320, 512)  # vllm 0.32, config/lora.py; 1 and 8 are no use here
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BUILTIN_NEEDS = ("torch", "transformers", "peft")
_GENERATION_TAG = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")


def plan(
    project: Project,
    runs: Sequence[str] = (),
    *,
    base: str | None = None,
    engine: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    max_model_len: int | None = None,
    max_batch: int = 32,
) -> ServeSpec:
    """The spec of a server on `base` with the adapters of `runs` (names, RUN:checkpoint-N, or
    adapter folders).

    Without `base` it is the one the runs were trained on, or the project's. BadInput or
    MissingHere with one sentence for the first thing that would keep it from coming up.
    """
    if engine is not None and engine not in ENGINES:
        raise BadInput(f"there is no engine {engine!r}: one of {', '.join(ENGINES)}")
    key = _key_variable(host)
    folders = [_adapter_folder(project, run) for run in runs]
    base, base_folder = _base(project, base, folders)
    python = find_vllm(project, required=engine == "vllm") if engine != "builtin" else None
    engine = engine or ("vllm" if python else "builtin")
    if engine == "builtin":
        python = _builtin_python(project)
    adapters = [_adapter(folder, base_folder, run) for folder, run in folders]
    names = [adapter.name for adapter in adapters]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise BadInput(f"the adapter {twice} is named twice: give each run once")
    rank = max((a.rank for a in adapters), default=0)
    if engine == "vllm" and rank > VLLM_RANKS[-1]:
        raise BadInput(f"vLLM takes ranks up to {VLLM_RANKS[-1]}, not {rank}: merge the adapter")
    return ServeSpec(
        engine=engine,
        base=str(base_folder),
        base_name=_base_name(project, base, names),
        adapters=adapters,
        host=host,
        port=choose_port(host, port),
        port_named=port is not None,
        python=python,
        api_key_env=key,
        max_model_len=max_model_len,
        max_batch=max_batch,
        max_loras=len(adapters) + 1 + SPARE_LORAS,
        max_lora_rank=next((r for r in VLLM_RANKS if r >= rank), VLLM_RANKS[-1]),
        chat_template=_template(base_folder, adapters),
        gpu=has_gpu(),
        heldout=_heldout(folders),
        warnings=_warnings(base_folder, folders),
    )


def start(project: Project, spec: ServeSpec) -> Path:
    """Make runs/serve-N and launch its worker, detached; returns the folder."""
    folder = create(project, msgspec.to_builtins(spec))
    python = spec.python if spec.engine == "builtin" else None
    try:
        jobs.launch(folder, python=python)
    except TuiwbError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def adapter_of(project: Project, run: str, base: Path) -> Adapter:
    """One run's adapter (or an adapter folder) checked against a base, for loading it later."""
    folder, name = _adapter_folder(project, run)
    return _adapter(folder, base, name)


def servable_runs(project: Project) -> list[str]:
    """Names of the runs that left an adapter, newest first."""
    found = [f for f in project.job_folders("train") if (f / "adapter" / CONFIG).is_file()]
    return [folder.name for folder in reversed(found)]


def find_vllm(project: Project, *, required: bool = False) -> str | None:
    """The Python that has vLLM: TUIWB_VLLM_PYTHON, the project's python.vllm, else our own.

    MissingHere when a Python that was named lacks it, or when `required` and there is none.
    """
    for origin, python in (
        (PYTHON_VARIABLE, os.environ.get(PYTHON_VARIABLE)),
        ("python.vllm in tuiwb.yaml", project.settings.python.vllm),
    ):
        if python:
            # Not resolved: a virtual environment's python is a link, and means it by its place.
            python = str(project.resolve(python))
            vllm_version(python, origin)
            return python
    if importlib.util.find_spec("vllm") is not None:
        import sys

        return sys.executable
    if required:
        raise MissingHere(
            "vLLM is not installed here: pip install 'tuiwb[serve]', or name a Python that has it "
            f"in {PYTHON_VARIABLE} or python.vllm of tuiwb.yaml, or leave --engine out",
            on_screen="vLLM is not installed here: pip install 'tuiwb[serve]', or name a Python "
            "that has it in python.vllm of tuiwb.yaml, or take another engine (ctrl+e)",
        )
    return None


def vllm_version(python: str, origin: str) -> str:
    """The version of vLLM that `python` has; MissingHere naming where that Python was set."""
    ask = "import importlib.metadata as m, importlib.util as u; u.find_spec('vllm').name; "
    try:
        done = subprocess.run(
            [python, "-I", "-c", ask + "print(m.version('vllm'))"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "it does not answer"
        raise MissingHere(f"can't run {python}, set by {origin}: {reason}") from None
    if done.returncode != 0:
        raise MissingHere(f"{python}, set by {origin}, has no vLLM: install it there")
    return done.stdout.strip()


def has_gpu() -> bool:
    """Whether NVML sees an NVIDIA GPU."""
    try:
        import pynvml

        pynvml.nvmlInit()
        count: int = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except Exception:  # no driver, no library: each version says it with another class
        return False
    return count > 0


def content_version(adapter: Path) -> str:
    """Eight hex digits of the sha256 of the adapter's config and weights."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        try:
            with (adapter / name).open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise BadInput(f"can't read {adapter / name}: {error.strerror}") from None
    return digest.hexdigest()[:8]


def _key_variable(host: str) -> str | None:
    if host in LOOPBACK:
        return None
    if not os.environ.get(KEY_VARIABLE):
        raise BadInput(
            f"a server on {host} can be reached from other machines and needs an API key: put one "
            f"in the environment variable {KEY_VARIABLE}, or keep to 127.0.0.1"
        )
    return KEY_VARIABLE


def _adapter_folder(project: Project, run: str) -> tuple[Path, str]:
    """The adapter's folder and the name it is served by."""
    path = project.resolve(run)
    if (checkpoint := named_checkpoint(project, run)) is not None:
        return checkpoint, name_of(checkpoint)
    if os.path.isfile(path / CONFIG):  # False also of a name too long for a disk
        return path, path.parent.name if path.name == "adapter" else path.name
    folder = project.run(run)
    if not (folder / "adapter" / CONFIG).is_file():
        state = jobs.status(folder)
        raise BadInput(
            f"{run} has no adapter (it is a {state.kind} job, {state.word}): "
            "serve a training run that has finished"
        )
    return folder / "adapter", run


def _adapter(folder: Path, base: Path, run: str) -> Adapter:
    config = require(folder, base)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", run) or "adapter"
    return Adapter(
        name=f"{name}@{content_version(folder)}",
        path=str(folder.resolve()),
        rank=config.max_rank,
        run=run,
    )


def _base(
    project: Project, base: str | None, folders: Sequence[tuple[Path, str]]
) -> tuple[str, Path]:
    """The base as it was named and its folder here."""
    if base is None:
        trained_on = {run: _trained_on(project, folder) for folder, run in folders}
        named = {b for b in trained_on.values() if b}
        if len({_located(project, b) for b in named}) > 1:
            words = ", ".join(f"{run} on {b}" for run, b in trained_on.items())
            raise BadInput(f"one server has one base, and these were trained on several: {words}")
        base = next(iter(sorted(named)), None) or project.settings.base_model
    if not base:
        raise BadInput(
            "no base model: give --base, or set base_model in tuiwb.yaml",
            on_screen="no base model: name one under Base, or set base_model in tuiwb.yaml",
        )
    return base, _located(project, base)


def _located(project: Project, base: str) -> Path:
    found = base_model.locate(base, project.resolve(base), None)
    if found is None:
        raise MissingHere(
            f"the base {base} is not on this machine yet: fetch it from the hub first"
        )
    return found.resolve()


def _trained_on(project: Project, adapter: Path) -> str | None:
    """The base an adapter names, if it is here: a path may have been another machine's."""
    job = _job_of(adapter)
    named = job.spec.get("model", {}).get("base") if job else None
    named = named or read_config(adapter).base_model_name_or_path
    try:
        return named if named and base_model.locate(named, project.resolve(named), None) else None
    except TuiwbError:
        return None


def _job_of(adapter: Path) -> jobs.Job | None:
    checkpoint = adapter.parent.name == CHECKPOINTS
    try:
        return jobs.load(run_of(adapter) if checkpoint else adapter.parent)
    except TuiwbError:
        return None


def _base_name(project: Project, base: str, taken: Sequence[str]) -> str:
    """A hub id as it is, a folder by its name; never an adapter's name."""
    path = project.resolve(base)
    name = path.name if path.exists() else base
    name = re.sub(r"[^A-Za-z0-9._/-]", "-", name) or "base"
    return f"{name}-base" if name in taken else name


def _template(base: Path, adapters: Sequence[Adapter]) -> str | None:
    """The base's own template is used where it has one; else the first adapter's that has one."""
    if base_model.chat_template(base) is not None:
        return None
    files = (Path(a.path) / "chat_template.jinja" for a in adapters)
    return next((str(file) for file in files if file.is_file()), None)


def _warnings(base: Path, folders: Sequence[tuple[Path, str]]) -> list[str]:
    """What does not keep a server from coming up and may make its answers worse."""
    found = []
    serving = base_model.chat_template(base)
    now = None
    for folder, run in folders:
        trained = base_model.chat_template(folder)
        if serving and trained and _plain_template(trained) != _plain_template(serving):
            found.append(
                f"{run} was trained with another chat template than the base's, which is served: "
                "its answers may be worse than in training"
            )
        job = _job_of(folder)
        then = job.fingerprints.get(str(job.spec.get("model", {}).get("base"))) if job else None
        if then:
            now = now or model_fingerprint(base)
            if now != then:
                found.append(
                    f"the base {base} is not the one {run} was trained on: its files have changed"
                )
    return found


def _plain_template(template: str) -> str:
    """A template without the tags that only mark what is trained."""
    return _GENERATION_TAG.sub("", template).strip()


def _heldout(folders: Sequence[tuple[Path, str]]) -> str | None:
    """The held-out file of the first run that has one: its prompts prove the adapters apart."""
    for folder, _ in folders:
        job = _job_of(folder)
        path = job.spec.get("data", {}).get("heldout") if job else None
        if path and Path(path).is_file():
            return str(path)
    return None


def _builtin_python(project: Project) -> str | None:
    if project.train_python is not None:
        return project.train_python
    lacking = [n for n in _BUILTIN_NEEDS if importlib.util.find_spec(n) is None]
    if lacking:
        raise MissingHere(
            f"the built-in engine needs {', '.join(lacking)}: pip install 'tuiwb[train]'"
        )
    return None


def create(project: Project, spec: dict[str, Any]) -> Path:
    """Make runs/serve-N with its job.yaml; where another start was faster, the next one."""
    while True:
        folder = _next_folder(project)
        try:
            jobs.create(folder, "serve", spec)
        except BadInput:
            if not folder.exists():
                raise
        else:
            return folder


def _next_folder(project: Project) -> Path:
    taken = {p.name for p in project.runs.glob("serve-*")}
    number = next(n for n in range(1, len(taken) + 2) if f"serve-{n}" not in taken)
    return project.runs / f"serve-{number}"
