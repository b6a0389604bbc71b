"""Guided recovery of a bad run: six steps in order, each looked at as far as files tell, ticked.

In: a run's folder. Out: the steps with their evidence; ticks are kept in recovery.json there.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

RECOVERY = "recovery.json"

Key = Literal["data", "template", "adapter", "metrics", "learning_rate", "miniature"]
Verdict = Literal["good", "bad", "unknown"]


class Step(msgspec.Struct, kw_only=True):
    """One step: what it asks, what was found by itself (`verdict`, `evidence`), what to do.

    `change` is the config change that the step offers (dotted keys), empty where there is none;
    `ticked` the unix time a person ticked it, None while it is open.
    """

    key: Key
    title: str
    checks: str
    verdict: Verdict = "unknown"
    evidence: list[str] = []
    action: str = ""
    change: dict[str, Any] = {}
    ticked: float | None = None


def steps(run: Path) -> list[Step]:
    """The six steps of a run's recovery, in order, looked at anew; ticks as kept."""
    return []


def tick(run: Path, key: Key, done: bool = True) -> None:
    """Tick a step, or take its tick back; kept at once in the run's recovery.json."""
