"""`tuiwb train`, followed, left alone, made to checkpoint and stopped: the real trainer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Tuiwb
from tests.train.tiny import CONFIG, build_project
from tuiwb.jobs import process, status

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LIMIT = 240.0


def arguments(*given: str) -> list[str]:
    return [sys.executable, "-m", "tuiwb", *given]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A project on a tiny model; a worker of it that still lives is killed afterwards."""
    root = build_project(tmp_path / "project")
    yield root
    for folder in (root / "runs").glob("*"):
        identity = process.read(folder)
        if identity is not None and process.alive(identity):
            os.kill(identity.pid, signal.SIGKILL)


def test_train_follow_watches_to_the_end_and_leaves_an_adapter(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("train", "configs/base.yaml", "--name", "mine", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "started mine: runs/mine"
    assert any("step 12/12  loss" in line for line in lines)
    assert any("eval loss" in line for line in lines)
    assert lines[-1].endswith("finished")
    assert (home / "runs/mine/adapter/adapter_model.safetensors").is_file()
    again = tuiwb("train", "configs/base.yaml", "--name", "mine", "--json")
    assert again.returncode == 2
    assert again.stdout == ""
    assert "a run named 'mine' exists already" in again.stderr


def test_a_watch_that_is_interrupted_leaves_the_run_which_then_obeys(
    home: Path, tuiwb: Tuiwb
) -> None:
    config = home / "configs" / "long.yaml"
    config.write_text(CONFIG.replace("max_steps: 12", "max_steps: 100000"))
    watch = subprocess.Popen(
        arguments("train", "configs/long.yaml", "--follow"),
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    for line in watch.stdout:
        if "step 4/100000" in line:
            break
    watch.send_signal(signal.SIGINT)
    _, errors = watch.communicate(timeout=LIMIT)
    assert watch.returncode == 130
    assert "long-v1 goes on without this watch" in errors
    folder = home / "runs" / "long-v1"
    step = status(folder).step
    deadline = time.monotonic() + LIMIT
    while status(folder).step <= step:
        assert time.monotonic() < deadline, "the run stopped with its watch"
        time.sleep(0.1)

    done = tuiwb("runs", "checkpoint", "long-v1", "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)["checkpoint"]
    assert written.startswith("checkpoints/checkpoint-")

    done = tuiwb("runs", "stop", "long-v1", "--wait")
    assert done.returncode == 0, done.stderr
    assert "  stopped at step" in done.stdout.splitlines()[-1]
    assert "step 4/100000" not in done.stdout, "what had happened before was told again"
    shown = json.loads(tuiwb("runs", "show", "long-v1", "--json").stdout)
    assert shown["state"] == "cancelled"
    assert shown["artifacts"][-1]["kind"] == "adapter"
