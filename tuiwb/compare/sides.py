"""Who is compared: base, adapter, checkpoint, merged model, served model, API model.

A side is a plain dict in the spec, with `name` (base and adapter for the two roles), `kind`,
`label` for people, and what its kind needs: a local side has `model`, `revision` and `adapter`
(None: the model itself), a served or API side `url` and `model`. Two sides with the same of these
are the same side whatever they are called.
"""

import json
import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tuiwb import jobs
from tuiwb.compare.completions import LABELS, ROLES
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.folder import JOB, Job, load
from tuiwb.llm.address import (
    ANTHROPIC_KEYS,
    ANTHROPIC_URL,
    check_key_travels_safely,
    check_url,
    has_anthropic_key,
    has_key,
)
from tuiwb.project import Project, expanded
from tuiwb.train.base_model import check_folder, hub_snapshot
from tuiwb.train.checkpoints import CHECKPOINTS, name_of, named_checkpoint, run_of, step_of
from tuiwb.train.finite import not_finite
from tuiwb.train.job_spec import section
from tuiwb.train.start import model_fingerprint

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
LOCAL = frozenset({"base", "adapter", "checkpoint", "model"})
ANTHROPIC = "anthropic:"
OPENAI_KEY = "OPENAI_API_KEY"
# What tuiwb's own server asks for when it listens beyond this machine.
SERVE_KEY = "TUIWB_API_KEY"

Side = dict[str, Any]


def sides_of(project: Project, run_name: str, against: Sequence[str]) -> list[Side]:
    """The sides of a comparison of a run: the first of `against` takes the role base, the run
    itself the role adapter, the others follow. BadInput or MissingHere for what is not there."""
    if not against:
        nothing = "there is nothing to compare against"
        raise BadInput(
            f"{nothing}: give --against base, or leave it out", on_screen=f"{nothing}: name base"
        )
    checkpoint = named_checkpoint(project, run_name)
    run = run_named(project, run_name)
    if checkpoint is None:
        own = _run_side(run, "adapter")
    else:
        own, run_name = _checkpoint_side(checkpoint), name_of(checkpoint)
    found = [(_against(project, run, word), word) for word in against]
    first, *rest = [side | {"label": side["label"] or word} for side, word in found]
    # With the base alone against it, the run is called what everybody calls it.
    plain = all(side["kind"] == "base" for side in (first, *rest))
    own["label"] = LABELS[1] if plain and checkpoint is None else run_name
    sides = [first | {"name": ROLES[0]}, own | {"name": ROLES[1]}]
    for side in rest:
        sides.append(side | {"name": _free_name(side["label"], sides)})
    for place, side in enumerate(sides):
        if twin := next((o for o in sides[:place] if same(o, side)), None):
            raise BadInput(
                f"{side['label']} and {twin['label']} are the same model: compare it with another"
            )
    return sides


def run_named(project: Project, word: str) -> Path:
    """The folder of the run that `word` names, or of the run whose checkpoint it names."""
    checkpoint = named_checkpoint(project, word)
    return project.run(word) if checkpoint is None else run_of(checkpoint)


def same(one: Side, other: Side) -> bool:
    """Whether two sides are the same model, whatever they are called."""
    return identity(one) == identity(other)


def identity(side: Side) -> str:
    """What a side is, as one comparable text, without its name, kind, label and key."""
    besides = ("name", "kind", "label", "run", "key_variable")
    kept = {k: v for k, v in side.items() if k not in besides}
    return json.dumps(kept, sort_keys=True, default=str)


def is_local(side: Side) -> bool:
    """Whether the worker loads it; else it is asked over HTTP."""
    return side["kind"] in LOCAL


def spec_sides(spec: dict[str, Any]) -> list[Side]:
    """The sides of any compare job's spec: those named, else its base and adapter."""
    if spec.get("sides"):
        return list(spec["sides"])
    model = {"model": spec["base"], "revision": spec.get("revision")}
    sides = [{"name": ROLES[0], "kind": "base", "label": LABELS[0], **model, "adapter": None}]
    if spec.get("adapter"):
        sides.append(
            {
                "name": ROLES[1],
                "kind": "adapter",
                "label": LABELS[1],
                **model,
                "adapter": spec["adapter"],
            }
        )
    return sides


def prints_of(side: Side) -> dict[str, str]:
    """Fingerprints of a local side's files, by 'NAME/what'; nothing of a remote one."""
    if not is_local(side):
        return {}
    found = {}
    if side["adapter"]:
        for name in ADAPTER_FILES:
            found[f"{side['name']}/{name}"] = jobs.fingerprint(Path(side["adapter"]) / name)
    model, revision = side["model"], side.get("revision")
    folder = Path(model) if Path(model).is_dir() else hub_snapshot(model, revision)
    if folder is not None:
        found[f"{side['name']}/model"] = model_fingerprint(folder)
    return found


def adapter_of(run: Path) -> Path:
    """The adapter folder a run left; BadInput when there is none (yet), or not a PEFT adapter, or
    one that holds NaN or infinities."""
    adapter = run / "adapter"
    if not adapter.is_dir():
        state = jobs.status(run)
        why = (
            "it has not finished yet: wait for it"
            if state.running
            else f"it {state.word}: train it again, or compare another run"
        )
        raise BadInput(f"run {run.name} has no adapter in {adapter}; {why}")
    return _checked(adapter)


