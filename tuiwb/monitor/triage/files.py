"""What a run's folder holds for triage beyond its events: adapter, comparison, its ancestry.

In: a run's folder. Out: plain facts, None for what is not there or can't be read.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import Metrics, decode
from tuiwb.jobs.folder import EVENTS, JOB, Job, load
from tuiwb.monitor.triage.adapter import read_adapter
from tuiwb.monitor.triage.bases import Outcome, outcome_of
from tuiwb.monitor.triage.facts import AdapterFacts, Answers, read_facts
from tuiwb.monitor.triage.rule import section, setting
from tuiwb.prepared import prepared

ADAPTER, COMPARE = "adapter", "compare"
NAMED = 8
NEIGHBOURS = 50  # runs looked at for one on another base
TAIL = 1 << 20  # bytes of an event log in which its last evaluation is looked for


def adapter_facts(run: Path) -> AdapterFacts | None:
    """The run's saved adapter held against its base."""
    try:
        spec = load(run).spec
    except TuiwbError:
        return None
    name, revision = str(setting(spec, "model.base", "")), setting(spec, "model.revision")
    try:
        base = Path(name)
        found = base if base.is_dir() else hub_folder(name, revision and str(revision))
    except (OSError, ValueError):  # a name that is no path
        found = None
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
        side = section(summary.get("adapter"))
        found = {
            "prompts": str(spec["prompts"]),
            "heldout": str(spec["prompts"]) == str(setting(job.spec, "data.heldout")),
            "n": summary["done"],
            "identical": summary["identical"],
            "logit_difference": summary.get("max_logit_difference"),
            "cut": side.get("cut", 0),
            "base_cut": summary["base"].get("cut", 0),
            "empty": side.get("empty", 0),
            "metrics": [m for m in summary["metrics"] if m.get("adapter") is not None],
            "not_json": list(_not_json(folder / "completions.jsonl", str(spec["prompts"]))),
        }
        return msgspec.convert(found, prepared(Answers))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        TuiwbError,
        msgspec.MsgspecError,
    ):
        return None


def _not_json(path: Path, prompts: str) -> Iterator[str]:
    """Where the first prompts stand whose reference is JSON and whose answer isn't."""
    found = 0
    for line in path.read_bytes().splitlines():
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
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


def outcome(run: Path) -> Outcome | None:
    """What came of a run, as far as it can be held against another; None if it is no train run."""
    job = job_of(run)
    if job is None or job.kind != "train":
        return None
    facts = read_facts(run)
    words = facts.vocabulary if facts is not None else 0
    return outcome_of(job, _last_eval_loss(run / EVENTS), words, answers(run))


def outcomes_beside(run: Path) -> Iterator[Outcome]:
    """The outcomes of the other train runs in the same folder, the newest few of them."""
    jobs = [p.parent for p in run.parent.glob(f"*/{JOB}") if p.parent != run]
    for folder in sorted(jobs, key=_written, reverse=True)[:NEIGHBOURS]:
        if (found := outcome(folder)) is not None:
            yield found


def _written(folder: Path) -> float:
    try:
        return (folder / JOB).stat().st_mtime
    except OSError:
        return 0.0


def losses(run: Path) -> tuple[float | None, float | None]:
    """The first training loss of a run's log and its last, from the log's two ends."""
    try:
        with (run / EVENTS).open("rb") as file:
            head = file.read(TAIL).splitlines()
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            tail = file.read().splitlines()
    except OSError:
        return None, None
    return _loss_of(head), _loss_of(reversed(tail))


def losses_logged(run: Path, most: int) -> int:
    """How many training losses the beginning of a run's log holds, counted up to `most`."""
    try:
        with (run / EVENTS).open("rb") as file:
            lines = file.read(TAIL).splitlines()
    except OSError:
        return 0
    return sum(1 for _ in islice((n for n in lines if _loss_of([n]) is not None), most))


def _loss_of(lines: Iterable[bytes]) -> float | None:
    for line in lines:
        if b'"loss"' in line:
            event = decode(line)
            if isinstance(event, Metrics) and "loss" in event.values:
                return event.values["loss"]
    return None


def _last_eval_loss(path: Path) -> float:
    """The last eval_loss of an event log, from its tail."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return math.nan
    for line in reversed(lines):
        if b"eval_loss" in line:
            event = decode(line)
            if isinstance(event, Metrics) and "eval_loss" in event.values:
                return event.values["eval_loss"]
    return math.nan


def job_of(run: Path) -> Job | None:
    """The run's job.yaml; None where it can't be read."""
    try:
        return load(run)
    except (TuiwbError, msgspec.MsgspecError):
        return None
