"""`tuiwb runs pause|evaluate|set|resume|stop --now|queue` on a run that really trains."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.tiny import CONFIG, build_project
from tuiwb.jobs import process, status
from tuiwb.jobs.events import EventReader, Metrics
from tuiwb.train.checkpoints import last_checkpoint

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LIMIT = 180.0


def tuiwb(*given: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real program, run in a folder; the queue is one of this test's own."""
    return subprocess.run(
        [sys.executable, "-m", "tuiwb", *given],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(cwd / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A project on a tiny model with a long config; workers that still live are killed."""
    root = build_project(tmp_path / "project")
    long = CONFIG.replace("max_steps: 12", "max_steps: 100000").replace(
        "save_steps: 4", "save_steps: 90000"
    )
    (root / "configs" / "long.yaml").write_text(long.replace("eval_steps: 6", "eval_steps: 90000"))
    yield root
    for folder in (root / "runs").glob("*"):
        identity = process.read(folder)
        if identity is not None and process.alive(identity):
            os.kill(identity.pid, signal.SIGKILL)


def wait_for_step(folder: Path, step: int) -> None:
    deadline = time.monotonic() + LIMIT
    while status(folder).step < step:
        assert time.monotonic() < deadline, status(folder)
        time.sleep(0.1)


def said(home: Path, *arguments: str) -> dict[str, object]:
    done = tuiwb("runs", *arguments, "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_run_is_paused_changed_evaluated_resumed_ended_at_once_and_taken_up_again(
    home: Path,
) -> None:
    started = tuiwb("train", "configs/long.yaml", "--name", "a", cwd=home)
    assert started.returncode == 0, started.stderr
    folder = home / "runs" / "a"
    wait_for_step(folder, 4)

    note = said(home, "pause", "a")["note"]
    assert "paused after step" in str(note)
    shown = said(home, "show", "a")
    assert (shown["state"], shown["phase"]) == ("running", "paused")
    paused_at = status(folder).step
    busy = tuiwb("runs", "resume", "a", "--json", cwd=home)
    assert busy.returncode == 0, busy.stderr
    again = tuiwb("runs", "resume", "a", cwd=home)
    assert (again.returncode, "not paused" in again.stderr) == (2, True)
    wait_for_step(folder, paused_at + 4)

    evaluated = said(home, "evaluate", "a")
    assert set(evaluated["metrics"]) >= {"eval_loss"}  # type: ignore[call-overload]
    said(home, "set", "a", "--learning-rate", "1e-5")
    refused = tuiwb("runs", "set", "a", "--learning-rate", "-1", cwd=home)
    assert (refused.returncode, "is not a number above 0" in refused.stderr) == (2, True)
    step = status(folder).step
    wait_for_step(folder, step + 4)
    assert status(folder).metrics["learning_rate"] <= 1.1e-5

    said(home, "checkpoint", "a")
    saved = last_checkpoint(folder)
    assert saved is not None
    assert said(home, "stop", "a", "--now")["state"] == "cancelled"
    listed = json.loads(tuiwb("runs", "list", "--json", cwd=home).stdout)
    assert [run["state"] for run in listed] == ["cancelled"]

    resumed = said(home, "resume", "a")
    assert resumed["checkpoint"] == saved.name
    wait_for_step(folder, int(saved.name.rpartition("-")[2]) + 4)
    assert tuiwb("runs", "stop", "a", "--wait", cwd=home).returncode == 0
    steps = [
        event.step
        for event in EventReader(folder / "events.jsonl").read()
        if isinstance(event, Metrics) and "loss" in event.values
    ]
    assert steps == sorted(set(steps)), "a metric is logged twice or out of order"
    assert json.loads((folder / "environment.json").read_text())["libraries"]["torch"]


def test_no_config_is_queued_when_one_of_them_can_not_be(home: Path) -> None:
    done = tuiwb("runs", "queue", "configs/base.yaml", "configs/none.yaml", cwd=home)
    assert done.returncode == 2, done.stdout
    assert "none.yaml" in done.stderr
    assert not list((home / "runs").glob("*"))
    assert tuiwb("runs", "queue", cwd=home).stdout.startswith("nothing waits")


def test_queued_runs_train_one_after_the_other_and_the_line_shows_them(home: Path) -> None:
    done = tuiwb("train", "configs/base.yaml", "--name", "first", "--queue", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    queued = said(home, "queue", "configs/long.yaml")
    assert queued["queued"] == ["long-v1"]
    assert {"long-v1"} <= {place["name"] for place in queued["line"]}  # type: ignore[attr-defined]
    stopped = tuiwb("runs", "stop", "long-v1", "--wait", cwd=home)
    assert stopped.returncode == 0, stopped.stderr
    assert tuiwb("runs", "follow", "first", cwd=home).returncode == 0
    assert status(home / "runs" / "first").state == "finished"
    assert status(home / "runs" / "long-v1").state == "cancelled"
    deadline = time.monotonic() + LIMIT
    while not tuiwb("runs", "queue", cwd=home).stdout.startswith("nothing waits"):
        assert time.monotonic() < deadline, "the line still holds a run that has ended"
