"""Job folders as a worker leaves them, in every state, for the tests of the screens."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tuiwb import jobs
from tuiwb.jobs import process
from tuiwb.jobs.events import Alert, AnyEvent, Artifact, EventWriter, Metrics, Sample, State
from tuiwb.jobs.folder import EVENTS, LOG
from tuiwb.project import Project

START = 1_700_000_000.0


def a_run(
    project: Project,
    name: str,
    state: str = "finished",
    *,
    message: str = "",
    steps: int = 20,
    total: int = 20,
    loss: float = 2.0,
    checkpoint: int | None = None,
    spec: dict[str, object] | None = None,
    more: Iterable[AnyEvent] = (),
    log: bytes = b"",
) -> Path:
    """A training run: live ones ("running", "paused", "queued") have this process as theirs."""
    folder = project.runs / name
    jobs.create(folder, "train", spec or {"method": "sft", "training": {"learning_rate": 1e-4}})
    events: list[AnyEvent] = [State(state="running", phase="training", t=START)]
    for step in range(1, steps + 1):
        values = {"loss": loss / step, "learning_rate": 1e-4, "tokens_per_second": 1000.0}
        events.append(Metrics(step=step, total_steps=total, t=START + step, values=values))
        if step % 10 == 0:
            held_out = {"eval_loss": loss / step + 0.1}
            events.append(
                Metrics(step=step, total_steps=total, t=START + step + 0.5, values=held_out)
            )
            said = Sample(step=step, prompt="hi", text=f"hello {step}", t=START + step + 0.6)
            events.append(said)
    if checkpoint is not None:
        path = f"checkpoints/checkpoint-{checkpoint}"
        events.append(Artifact(kind="checkpoint", path=path, step=checkpoint, t=START + steps))
    events += more
    end = START + steps + 10
    if state == "paused":
        events.append(State(state="running", phase="paused", t=end))
    elif state in ("finished", "failed", "cancelled", "queued"):
        events.append(State(state=state, message=message, t=end))
    add(folder, events)
    (folder / LOG).write_bytes(log)
    if state == "died":
        gone = subprocess.Popen(["sleep", "60"])
        process.write(folder, process.identify(gone.pid))
        gone.kill()
        gone.wait()
    elif state != "queued":
        process.write(folder, process.identify(os.getpid()))
    return folder


def add(folder: Path, events: Iterable[AnyEvent]) -> None:
    """Append events to a run, as its worker does."""
    writer = EventWriter(folder / EVENTS)
    for event in events:
        writer.emit(event)
    writer.close()


def an_alert(step: int = 12, severity: str = "warning") -> Alert:
    """An alert with everything an alert may carry."""
    return Alert(
        rule="loss_spike",
        severity=severity,
        evidence=f"loss jumped from 0.4 to 3.4 at step {step}",
        cause="a batch unlike the rest",
        fix="look at the rows, lower max_grad_norm",
        change={"training.max_grad_norm": 0.3},
        look="the rows of the batch",
        rows=["data/chats.jsonl:2"],
        numbers={"loss": 3.4},
        step=step,
        t=START + step,
    )
