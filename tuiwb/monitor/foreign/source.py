"""What a reader of another tool's files gives at each look."""

import math
from typing import Any, Protocol

import msgspec

from tuiwb.jobs.events import Artifact, Metrics


class Reading(msgspec.Struct, kw_only=True):
    """What is new since the last look.

    `anew`: what was given before doesn't hold any more. `written`: when the files last changed
    (unix seconds), 0 while there is nothing. `end`: the files say how it ended ("finished",
    "failed"), "" while they don't. `between`: seconds between the last two writes of a file that
    is only written now and then.
    """

    events: list[Metrics | Artifact] = []
    anew: bool = False
    written: float = 0.0
    total_steps: int = 0
    end: str = ""
    between: float = 0.0
    problem: str = ""


class Source(Protocol):
    """One kind of files in one folder."""

    what: str

    def poll(self, seconds: float) -> Reading | None:
        """Read on for about so long at most; None when nothing has changed. Never raises for
        what the files hold."""

    def restart(self) -> None:
        """Give everything again at the next poll."""

    @property
    def done(self) -> float:
        """The share of the files read so far."""


def number(value: Any) -> float | None:
    """A metric's value, NaN and infinity as such; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def trainer_name(tag: str) -> str:
    """A metric's name as transformers' trainer logs it: its writers' `train/loss` and `eval/loss`.

    Source: transformers.integrations.rewrite_logs, turned round.
    """
    # Python's own json lets lone surrogates through, which no file or screen may hold.
    tag = tag.encode("utf-8", "replace").decode()
    if tag.startswith("train/") and len(tag) > 6:
        return tag[6:]
    for prefix in ("eval/", "test/"):
        if tag.startswith(prefix) and len(tag) > 5:
            return f"{prefix[:-1]}_{tag[5:]}"
    return tag
