"""What two or more runs were asked differently: config, data, base, versions, code.

In: job folders. Out: the keys that differ, dotted, each with its value in every run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.environment import read_environment
from tuiwb.jobs.folder import Job, load
from tuiwb.monitor.runs import run_name

ABSENT = "–"  # how a value that a run doesn't have is written
_NONE = object()
# Numbers of the trainer's that stand for none: by key and as they are spelled.
NOT_SET = {("training.max_steps", "-1"): "no limit"}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One key and its value by run; a run that has no such key is not in `values`."""

    key: str
    values: dict[str, Any]

    def said(self, run: str) -> str:
        """The value of a run in words, ABSENT where it has none."""
        if run not in self.values:
            return ABSENT
        said = spelled(self.values[run])
        return f"{said} ({NOT_SET[self.key, said]})" if (self.key, said) in NOT_SET else said


class ConfigDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Only what differs, in the order of the first run's config; empty when nothing does."""

    runs: list[str]
    differs: list[Difference]

    def table(self) -> list[list[str]]:
        """A row for each key: the key, then its value in every run."""
        return [[d.key, *(d.said(run) for run in self.runs)] for d in self.differs]


def config_diff(folders: Sequence[Path]) -> ConfigDiff:
    """Compare what was asked in two or more job folders; BadInput for fewer, or no job folder.

    Keys are those of the config (`training.learning_rate`), and `data.train.sha256`,
    `data.heldout.sha256`, `model.base.sha256` (the files' contents when the run began), `git`,
    `tuiwb`, `python` and `libraries.NAME` (what the worker ran with).
    """
    if len(folders) < 2:
        raise BadInput("a difference needs two runs or more: name another one")
    names = [run_name(folder) for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    asked = [facts(load(folder), folder) for folder in folders]
    keys = list(dict.fromkeys(key for one in asked for key in one))
    differs = []
    for key in keys:
        values = [one.get(key, _NONE) for one in asked]
        if any(value != values[0] for value in values):
            had = {
                name: value for name, value in zip(names, values, strict=True) if value is not _NONE
            }
            differs.append(Difference(key=key, values=had))
    return ConfigDiff(runs=names, differs=differs)


def facts(job: Job, folder: Path) -> dict[str, Any]:
    """All that was asked of a job and with what it ran, by dotted key."""
    found: dict[str, Any] = {"kind": job.kind, **_flat(job.spec)}
    data, model = _dict(job.spec.get("data")), _dict(job.spec.get("model"))
    named: set[str] = set()
    for key, paths in (
        ("data.train", data.get("train")),
        ("data.heldout", data.get("heldout")),
        ("model.base", model.get("base")),
    ):
        files = [str(p) for p in (paths if isinstance(paths, list) else [paths]) if p]
        prints = [job.fingerprints[file] for file in files if file in job.fingerprints]
        named |= set(files)
        if prints:
            found[f"{key}.sha256"] = prints[0] if len(prints) == 1 else prints
    others = {k: v for k, v in job.fingerprints.items() if k not in named}
    found |= {f"sha256 of {path}": value for path, value in others.items()}
    found |= {"git": job.git, "tuiwb": job.tuiwb}
    ran_with = read_environment(folder)
    if ran_with is not None:
        found["python"] = ran_with.python
        # Our own version stands in job.yaml.
        libraries = {k: v for k, v in ran_with.libraries.items() if k != "tuiwb"}
        found |= {f"libraries.{name}": number for name, number in libraries.items()}
    return found


def spelled(value: Any) -> str:
    """A value of a config as YAML would write it, on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(spelled(one) for one in value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _flat(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        dotted = f"{above}{key}"
        if isinstance(inner, dict) and inner:
            flat |= _flat(inner, dotted + ".")
        else:
            flat[dotted] = inner
    return flat


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
