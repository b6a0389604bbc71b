"""The state of a job: a pure fold over its events, then one look at its process."""

import math
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tuiwb.jobs import death, process
from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Device,
    Log,
    Metrics,
    Progress,
    Sample,
    State,
    spell,
)
from tuiwb.jobs.folder import Job
from tuiwb.jobs.lines import tail
from tuiwb.jobs.tally import Tally

__all__ = [
    "ENDED",
    "STATES",
    "JobState",
    "fold",
    "settle",
    "status",
    "tail",
    "with_reason",
    "word_of",
]

ENDED = frozenset({"finished", "failed", "cancelled", "died"})
STATES = ENDED | {"queued", "starting", "running", "stopping"}
# What people read and type where it is another word than the event log's.
WORDS = {"cancelled": "stopped"}
SILENCE = 60.0  # seconds without an event from another host before that is said
WARNINGS = 5  # of the log's, the newest are kept
NEVER_STARTED = 120.0  # seconds after which a queued job that has no process never had one


class JobState(msgspec.Struct, kw_only=True):
    """Where a job stands. Times are unix seconds; `metrics` holds the latest of each name.

    `warnings` holds the newest few warnings of the log, a death before a resume among them.
    `trained`: the progress in steps since the newest metrics, whatever phase came after it.
    `held_out`: whether it may evaluate on held-out data, which decides what its best loss is.
    """

    name: str
    kind: str
    state: str = "queued"
    phase: str = ""
    message: str = ""
    step: int = 0
    total_steps: int = 0
    epoch: float | None = None
    metrics: dict[str, float] = {}
    best_loss: float | None = None
    progress: Progress | None = None
    trained: Progress | None = None
    device: Device | None = None
    sample: Sample | None = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    seen: float | None = None
    alerts: list[Alert] = []
    artifacts: list[Artifact] = []
    warnings: list[Log] = []
    pid: int | None = None
    tally: Tally = msgspec.field(default_factory=Tally)
    held_out: bool = True

    @classmethod
    def of(cls, job: Job) -> "JobState":
        """The state of a job of whose log nothing has been read."""
        data = job.spec.get("data")
        without = isinstance(data, dict) and "heldout" in data and not data["heldout"]
        return cls(name=job.name, kind=job.kind, created=job.created, held_out=not without)

    @property
    def best(self) -> tuple[float | None, int | None, str]:
        """The lowest loss, its step, and its name: "eval_loss", which is None before the first
        evaluation; "loss", that of training, only of a job without held-out data."""
        tally = self.tally
        if self.held_out or tally.best_eval_loss is not None:
            return tally.best_eval_loss, tally.best_eval_step, "eval_loss"
        return tally.best_train_loss, tally.best_train_step, "loss"

    @property
    def running(self) -> bool:
        """Whether the job still has something to do."""
        return self.state not in ENDED

    @property
    def word(self) -> str:
        """The state as people read it."""
        return word_of(self.state)

    def lasted(self, now: float) -> float | None:
        """Seconds in which it ran, up to `now` while it runs; None before its first start.

        Left out: the queue, pauses, the time between two processes, a clock that was set. An
        attempt that died ends with its last event.
        """
        if self.started is None:
            return None
        return self.tally.active_until(now, self.seen) if self.running else self.tally.active

    @property
    def at_step(self) -> int:
        """The step it has come to: between two that are logged its progress says more, and after a
        resume it is less than what was logged before."""
        return self.step if self.trained is None else int(self.trained.done)

    @property
    def of_steps(self) -> int:
        """How many steps it will take; 0 where that is not known."""
        return self.total_steps or (0 if self.trained is None else int(self.trained.total))

    @property
    def last_checkpoint(self) -> Artifact | None:
        """The newest checkpoint the job wrote."""
        return next((a for a in reversed(self.artifacts) if a.kind == "checkpoint"), None)

    def as_json(self) -> dict[str, object]:
        """Plain values for --json: NaN and infinity as strings, as in the event log."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        plain["metrics"] = {k: v if math.isfinite(v) else spell(v) for k, v in self.metrics.items()}
        return plain


def word_of(state: str) -> str:
    """A state of the event log as people read and type it."""
    return WORDS.get(state, state)


def with_reason(word: str, message: str) -> str:
    """`failed: out of memory`; of a message that begins with the word itself nothing is doubled."""
    if not message or message.startswith(word):
        return message or word
    return f"{word}: {message}"


def fold(state: JobState, events: Iterable[AnyEvent]) -> JobState:
    """Apply events to `state` in order; the same object is changed and returned."""
    for event in events:
        state.tally.add(event, state.seen)
        state.seen = event.t
        apply(state, event)
    return state


def apply(state: JobState, event: AnyEvent) -> None:
    """What one event says, apart from when it was and what it adds to the tally."""
    match event:
        case State() if event.state in STATES:
            state.state, state.phase, state.message = event.state, event.phase, event.message
            if state.started is None and event.state in ("starting", "running"):
                state.started = event.t
            # A clock that was set back meanwhile makes no run end before it began.
            state.ended = max(event.t, state.started or 0.0) if event.state in ENDED else None
        case Progress():
            state.progress = event
            state.trained = event if event.in_steps else state.trained
        case Metrics():
            state.step, state.trained = event.step, None
            state.epoch = event.epoch if event.epoch is not None else state.epoch
            state.total_steps = event.total_steps or state.total_steps
            state.metrics.update(event.values)
            held_out = event.values.get("eval_loss")
            if held_out is not None and math.isfinite(held_out):
                state.best_loss = min(
                    held_out, math.inf if state.best_loss is None else state.best_loss
                )
        case Device():
            state.device = event
        case Sample():
            state.sample = event
        case Artifact():
            state.artifacts.append(event)
        case Alert():
            state.alerts.append(event)
        case Log() if event.level.startswith("warn"):
            state.warnings = [*state.warnings, event][-WARNINGS:]
        case _:
            pass


def settle(state: JobState, folder: Path) -> JobState:
    """Look at the process: a job without an end whose process is gone has died."""
    if state.seen is not None:
        state.seen = min(state.seen, time.time())  # a clock may have been ahead
    identity = process.read(folder)
    if identity is None:
        if state.state == "queued" and time.time() - (state.seen or state.created) > NEVER_STARTED:
            state.state, state.ended = "died", state.seen or state.created
            state.message = "it was never started: start it again"
        return state
    state.pid = identity.pid
    if state.state in ENDED:
        return state
    alive = process.alive(identity)
    if alive is False and not process.being_told(identity):
        found = death.why(folder, state)
        state.state, state.ended, state.message = "died", found.t or state.seen, found.sentence
    elif alive is None and time.time() - (state.seen or state.created) > SILENCE:
        state.message = death.why(folder, state).sentence
    elif state.state == "queued" and not identity.waits:
        state.state = "starting"
    return state


def status(folder: Path) -> JobState:
    """The state of the job in `folder`, from its files alone; all of a long log is in it."""
    from tuiwb.jobs.standing import Standing  # which folds with this module

    standing = Standing(folder)
    standing.poll()
    while not standing.exact:
        standing.poll(60.0)
    return standing.state
