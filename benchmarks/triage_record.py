"""Train a case for real, in this process, and keep what triage would have seen of it."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import yaml
from triage_cases import Case
from triage_faults import fault

from tuiwb import jobs
from tuiwb.compare import plan as compare_plan
from tuiwb.jobs.run import main as do_job
from tuiwb.project import Project
from tuiwb.train.plan import plan
from tuiwb.train.start import model_fingerprint


def record(project: Project, case: Case, target: Path) -> float:
    """Run a case and write TARGET/NAME.json.gz; returns the seconds it took."""
    began = time.monotonic()
    config = project.root / "configs" / f"{case.name}.yaml"
    config.write_text(yaml.safe_dump(case.config()))
    folder, spec = plan(project, config, case.name)
    base = Path(spec["model"]["base"])
    files = [*spec["data"]["train"], *filter(None, [spec["data"]["heldout"]])]
    prints = {path: jobs.fingerprint(Path(path)) for path in files}
    jobs.create(folder, "train", spec, fingerprints={**prints, str(base): model_fingerprint(base)})
    with fault(case.fault):
        do_job(folder)
    if case.compare:
        asked = compare_plan.plan(
            project, case.name, prompts=case.compare, limit=24, max_new_tokens=64
        )
        do_job(compare_plan.prepare(asked))
    keep(project, case, folder, target)
    return time.monotonic() - began


def keep(project: Project, case: Case, folder: Path, target: Path) -> None:
    """Write what a replay needs: spec, facts, events, the adapter's figures, answers."""
    from tuiwb.monitor.triage import files
    from tuiwb.monitor.triage.facts import read_facts

    facts = read_facts(folder)
    adapter = files.adapter_facts(folder)
    answers = files.answers(folder)
    whole: dict[str, Any] = {
        "name": case.name,
        "rule": case.rule,
        "half": case.half,
        "source": "training",
        "job": json.loads(json.dumps(_plain(jobs.load(folder)))),
        "facts": _plain(facts) if facts else None,
        "adapter": _plain(adapter) if adapter else None,
        "answers": _plain(answers) if answers else None,
        "events": [
            json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()
        ],
    }
    text = json.dumps(whole).replace(str(project.root) + "/", "")
    target.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(target / f"{case.name}.json.gz", "wb", mtime=0) as file:
        file.write(text.encode())


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)
