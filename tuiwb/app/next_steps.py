"""What to do next, told from what is in the project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuiwb.jobs import JobState
from tuiwb.prepared import prepared


@dataclass(frozen=True)
class Step:
    """A suggestion: the key that goes there, what one does there, and why now."""

    key: str
    mode: str
    title: str
    why: str


def next_steps(
    datasets: Sequence[Path], configs: Sequence[Path], jobs: Mapping[Path, JobState]
) -> list[Step]:
    """Suggestions, the most useful first; every screen is named once."""
    saved = [f for f, s in jobs.items() if s.kind == "train" and (f / "adapter").is_dir()]
    broken = [f for f in saved if told_not_finite(jobs[f])]
    trained = [f for f in saved if f not in broken]
    training = [s for s in jobs.values() if s.kind == "train" and s.running]
    compared = {f.parent for f, s in jobs.items() if s.kind == "compare" and s.state == "finished"}
    serving = [s for s in jobs.values() if s.kind == "serve" and s.running]
    fallen = [s for s in jobs.values() if s.kind == "train" and s.state in ("died", "failed")]
    undecided = [f for f in trained if f in compared and not (f / "gate.json").is_file()]
    uncompared = [f for f in trained if f not in compared]
    # The gate's word on the newest adapter; older ones were followed by another.
    refused = trained[-1] if trained and _may_not_ship(trained[-1]) else None
    # Of interest until something was trained after it.
    runs = [f for f, s in jobs.items() if s.kind == "train"]
    newest = max(runs, key=lambda f: jobs[f].created, default=None)
    diverged = newest in broken

    data = Step("2", "data", "Look at the data", _data_words(datasets))
    config = Step("3", "config", "Edit a config and train", _config_words(configs))
    if training:
        watch_words = f"{training[-1].name} is training"
    elif newest is not None and diverged:
        watch_words = (
            f"the adapter of {jobs[newest].name} holds numbers that are not finite: its alerts (a) "
            "have the fix"
        )
    elif fallen:
        watch_words = f"{fallen[-1].name} {fallen[-1].state}: see why, and resume"
    else:
        watch_words = f"{len(trained)} finished" if trained else "no run yet"
    watch = Step("4", "train", "Watch the runs", watch_words)
    if refused is not None:
        compare_words = f"{refused.name} may not ship (NO-SHIP): G there says why"
    elif uncompared:
        compare_words = f"{uncompared[-1].name} has not been compared with its base"
    elif undecided:
        compare_words = f"{undecided[-1].name}: vote, judge, and ask the gate (G) if it may ship"
    else:
        compare_words = "read the outputs, vote, judge" if trained else "after the first run"
    compare = Step("5", "compare", "Compare base and fine-tune", compare_words)
    serve_words = f"{serving[-1].name} is up" if serving else "an OpenAI-compatible server"
    serve = Step("6", "serve", "Serve the adapter", serve_words)

    if training or (fallen and not trained) or diverged:
        first = [watch]
    elif refused is not None or uncompared or undecided:
        first = [compare]
    elif trained:
        first = [serve]
    elif jobs or not datasets:
        first = [data]
    else:
        first = [data, config]
    return first + [s for s in (data, config, watch, compare, serve) if s not in first]


def _may_not_ship(run: Path) -> bool:
    """Whether the gate that was kept for a run says NO-SHIP. Read here in two words: all that makes
    a verdict would have to be imported before the first screen is painted."""
    try:
        kept = msgspec.json.decode((run / "gate.json").read_bytes(), type=prepared(_Kept))
    except (OSError, msgspec.MsgspecError):
        return False
    return kept.verdict == "NO-SHIP"


class _Kept(msgspec.Struct):
    verdict: str


def told_not_finite(state: JobState) -> bool:
    """Whether a run's last adapter holds NaN or infinities, as its worker said when it saved it."""
    adapter = next((a for a in reversed(state.artifacts) if a.kind == "adapter"), None)
    if adapter is None:
        return False
    if adapter.finite is not None:
        return not adapter.finite
    # A worker of an older version said it in an alert of the adapter's own step.
    return any(a.rule == "not_finite" and a.t >= adapter.t for a in state.alerts)


def _data_words(datasets: Sequence[Path]) -> str:
    if not datasets:
        return "none yet: put JSONL, JSON, CSV or Parquet under data/"
    many = "s" if len(datasets) > 1 else ""
    return f"{len(datasets)} dataset{many}: rows as the model sees them"


def _config_words(configs: Sequence[Path]) -> str:
    if not configs:
        return "none yet: ctrl+n there makes one"
    return f"{len(configs)} configs, checked as you type" if len(configs) > 1 else configs[0].name
