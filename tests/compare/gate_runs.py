"""Runs that the gate is tried on: a good one, and four that must not be shipped. Real training."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from tuiwb import jobs
from tuiwb.compare import plan as comparing
from tuiwb.compare.evaluation import plan as evaluating
from tuiwb.compare.gate.verdict import Gate, gate
from tuiwb.jobs.run import main as do_job
from tuiwb.project import Project
from tuiwb.train.plan import plan
from tuiwb.train.start import model_fingerprint

SAMPLE_CONFIG = "configs/support-lora.yaml"
OTHER = "models/other-template"
SWAPPED = "models/swapped"
# One epoch of the sample's two and a half: it files fewer messages right, and ships all the same.
# At the sample's learning rate so short a run keeps less of what the base knew: near the limit.
SHORT = {"max_steps": 182, "learning_rate": 1.2e-3}


@dataclass
class Case:
    """A run of the sample project: what differs from its config, what is done to it after
    training, the verdict, and lines that must not hold."""

    name: str
    verdict: str
    wrong: tuple[str, ...] = ()
    model: str = ""
    train: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    after: Callable[[Project, Path], None] | None = None


def cases(good: dict[str, Any]) -> list[Case]:
    """The good run, trained with `good`, and the faulty ones."""
    return [
        Case("good", "SHIP", training=good),
        Case(
            "over-trained",
            "NO-SHIP",
            wrong=("canary", "general"),
            train="data/few.jsonl",
            training={
                "max_steps": 40,
                "learning_rate": 1e-2,
                "lr_scheduler_type": "constant",
            },
        ),
        Case(
            "scaled-to-nothing",
            "NO-SHIP",
            wrong=("adapter", "held_out"),
            training={"max_steps": 6},
            after=scale_to_nothing,
        ),
        Case(
            "wrong-template",
            "NO-SHIP",
            wrong=("template", "endings"),
            model=OTHER,
            training={"max_steps": 30},
        ),
        Case(
            "template-put-back",
            "NO-SHIP",
            wrong=("template",),
            model=SWAPPED,
            training={"max_steps": 30},
            after=put_template_back,
        ),
    ]


def build(root: Path) -> None:
    """Few rows to over-train on, and bases with another family's chat template."""
    rows = (root / "data" / "support.jsonl").read_text().splitlines()[:64]
    (root / "data" / "few.jsonl").write_text("\n".join(rows) + "\n")
    original = root / "models" / "tiny-chat"
    template = (original / "chat_template.jinja").read_text()
    marks = (
        ("<|im_start|>user", "[INST] user"),
        ("<|im_start|>", "[INST] "),
        ("<|im_end|>", " [/INST]"),
    )
    for own, foreign in marks:
        template = template.replace(own, foreign)
    for name in (OTHER, SWAPPED):
        shutil.copytree(original, root / name)
        (root / name / "chat_template.jinja").write_text(template)


def train(project: Project, case: Case) -> Path:
    """Train a case in this process, then do to it what the case says; returns its folder."""
    config = yaml.safe_load((project.root / SAMPLE_CONFIG).read_text())
    config["training"] |= {"save_strategy": "no", "eval_strategy": "no", **case.training}
    config["model"]["base"] = case.model or config["model"]["base"]
    config["data"]["train"] = case.train or config["data"]["train"]
    path = project.root / "configs" / f"{case.name}.yaml"
    path.write_text(yaml.safe_dump(config))
    folder, spec = plan(project, path, case.name)
    base = Path(spec["model"]["base"])
    files = [*spec["data"]["train"], spec["data"]["heldout"]]
    prints = {path: jobs.fingerprint(Path(path)) for path in files}
    jobs.create(folder, "train", spec, fingerprints={**prints, str(base): model_fingerprint(base)})
    _do(folder)
    if case.after is not None:
        case.after(project, folder)
    return folder


def _do(folder: Path) -> None:
    # Workers set the environment of their own process; here it is that of all tests.
    with mock.patch.dict(os.environ):
        assert do_job(folder) == 0, jobs.status(folder).message


def judged(
    project: Project,
    name: str,
    *,
    limit: int = 50,
    max_new_tokens: int | None = None,
    tasks: Sequence[str] = (),
) -> Gate:
    """Compare and evaluate a trained case in this process, and ask the gate; all of tuiwb's own
    tasks where none is named."""
    most = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    for folder in (
        comparing.prepare(comparing.plan(project, name, limit=limit, **most)),
        evaluating.prepare(evaluating.plan(project, name, tasks=tasks, **most)),
    ):
        _do(folder)
    return gate(project, project.run(name))


def scale_to_nothing(project: Project, run: Path) -> None:
    """Every lora_B times 1e-6, as after a scale that was lost on the way."""
    from safetensors.torch import load_file, save_file

    path = run / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if "lora_B" in name:
            tensors[name] = tensor * 1e-6
    save_file(tensors, path, metadata={"format": "pt"})


def put_template_back(project: Project, run: Path) -> None:
    """The base gets its own template again after the training: so it will be served."""
    own = project.root / "models" / "tiny-chat" / "chat_template.jinja"
    shutil.copyfile(own, project.root / SWAPPED / "chat_template.jinja")


def seconds(what: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returned and how long it took."""
    began = time.monotonic()
    found = what()
    return found, time.monotonic() - began


def line_words(found: Gate) -> dict[str, str]:
    """Each line's outcome in a word, for a table."""
    words = {True: "ok", False: "NO", None: "??"}
    return {line.name: words[line.ok] for line in found.lines}


def as_json(found: Gate) -> dict[str, Any]:
    """The gate as plain values."""
    import msgspec

    plain: dict[str, Any] = json.loads(msgspec.json.encode(found))
    return plain
