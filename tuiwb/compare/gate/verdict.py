"""The gate: may this fine-tune be shipped? A pure fold over what a run's folder holds.

In: the comparison, the evaluation, judges' and people's verdicts, the adapter's own facts. Out: one
verdict, a line for each thing that a fine-tune can be wrong in, with its number and what would
change it. SHIP only when every required line holds; a required line that is not known is NO-SHIP.
"""

import time
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.compare.gate.evidence import gather, inputs_of
from tuiwb.compare.gate.line import GateLine
from tuiwb.compare.gate.lines import lines_of
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared
from tuiwb.project import Project

__all__ = [
    "GATE",
    "Gate",
    "GateLine",
    "gate",
    "read_gate",
    "stale",
    "verdict_of",
    "verdict_words",
    "write_gate",
]

GATE = "gate.json"
Verdict = Literal["SHIP", "NO-SHIP"]


class Gate(msgspec.Struct, kw_only=True):
    """The verdict and its lines. `missing` are the commands that would make unknown lines known;
    `inputs` says for each file that was looked at how large and how old it was."""

    verdict: Verdict
    run: str
    lines: list[GateLine]
    missing: list[str] = []
    made: float = 0.0
    inputs: dict[str, tuple[int, int]] = {}

    @property
    def sentence(self) -> str:
        """The verdict in words: what it rests on, never more."""
        if self.verdict == "SHIP":
            holds = {line.name for line in self.lines if line.ok}
            shown = []
            if "held_out" in holds:
                shown.append("better than the base on held-out prompts")
            if "canary" in holds:
                shown.append(f"no regression above {self.limit:.0%} detected")
            # Optional lines decide nothing, so nothing may be said to rest on them.
            shown += [
                f"left aside: {line.label} ({'not known' if line.ok is None else 'does not hold'})"
                for line in self.lines
                if line.ok is not True
            ]
            return f"SHIP: {', '.join(shown)}"
        wrong = [line.label for line in self.lines if line.required and line.ok is False]
        unknown = [line.label for line in self.lines if line.required and line.ok is None]
        parts = []
        if wrong:
            parts.append(f"does not hold: {', '.join(wrong)}")
        if unknown:
            parts.append(f"not known: {', '.join(unknown)}")
        return f"NO-SHIP: {'; '.join(parts)}"

    @property
    def limit(self) -> float:
        """The largest regression that was let pass, as a fraction."""
        return max((line.limit or 0.0 for line in self.lines if line.name == "canary"), default=0.0)

    def line(self, name: str) -> GateLine | None:
        """A line by its name."""
        return next((line for line in self.lines if line.name == name), None)


def gate(project: Project, run: Path) -> Gate:
    """The gate of a run as its files stand now; BadInput when it is no run, or a setting of the
    section `gate` names no line or metric."""
    evidence = gather(project, run)
    lines = lines_of(evidence, project.settings.gate)
    return Gate(
        verdict=verdict_of(lines),
        run=run.name,
        lines=lines,
        missing=list(dict.fromkeys(line.command for line in lines if line.command)),
        made=time.time(),
        inputs=inputs_of(run),
    )


def verdict_of(lines: list[GateLine]) -> Verdict:
    """SHIP only when every required line is known and holds, and there is one."""
    required = [line for line in lines if line.required]
    return "SHIP" if required and all(line.ok is True for line in required) else "NO-SHIP"


def write_gate(run: Path, found: Gate) -> Path:
    """Keep the gate as runs/NAME/gate.json; returns its path."""
    path = run / GATE
    try:
        write_atomically(path, msgspec.json.format(msgspec.json.encode(found), indent=2))
    except OSError as error:
        raise BadInput(f"can't write {path}: {error.strerror or error}") from None
    return path


def read_gate(run: Path) -> Gate | None:
    """The gate kept in a run's folder; None where there is none that can be read."""
    try:
        return msgspec.json.decode((run / GATE).read_bytes(), type=prepared(Gate))
    except (OSError, msgspec.MsgspecError):
        return None


def stale(run: Path, kept: Gate) -> list[str]:
    """Files, relative to the run, that changed, came or went since the gate was made."""
    now = inputs_of(run)
    return sorted(
        name for name in now.keys() | kept.inputs.keys() if now.get(name) != kept.inputs.get(name)
    )


def verdict_words(run: Path) -> str:
    """The kept verdict in a word or two, for beside a run's name; '' where the gate never ran."""
    kept = read_gate(run)
    if kept is None:
        return ""
    return f"{kept.verdict}, out of date" if stale(run, kept) else kept.verdict
