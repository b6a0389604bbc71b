"""A run's worker as seen from outside: a live process that writes a log as a trainer does.

`python -m tests.e2e.streamer FOLDER [NATIVE...]`: ten steps a second until control.jsonl says stop.
"""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuiwb import jobs
from tuiwb.jobs import events, process
from tuiwb.jobs.control import ControlReader
from tuiwb.jobs.folder import EVENTS, LOG
from tuiwb.project import Project
from tuiwb.train.plan import plan


def stream(folder: Path, *, history: int = 0, jump: float = 0.0) -> None:
    """Write `history` steps at once, then ten a second; `jump` moves the clock at step 40."""
    writer = events.EventWriter(folder / EVENTS)
    process.write(folder, process.identify(os.getpid()))
    writer.emit(events.State(state="running", phase="training"))
    inbox = ControlReader(folder)
    step = 0
    with (folder / LOG).open("a", buffering=1) as log:
        while not any(command.command == "stop" for command in inbox.read()):
            step += 1
            values = {"loss": 1 + math.exp(-step / 80), "learning_rate": 1e-4, "grad_norm": 0.5}
            moved = jump if step >= 40 else 0.0
            writer.emit(
                events.Metrics(t=time.time() + moved, step=step, total_steps=100_000, values=values)
            )
            if step % 20 == 0:
                log.write(f"step {step}\n")
            if step > history:
                time.sleep(0.1)
    writer.emit(events.State(state="finished", exit_code=0))
    writer.close()


@contextmanager
def streaming(project: Project, name: str = "live", **how: float) -> Iterator[Path]:
    """A run that streams until the end of the block, or until it is told to stop."""
    folder, spec = plan(project, project.configs()[0], name)
    jobs.create(folder, "train", spec)
    arguments = [str(how.get("history", 0)), str(how.get("jump", 0.0))]
    command = [sys.executable, "-m", "tests.e2e.streamer", str(folder), *arguments]
    worker = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        yield folder
    finally:
        worker.kill()
        worker.wait()


if __name__ == "__main__":
    stream(Path(sys.argv[1]), history=int(float(sys.argv[2])), jump=float(sys.argv[3]))
