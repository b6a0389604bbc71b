"""What the tests of a run's survival share: a real run on the tiny model, and is its data whole."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny import CONFIG, build_project
from tuiwb import jobs
from tuiwb.jobs import process
from tuiwb.jobs.events import Control, EventReader, Metrics
from tuiwb.project import Project

LIMIT = 240.0  # seconds; a worker imports for 10 of them on a free machine

ENDLESS = {"max_steps: 12": "max_steps: 100000", "save_steps: 4": "save_steps: 5000",
           "eval_steps: 6": "eval_steps: 5000", "logging_steps: 2": "logging_steps: 1"}  # fmt: skip


def project_with(root: Path, changes: dict[str, str]) -> Project:
    """A project on the tiny model whose config has these changes."""
    text = CONFIG
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return Project(build_project(root, text))


def wait_for(condition: Callable[[], Any], folder: Path, seconds: float = LIMIT) -> Any:
    """Poll until the condition gives something; shows the worker's log when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            log = folder / "worker.log"
            said = log.read_text(errors="replace")[-3000:] if log.exists() else "no log"
            pytest.fail(f"waited in vain; {jobs.status(folder).message}\nworker.log ends:\n{said}")
        time.sleep(0.05)
    return found


def worker_of(folder: Path) -> int:
    """The pid of the live worker."""
    identity = process.read(folder)
    assert identity is not None
    assert process.alive(identity)
    return identity.pid


def supervisor_of(pid: int) -> int:
    """The pid of a worker's supervisor."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"supervise.py" in Path(f"/proc/{parent}/cmdline").read_bytes()
    return parent


def step_of(folder: Path) -> int:
    return jobs.status(folder).step


def goes_on(folder: Path) -> None:
    """Wait until the run has logged two steps more than now."""
    now = step_of(folder)
    wait_for(lambda: step_of(folder) >= now + 2, folder)


def answer(folder: Path, command: str, **args: Any) -> Control:
    """Send a command; the worker's answer."""
    sent = jobs.send(folder, command, **args)

    def found() -> list[Control]:
        events = EventReader(folder / "events.jsonl").read()
        return [e for e in events if isinstance(e, Control) and e.id == sent.id]

    answers: list[Control] = wait_for(found, folder)
    return answers[0]


def ended(folder: Path) -> jobs.JobState:
    """The run's state once it has ended and its process is gone."""

    def gone() -> bool:
        identity = process.read(folder)
        return not jobs.status(folder).running and (
            identity is None or process.alive(identity) is False
        )

    wait_for(gone, folder)
    return jobs.status(folder)


def stop(folder: Path) -> None:
    """Stop the run; it saves and ends."""
    jobs.send(folder, "stop")
    assert ended(folder).state == "cancelled"


def told(folder: Path) -> list[dict[str, Any]]:
    """The log's metrics as the trainer's own history has them."""
    found = []
    for event in EventReader(folder / "events.jsonl").read(limit=1 << 40):
        if isinstance(event, Metrics):
            values = {k: v for k, v in event.values.items() if k != "tokens_per_second"}
            found.append({**values, "step": event.step, "epoch": event.epoch})
    return found


def assert_whole(folder: Path) -> None:
    """Every metric that the trainer logged by its end is in events.jsonl, once and in order."""
    raw = (folder / "events.jsonl").read_bytes()
    assert raw.endswith(b"\n")
    for line in raw.splitlines():
        json.loads(line)
    state = json.loads((folder / "checkpoints" / "trainer_state.json").read_bytes())
    assert told(folder) == state["log_history"]


def assert_whole_so_far(folder: Path) -> None:
    """The same of a run that goes on, up to a checkpoint written now."""
    written = answer(folder, "checkpoint")
    assert written.ok
    state = json.loads((folder / written.note / "trainer_state.json").read_bytes())
    history = state["log_history"]
    assert told(folder)[: len(history)] == history


def reap(project: Project) -> None:
    """Kill what still runs."""
    for folder in project.job_folders():
        identity = process.read(folder)
        if identity is not None and process.alive(identity):
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, signal.SIGKILL)


def in_worker(root: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this code run in the worker before anything else, through PYTHONPATH."""
    place = root / "in_worker"
    place.mkdir()
    # Other programs of the test that see the same PYTHONPATH stay as they are.
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    (place / "sitecustomize.py").write_text(
        f"import sys\nif sys.orig_argv[1:3] == ['-m', 'tuiwb.jobs.run']:\n{lines}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(place))
