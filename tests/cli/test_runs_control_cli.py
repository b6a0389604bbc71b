"""`tuiwb runs pause|evaluate|set|resume|stop --now|queue` on a run that really trains."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Tuiwb
from tests.e2e.lifecycle import assert_whole, ended, wait_for
from tests.train.tiny import CONFIG, build_project
from tuiwb import jobs
from tuiwb.jobs import process, status
from tuiwb.jobs.events import EventReader, Metrics
from tuiwb.train.checkpoints import last_checkpoint

pytestmark = pytest.mark.slow
LIMIT = 240.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project on a tiny model with a long config; workers that still live are killed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # a queue of its own
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


def said(tuiwb: Tuiwb, *arguments: str) -> dict[str, object]:
    done = tuiwb("runs", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_run_is_paused_changed_evaluated_resumed_ended_at_once_and_taken_up_again(
    home: Path, tuiwb: Tuiwb
) -> None:
    started = tuiwb("train", "configs/long.yaml", "--name", "a")
    assert started.returncode == 0, started.stderr
    folder = home / "runs" / "a"
    wait_for_step(folder, 4)

    note = said(tuiwb, "pause", "a")["note"]
    assert "paused after step" in str(note)
    shown = said(tuiwb, "show", "a")
    assert (shown["state"], shown["phase"]) == ("running", "paused")
    paused_at = status(folder).step
    busy = tuiwb("runs", "resume", "a", "--json")
    assert busy.returncode == 0, busy.stderr
    again = tuiwb("runs", "resume", "a")
    assert (again.returncode, "not paused" in again.stderr) == (2, True)
    wait_for_step(folder, paused_at + 4)

    evaluated = said(tuiwb, "evaluate", "a")
    assert set(evaluated["metrics"]) >= {"eval_loss"}  # type: ignore[call-overload]
    said(tuiwb, "set", "a", "--learning-rate", "1e-5")
    refused = tuiwb("runs", "set", "a", "--learning-rate", "-1")
    assert (refused.returncode, "is not a number above 0" in refused.stderr) == (2, True)
    step = status(folder).step
    wait_for_step(folder, step + 4)
    assert status(folder).metrics["learning_rate"] <= 1.1e-5

    said(tuiwb, "checkpoint", "a")
    saved = last_checkpoint(folder)
    assert saved is not None
    assert said(tuiwb, "stop", "a", "--now")["state"] == "cancelled"
    listed = json.loads(tuiwb("runs", "list", "--json").stdout)
    assert [run["state"] for run in listed] == ["cancelled"]

    resumed = said(tuiwb, "resume", "a")
    assert resumed["checkpoint"] == saved.name
    wait_for_step(folder, int(saved.name.rpartition("-")[2]) + 4)
    assert tuiwb("runs", "stop", "a", "--wait").returncode == 0
    steps = [
        event.step
        for event in EventReader(folder / "events.jsonl").read()
        if isinstance(event, Metrics) and "loss" in event.values
    ]
    assert steps == sorted(set(steps)), "a metric is logged twice or out of order"
    assert json.loads((folder / "environment.json").read_text())["libraries"]["torch"]


def test_no_config_is_queued_when_one_of_them_can_not_be(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "queue", "configs/base.yaml", "configs/none.yaml")
    assert done.returncode == 2, done.stdout
    assert "none.yaml" in done.stderr
    assert not list((home / "runs").glob("*"))
    assert tuiwb("runs", "queue").stdout.startswith("nothing waits")


def test_queued_runs_train_one_after_the_other_though_nobody_watches_and_the_line_shows_them(
    home: Path, tuiwb: Tuiwb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # one at a time
    first, second, long = (home / "runs" / name for name in ("first", "second", "long-v1"))
    for name in (first.name, second.name):
        base = ("train", "configs/base.yaml", "--name", name)
        done = tuiwb(*base, "--queue", "--json")
        assert done.returncode == 0, done.stderr
        if name == first.name:
            # It stands once it trains, or it might be over before the others are looked at.
            wait_for(lambda: status(first).state != "queued", first)
            jobs.send(first, "pause")
    queued = said(tuiwb, "queue", "configs/long.yaml")
    assert queued["queued"] == [long.name]
    line = {place["name"]: place["place"] for place in queued["line"]}  # type: ignore[attr-defined]
    assert line == {first.name: 0, second.name: 1, long.name: 2}
    wait_for(lambda: status(second).phase == "waiting for first to end; 1st in line", second)
    stopped = tuiwb("runs", "stop", long.name, "--wait")
    assert stopped.returncode == 0, stopped.stderr
    assert status(long).state == "cancelled"
    assert status(second).state == "queued"
    wait_for(lambda: status(first).phase == "paused", first)
    jobs.send(first, "resume")
    assert tuiwb("runs", "follow", first.name).returncode == 0
    for folder in (first, second):
        assert ended(folder).state == "finished"
        assert_whole(folder)
    deadline = time.monotonic() + LIMIT
    while not tuiwb("runs", "queue").stdout.startswith("nothing waits"):
        assert time.monotonic() < deadline, "the line still holds a run that has ended"
