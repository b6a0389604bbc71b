"""What this machine has for training, and what of it a config wants: told without importing torch.

`look` asks the driver and the files of the Python that will train; `lacking` is pure.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.monitor.device import sample
from tuiwb.project import Project
from tuiwb.train.schema import GPU_ATTENTION, RunConfig

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors")
# What some settings want beside them. `kernels` fetches attention kernels from the hub.
OPTIONAL = ("bitsandbytes", "flash_attn", "flash_attn_3", "flash_attn_interface", "kernels")
# transformers' names of the optimisers that are bitsandbytes' own.
OF_BITSANDBYTES = frozenset(
    {
        "adamw_8bit",
        "adamw_bnb_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "lion_32bit",
        "lion_8bit",
        "paged_lion_8bit",
    }
)
ASK_SECONDS = 30
_ASK = """\
import importlib.util as u, json, sys, pathlib
s = u.find_spec("torch")
p = pathlib.Path(s.origin).with_name("version.py") if s and s.origin else None
t = p.read_text() if p and p.is_file() else ""
print(json.dumps({"torch": t, "found": [n for n in sys.argv[1:] if u.find_spec(n)]}))
"""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run would train.

    `gpu`: whether torch will find one, None where it can't be told; `no_gpu`: why not, in words.
    `packages`: those of LIBRARIES and OPTIONAL that are installed; None where they can't be told.
    `python`: the Python that trains where it is not ours, `broken` whether it can't be run.
    """

    gpu: bool | None
    no_gpu: str = ""
    packages: frozenset[str] | None = None
    python: str | None = None
    broken: bool = False


def look(project: Project) -> Machine:
    """This machine as the project's runs will find it: tens of milliseconds, and a process where
    another Python trains. Never raises."""
    named = project.settings.python.train
    other = project.train_python
    if other is not None and shutil.which(other) is None:
        return Machine(gpu=None, python=named, broken=True)
    found = _ask(other)
    if found is None:
        return Machine(gpu=None, python=named)
    build = _build(str(found["torch"]))
    packages = frozenset(found["found"])
    if build == "hip":
        return Machine(gpu=None, packages=packages, python=named)
    device = sample(os.getpid(), project.root)
    usable = [gpu for gpu in device.gpus if gpu.visible is not False and not gpu.problem]
    if not usable:
        hidden = any(gpu.visible is False for gpu in device.gpus)
        why = "CUDA_VISIBLE_DEVICES hides it" if hidden else "there is none here"
        return Machine(gpu=False, no_gpu=why, packages=packages, python=named)
    if build == "cpu":
        why = "torch's build here is for the CPU"
        return Machine(gpu=False, no_gpu=why, packages=packages, python=named)
    return Machine(gpu=True, packages=packages, python=named)


def lacking(config: RunConfig, machine: Machine) -> Iterator[tuple[str, str]]:
    """(key, sentence) of everything a config wants that this machine lacks."""
    if machine.broken:
        yield "", f"python.train in tuiwb.yaml names {machine.python}, which can't be run"
        return
    if missing := [n for n in LIBRARIES if machine.packages is not None and not _has(machine, n)]:
        where = f"in {machine.python} " if machine.python else ""
        yield (
            "",
            f"training needs {', '.join(missing)} {where}".rstrip()
            + ": pip install 'tuiwb[train]'"
            + ("" if machine.python else ", or name a Python that has them as python.train in")
            + ("" if machine.python else " tuiwb.yaml"),
        )
    yield from _precision(config, machine)
    yield from _optimiser(config, machine)
    yield from _attention(config, machine)


def _precision(config: RunConfig, machine: Machine) -> Iterator[tuple[str, str]]:
    t = config.training
    if t.fp16 and not t.use_cpu and machine.gpu is False:
        yield "training.fp16", f"fp16 needs a GPU and {machine.no_gpu}: set fp16: false"


def _optimiser(config: RunConfig, machine: Machine) -> Iterator[tuple[str, str]]:
    # bitsandbytes 0.50 has kernels for the CPU too: only the package is wanted.
    name = config.training.optim
    if name in OF_BITSANDBYTES and not _has(machine, "bitsandbytes"):
        yield (
            "training.optim",
            f"{name} needs bitsandbytes, which is not installed: pip install 'tuiwb[cuda]', or "
            "take adamw_torch_fused, which needs nothing and more memory",
        )


def _attention(config: RunConfig, machine: Machine) -> Iterator[tuple[str, str]]:
    name = config.model.attn_implementation
    if name not in GPU_ATTENTION or config.training.use_cpu:
        return
    packages = GPU_ATTENTION[name]
    if machine.gpu is False:
        yield (
            "model.attn_implementation",
            f"{name} needs a CUDA GPU and {machine.no_gpu}: sdpa runs everywhere",
        )
    elif packages and not any(_has(machine, package) for package in (*packages, "kernels")):
        yield (
            "model.attn_implementation",
            f"{name} needs the package {packages[0]}, which is not installed: sdpa needs none",
        )


def _has(machine: Machine, package: str) -> bool:
    return machine.packages is None or package in machine.packages


def _ask(python: str | None) -> dict[str, Any] | None:
    """Which packages a Python (None: ours) has, and torch's version.py; None when it won't say."""
    names = [*LIBRARIES, *OPTIONAL]
    if python is None:
        torch = find_spec("torch")
        version = Path(torch.origin).with_name("version.py") if torch and torch.origin else None
        try:
            text = version.read_text("utf-8", errors="replace") if version is not None else ""
        except OSError:
            text = ""
        return {"torch": text, "found": [n for n in names if find_spec(n) is not None]}
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK, *names],
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found


def _build(version: str) -> str:
    """What torch's own version.py says it was built for: cuda, hip or cpu."""
    for name in ("cuda", "hip"):
        if re.search(rf"^{name}\b[^=\n]*=\s*'[^']+'", version, re.MULTILINE):
            return name
    return "cpu"
