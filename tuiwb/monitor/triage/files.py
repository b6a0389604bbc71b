"""What a run's folder holds for triage beyond its events: adapter, comparison, its ancestry.

In: a run's folder. Out: plain facts, None for what is not there or can't be read.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import Job, load
from tuiwb.monitor.triage.adapter import read_adapter
from tuiwb.monitor.triage.facts import AdapterFacts, Answers, Scores

ADAPTER, COMPARE = "adapter", "compare"
NAMED = 8


def adapter_facts(run: Path) -> AdapterFacts | None:
    """The run's saved adapter held against its base."""
    try:
        spec = load(run).spec
    except TuiwbError:
        return None
    model = spec.get("model") or {}
    base = Path(str(model.get("base") or ""))
    found = base if base.is_dir() else hub_folder(str(base), model.get("revision"))
    return read_adapter(run / ADAPTER, found)


def hub_folder(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the hub's cache; None where it isn't cached."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repository = cache / f"models--{name.replace('/', '--')}"
    try:
        commit = (repository / "refs" / (revision or "main")).read_text().strip()
    except (OSError, ValueError):
        commit = revision or "main"
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def answers(run: Path) -> Answers | None:
    """What the run's last comparison found; None before there is one that ended."""
    folder = run / COMPARE
    try:
        summary = json.loads((folder / "summary.json").read_bytes())
        spec = load(folder).spec
        job = load(run)
        metrics = [
            Scores(
                name=m["name"],
                n=m["n"],
                base=m["base"],
                adapter=m["adapter"],
                better=m.get("better", 0),
                worse=m.get("worse", 0),
                p=m.get("p"),
            )
            for m in summary["metrics"]
            if m.get("adapter") is not None
        ]
        side = summary.get("adapter") or {}
        heldout = (job.spec.get("data") or {}).get("heldout")
        return Answers(
            prompts=str(spec["prompts"]),
            heldout=str(spec["prompts"]) == str(heldout),
            n=summary["done"],
            identical=summary["identical"],
            logit_difference=summary.get("max_logit_difference"),
            cut=side.get("cut", 0),
            base_cut=summary["base"].get("cut", 0),
            empty=side.get("empty", 0),
            metrics=metrics,
            not_json=list(_not_json(folder / "completions.jsonl", str(spec["prompts"]))),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TuiwbError):
        return None


def _not_json(path: Path, prompts: str) -> Iterator[str]:
    """Where the first prompts stand whose reference is JSON and whose answer isn't."""
    found = 0
    for line in path.read_bytes().splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if not isinstance(answer, dict) or not _is_json(answer.get("reference")):
            continue
        if not _is_json(answer.get("adapter")):
            yield f"{prompts}:{answer.get('line')}"
            found += 1
            if found == NAMED:
                return


def _is_json(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, TypeError, RecursionError):
        return False


def job_of(run: Path) -> Job | None:
    """The run's job.yaml; None where it can't be read."""
    try:
        return load(run)
    except (TuiwbError, msgspec.MsgspecError):
        return None
