"""`tuiwb doctor`: what this machine has, what it lacks, and what to do about it.

Nothing is imported to be looked at: versions come from the packages' metadata.
"""

import importlib.metadata
import importlib.util
import json
import locale
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuiwb.cli.common import JsonOption, ProjectOption, project_at, say, say_json, single
from tuiwb.errors import EXIT_FINE, EXIT_MISSING, TuiwbError
from tuiwb.jobs.scope import survival
from tuiwb.project import Project
from tuiwb.text import inert, short_bytes

app = single()

TRAINING = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors")
METRICS = {"sacrebleu": "BLEU", "rouge-score": "ROUGE", "jsonschema": "JSON Schema"}
LOW_DISK_BYTES = 5 << 30
_ASK_VERSIONS = """\
import importlib.metadata as m, importlib.util as u, json, sys, pathlib
def v(n):
    try: return m.version(n)
    except m.PackageNotFoundError: return None
s = u.find_spec("torch")
p = pathlib.Path(s.origin).with_name("version.py") if s and s.origin else None
t = p.read_text() if p and p.is_file() else ""
print(json.dumps({"torch_file": t, **{n: v(n) for n in sys.argv[1:]}}))
"""


class Check(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line: what was looked for, what was found, and what to do when it is not well.

    ok: as it should be; note: worth knowing; missing: something will not work.
    """

    name: str
    status: Literal["ok", "note", "missing"]
    found: str
    todo: str = ""
    for_training: bool = False


@app.command()
def doctor(as_json: JsonOption = False, project: ProjectOption = None) -> None:
    """Look at this machine. Exit codes: 0 training can run, 3 something it needs is missing."""
    import typer

    home = project_at(project)
    checks = examine(home)
    can_train = not any(c.for_training and c.status == "missing" for c in checks)
    if as_json:
        say_json({"can_train": can_train, "checks": checks})
    else:
        width = max(len(c.name) for c in checks)
        for check in checks:
            say(f"{check.status:<7}  {check.name:<{width}}  {inert(check.found, one_line=True)}")
            if check.todo:
                say(f"{'':<7}  {'':<{width}}  → {inert(check.todo, one_line=True)}")
        say()
        say("training can run here" if can_train else "training can't run here yet: see missing")
    raise typer.Exit(EXIT_FINE if can_train else EXIT_MISSING)


def examine(project: Project) -> list[Check]:
    """Every check, in the order people ask."""
    gpus, problem = _gpus()
    return [
        _python(),
        *_training(project, bool(gpus)),
        _gpu(gpus, problem),
        _vllm(project),
        _judge(project),
        _terminal(),
        _tmux(),
        _disk(project),
        _session(),
    ]


def _python() -> Check:
    version = sys.version.split()[0]
    return Check(
        name="python", status="ok", found=f"{version}  {sys.executable}", for_training=True
    )


def _training(project: Project, has_gpu: bool) -> list[Check]:
    """The packages training needs, in the Python that trains."""
    python = project.settings.python.train
    where = "" if python is None else f" in {python}"
    try:
        found = _versions(project.train_python)
    except (OSError, subprocess.SubprocessError, ValueError):
        return [
            Check(
                name="python.train",
                status="missing",
                found=f"{python} does not run",
                todo="set python.train in tuiwb.yaml to a Python that has tuiwb[train]",
                for_training=True,
            )
        ]
    checks = []
    for name in TRAINING:
        version = found.get(name)
        check = Check(name=name, status="ok", found=f"{version}{where}", for_training=True)
        if version is None:
            check.status, check.found = "missing", f"not installed{where}"
            check.todo = "pip install 'tuiwb[train]'"
        elif name == "torch":
            check.found += f", {_torch_build(found)}"
            if has_gpu and "CPU" in _torch_build(found):
                check.status = "note"
                check.todo = "the GPU stays idle: install torch's CUDA build"
        elif wanted := _outside_tested(name, version):
            check.status, check.todo = "note", f"tested with {wanted}: install that, or try"
        checks.append(check)
    if python is not None and found.get("tuiwb") is None:
        todo = f"{project.train_python} -m pip install 'tuiwb[train]'"
        lacks = f"not installed{where}, which runs the workers"
        checks.append(
            Check(name="tuiwb", status="missing", found=lacks, todo=todo, for_training=True)
        )
    return [*checks, _bitsandbytes(found.get("bitsandbytes"), has_gpu), *_metrics(found, python)]


def _versions(python: str | None) -> dict[str, Any]:
    """Versions by package, in our Python (None) or another one; nothing is imported."""
    command = [
        python or sys.executable,
        "-I",
        "-c",
        _ASK_VERSIONS,
        *TRAINING,
        "bitsandbytes",
        "tuiwb",
        *METRICS,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _torch_build(found: dict[str, Any]) -> str:
    """'CPU build', 'CUDA 13.0' or 'ROCm 7.0', from the package's own version.py."""
    text = found.get("torch_file", "")
    for name, words in (("cuda", "CUDA"), ("hip", "ROCm")):
        if match := re.search(rf"^{name}\b[^=\n]*=\s*'([^']+)'", text, re.MULTILINE):
            return f"{words} {match[1]}"
    return "CPU build"


def _outside_tested(name: str, version: str) -> str:
    """The versions this tuiwb was tested with, when `version` is none of them."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion

        for line in importlib.metadata.requires("tuiwb") or []:
            wanted = Requirement(line)
            if wanted.name == name and not wanted.specifier.contains(version, prereleases=True):
                return str(wanted.specifier)
    except (ImportError, importlib.metadata.PackageNotFoundError):
        return ""
    except (InvalidRequirement, InvalidVersion):
        return ""
    return ""


def _bitsandbytes(version: str | None, has_gpu: bool) -> Check:
    if version is not None:
        return Check(name="bitsandbytes", status="ok", found=version)
    if not has_gpu:
        found = "not installed: no 8-bit and paged optimisers"
        return Check(name="bitsandbytes", status="ok", found=found)
    return Check(
        name="bitsandbytes",
        status="note",
        found="not installed: no 4-bit and 8-bit training",
        todo="pip install 'tuiwb[cuda]'",
    )


def _metrics(found: dict[str, Any], python: object) -> list[Check]:
    """The packages of BLEU, ROUGE and JSON Schema, in the Python that compares and, where that is
    another, in the one that scores."""
    places = {"metrics" if python is None else "metrics of compare": (found, python)}
    if python is not None:
        places["metrics of score"] = ({name: _own_version(name) for name in METRICS}, None)
    return [_metrics_at(name, versions, where) for name, (versions, where) in places.items()]


def _metrics_at(name: str, versions: dict[str, Any], python: object) -> Check:
    where = "" if python is None else f" in {python}"
    there = [f"{package} {versions[package]}" for package in METRICS if versions.get(package)]
    lacking = [package for package in METRICS if not versions.get(package)]
    if not lacking:
        return Check(name=name, status="ok", found=", ".join(there) + where)
    missed = ", ".join(METRICS[package] for package in lacking)
    pip = "pip" if python is None else f"{python} -m pip"
    return Check(
        name=name,
        status="note",
        found=f"{', '.join(lacking)} not installed{where}: no {missed}",
        todo=f"{pip} install 'tuiwb[metrics]'",
    )


def _own_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> tuple[list[tuple[str, int]], str]:
    """Name and memory (bytes) of each GPU that NVML sees, and what keeps it from seeing more."""
    from tuiwb.monitor.device import sample

    device = sample(os.getpid(), Path.cwd())
    lost = [f"GPU {g.index} {g.problem}" for g in device.gpus if g.problem]
    whole = [(g.name, g.memory_total or 0) for g in device.gpus if not g.problem]
    return whole, "; ".join(filter(None, [device.problem, *lost]))


def _gpu(gpus: list[tuple[str, int]], problem: str) -> Check:
    words = ", ".join(f"{name} ({short_bytes(memory)})" for name, memory in gpus)
    if problem:
        found = words or "none that can be used"
        return Check(name="gpu", status="note", found=found, todo=problem)
    return Check(name="gpu", status="ok", found=words or "none: training and serving use the CPU")


def _vllm(project: Project) -> Check:
    from tuiwb.serve.plan import find_vllm, vllm_version

    try:
        python = find_vllm(project)
        if python is not None:
            version = vllm_version(python, "this check")
            return Check(name="vllm", status="ok", found=f"{version}  {python}")
    except TuiwbError as error:
        todo = "set it to a Python that has vLLM, or unset it to use the built-in engine"
        return Check(name="vllm", status="missing", found=str(error), todo=todo)
    return Check(
        name="vllm",
        status="note",
        found="no Python that has it: the built-in engine serves",
        todo="name one in TUIWB_VLLM_PYTHON or python.vllm of tuiwb.yaml for speed",
    )


def _judge(project: Project) -> Check:
    """Who judges in this project and whether that can be asked; a key is never shown."""
    judge = project.settings.judge
    if judge.base_url or judge.model.startswith(("openai:", "anthropic:")):
        return _own_judge(project)
    try:
        version = importlib.metadata.version("anthropic")
    except importlib.metadata.PackageNotFoundError:
        return Check(
            name="judge",
            status="note",
            found="anthropic is not installed: no LLM judge",
            todo="pip install 'tuiwb[judge]'",
        )
    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return Check(name="judge", status="ok", found=f"anthropic {version}, a key is set")
    return Check(
        name="judge",
        status="note",
        found=f"anthropic {version}, no key is set: no LLM judge",
        todo="set ANTHROPIC_API_KEY in the environment",
    )


def _own_judge(project: Project) -> Check:
    """A judge that the project has put at an address of its own; nobody is asked."""
    from tuiwb.compare.judge.address import address_of
    from tuiwb.llm.address import ANTHROPIC_KEYS, has_key

    judge = project.settings.judge
    try:
        at = address_of(judge.model, base_url=judge.base_url)
        keys = ANTHROPIC_KEYS if at.api == "anthropic" else (at.key_variable,)
        key = "a key is set" if any(map(has_key, keys)) else f"without a key ({at.key_variable})"
    except TuiwbError as error:
        return Check(name="judge", status="note", found=str(error), todo="see judge: in tuiwb.yaml")
    return Check(name="judge", status="ok", found=f"{at.model} at {at.url}, {key}")


def _terminal() -> Check:
    if not sys.stdout.isatty():
        return Check(name="terminal", status="ok", found="none here: commands work, no screen")
    term = os.environ.get("TERM", "")
    encoding = locale.getpreferredencoding(False)
    if "NO_COLOR" in os.environ:
        colours = "no colours (NO_COLOR)"
    elif os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        colours = "24-bit colours"
    else:
        colours = "256 colours" if "256" in term else "16 colours"
    found = f"{term or 'TERM is not set'}, {colours}, {encoding}"
    if encoding.upper().replace("-", "") != "UTF8":
        todo = "the screen needs UTF-8: export LANG=C.UTF-8"
        return Check(name="terminal", status="note", found=found, todo=todo)
    return Check(name="terminal", status="ok", found=found)


def _tmux() -> Check:
    if shutil.which("tmux") is None:
        todo = "install tmux to find the screen again after a lost connection"
        found = "not installed; jobs outlive the terminal without it"
        return Check(name="tmux", status="note", found=found, todo=todo)
    return Check(name="tmux", status="ok", found="inside it" if "TMUX" in os.environ else "found")


def _disk(project: Project) -> Check:
    free = shutil.disk_usage(project.root).free
    found = f"{short_bytes(free)} free in {project.root}"
    if free < LOW_DISK_BYTES:
        todo = "checkpoints fill a disk fast: free some space, or set save_total_limit"
        return Check(name="disk", status="note", found=found, todo=todo)
    return Check(name="disk", status="ok", found=found)


def _session() -> Check:
    """Whether logind would end our jobs when their user logs out (logind.conf(5))."""
    found = survival()
    return Check(
        name="logout",
        status="ok" if found.survives else "note",
        found=found.found,
        todo=found.todo,
    )
