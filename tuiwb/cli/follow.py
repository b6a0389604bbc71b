"""Watch a job on the command line until it ends; shared by every command that starts one."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from tuiwb.cli.common import note, say, say_json, there
from tuiwb.errors import EXIT_FINE, EXIT_JOB_FAILED
from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Log, Metrics, Progress, State
from tuiwb.jobs.follow import Follower
from tuiwb.jobs.state import ENDED, JobState, with_reason, word_of
from tuiwb.monitor.runs import run_name
from tuiwb.text import inert, short_seconds

POLL = 0.25  # seconds between two looks at the event log
PROGRESS_EVERY = 5.0  # seconds between two progress lines where nothing else is said
INTERRUPTED = 130
SHOWN = {
    "loss": "loss",
    "eval_loss": "eval loss",
    "mean_token_accuracy": "accuracy",
    "eval_mean_token_accuracy": "eval accuracy",
    "grad_norm": "grad norm",
    "learning_rate": "lr",
    "tokens_per_second": "tokens/s",
    "train_loss": "mean loss",
    "train_runtime": "seconds",
}


def follow(
    folder: Path,
    *,
    json: bool = False,
    until: Callable[[JobState], bool] | None = None,
    follower: Follower | None = None,
) -> int:
    """Print what the job in `folder` does until it ends; returns the exit code.

    With `json` the lines go to stderr and the last state to stdout as one JSON document. `until`
    ends the watch before the job does. A `follower` that has read on already is gone on with, so
    that what happened before is not told. Ctrl+C ends the watch only: the job goes on, and that is
    said.
    """
    tell = note if json else say
    follower = follower or Follower(folder)
    printer = Printer(tell, follower.state.started)
    try:
        while True:
            events = follower.poll()
            state = follower.state
            for event in events:
                printer.show(event, state)
            if state.state in ENDED and not events:
                break
            if until is not None and until(state):
                break
            if not events:
                time.sleep(POLL)
    except KeyboardInterrupt:
        named = f"{run_name(folder)}{there(folder)}"
        note(
            f"{run_name(folder)} goes on without this watch: tuiwb runs follow "
            f"{named} to watch again, tuiwb runs stop {named} to stop it"
        )
        return INTERRUPTED
    if json:
        say_json(state.as_json())
    if state.state == "died":
        note(f"error: {state.name} died: {state.message}")
    return exit_code(state)


def exit_code(state: JobState) -> int:
    """4 for a job that failed or died, else 0."""
    return EXIT_JOB_FAILED if state.state in ("failed", "died") else EXIT_FINE


class Printer:
    """Turns events into lines: phases, metrics, artifacts, alerts, and progress now and then."""

    def __init__(self, tell: Callable[[str], None], began: float | None = None) -> None:
        self._tell = tell
        self._phase = ""
        self._training = False
        self._spoke = 0.0
        self._began = began

    def show(self, event: AnyEvent, state: JobState) -> None:
        """Print one event if it is worth a line."""
        if self._began is None:
            self._began = event.t
        line = self._line(event, state)
        if line is not None:
            self._spoke = time.monotonic()
            self._tell(f"{short_seconds(event.t - self._began):>7}  {inert(line, one_line=True)}")

    def _line(self, event: AnyEvent, state: JobState) -> str | None:
        match event:
            case State():
                if state.kind == "train" and event.phase in ("evaluating", "training"):
                    if self._training and not event.message:
                        return None
                    # Each evaluation flips the phase twice; its metrics say so already.
                    self._training = True
                said = " ".join(
                    filter(None, (word_of(event.state), event.phase and f"({event.phase})"))
                )
                if said == self._phase and not event.message:
                    return None
                self._phase = said
                return with_reason(said, event.message)
            case Metrics():
                return metrics_line(event)
            case Progress() if time.monotonic() - self._spoke >= PROGRESS_EVERY:
                total = f" of {event.total:,.0f}" if event.total else ""
                return f"{event.phase} {event.done:,.0f}{total} {event.unit}".rstrip()
            case Artifact():
                return f"wrote {event.path} ({event.kind})"
            case Alert():
                more = "; ".join(filter(None, (event.evidence, event.cause, event.fix)))
                return f"ALERT {event.severity}: {more}"
            case Log():
                return event.message if event.level == "info" else f"{event.level}: {event.message}"
            case _:
                return None


def metrics_line(event: Metrics) -> str:
    """`step 10/150  loss 2.134  lr 2e-04 ...`: the values people watch, or all if none is."""
    shown = [
        f"{label} {_number(event.values[key])}"
        for key, label in SHOWN.items()
        if key in event.values
    ]
    if not shown:
        shown = [f"{key} {_number(value)}" for key, value in list(event.values.items())[:6]]
    total = f"/{event.total_steps}" if event.total_steps else ""
    return "  ".join([f"step {event.step}{total}", *shown])


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value and abs(value) < 1e-2:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