def base_of(job: Job, run: Path) -> str:
    """The base model a run was trained on; BadInput when it names none or its folder is gone."""
    base = section(job.spec, "model").get("base")
    if not isinstance(base, str) or not base:
        raise BadInput(f"{run / 'job.yaml'} names no base model (spec.model.base): is it a run?")
    if base.startswith(("/", ".", "~")) and not expanded(base).is_dir():
        raise BadInput(f"the base model of run {run.name} is gone from {base}: put it back there")
    return base


def _checked(adapter: Path) -> Path:
    missing = [name for name in ADAPTER_FILES if not (adapter / name).is_file()]
    if missing:
        raise BadInput(
            f"{adapter} lacks {' and '.join(missing)}: it is not a PEFT adapter in safetensors"
        )
    if broken := not_finite(adapter):
        raise BadInput(broken.sentence)
    return adapter


def _run_side(run: Path, kind: str, adapter: Path | None = None, label: str = "") -> Side:
    job = load(run)
    base = base_of(job, run)
    found = None if kind == "base" else str(adapter or adapter_of(run))
    return {
        "kind": kind,
        "label": label,
        "run": run.name,
        "model": base,
        "revision": section(job.spec, "model").get("revision"),
        "adapter": found,
    }


def _checkpoint_side(checkpoint: Path) -> Side:
    adapter = _checked(checkpoint)
    return _run_side(run_of(checkpoint), "checkpoint", adapter, name_of(checkpoint))


def _against(project: Project, run: Path, word: str) -> Side:
    """The side that a word of --against names."""
    if word == "base":
        return _run_side(run, "base", label=LABELS[0])
    if word.startswith(ANTHROPIC):
        return _api(word.removeprefix(ANTHROPIC))
    if word.startswith(("http://", "https://")):
        return _served(word)
    if (checkpoint := named_checkpoint(project, word)) is not None:
        return _checkpoint_side(checkpoint)
    if _is_run(project, word):
        return _run_side(project.run(word), "adapter")
    path = project.resolve(word)
    if os.path.isdir(path):  # False also of a name that is none, as one too long
        return _folder(run, path)
    if "/" in word or os.path.exists(path):
        raise BadInput(
            f"there is no folder {path}: give a run, RUN:checkpoint-N, a model's or adapter's "
            "folder, URL#model or anthropic:MODEL"
        )
    runs = [path.name for path in project.job_folders("train") if path.parent == project.runs]
    known = ["base", *runs]
    near = get_close_matches(word, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise BadInput(f"no run named {word[:80]!r} in {project.runs}: {hint}")


def _is_run(project: Project, name: str) -> bool:
    try:
        project.run(name)
    except BadInput:
        return False
    return True


def _folder(run: Path, path: Path) -> Side:
    real = path.resolve()
    if step_of(real) >= 0 and real.parent.name == CHECKPOINTS and (run_of(real) / JOB).is_file():
        # A run's of another project: on that run's own base, and named by where it is.
        return _run_side(run_of(real), "checkpoint", _checked(real), str(path)) | {"run": None}
    if (path / ADAPTER_FILES[0]).is_file():
        side = _run_side(run, "base")
        return side | {"kind": "adapter", "adapter": str(_checked(path)), "run": None}
    check_folder(path)
    model = str(path.resolve())
    return {"kind": "model", "label": path.name, "model": model, "revision": None, "adapter": None}


def _served(word: str) -> Side:
    address, _, model = word.partition("#")
    if not model:
        raise BadInput(
            f"{word[:200]} names no model: give URL#MODEL, as in http://127.0.0.1:8000#NAME"
        )
    url = check_url(address, who="the served model", variable=OPENAI_KEY)
    key = SERVE_KEY if os.environ.get(SERVE_KEY) else OPENAI_KEY
    if has_key(key):
        check_key_travels_safely(url)
    host = urlsplit(url).netloc
    return {
        "kind": "served",
        "label": f"{model} at {host}",
        "url": url,
        "model": model,
        "key_variable": key,
    }


def _api(model: str) -> Side:
    if not model:
        raise BadInput("anthropic: names no model: give one, as in anthropic:claude-sonnet-5-5")
    named = os.environ.get("ANTHROPIC_BASE_URL") or None
    url = check_url(named or ANTHROPIC_URL, who="the API", variable=ANTHROPIC_KEYS[0])
    if has_anthropic_key():
        check_key_travels_safely(url)
    elif named is None:
        raise MissingHere(f"there is no key for {model}: set ANTHROPIC_API_KEY")
    return {"kind": "api", "label": model, "url": url, "model": model}


def _free_name(label: str, taken: Sequence[Side]) -> str:
    """A short name from a label that no other side has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-")[:40] or "side"
    names = {*ROLES, *(side["name"] for side in taken)}
    return next(n for i in range(1, 99) if (n := plain if i == 1 else f"{plain}-{i}") not in names)
