"""Real runs in line: each starts when its turn comes, though nobody watches any more."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lifecycle import assert_whole, ended, project_with, reap, wait_for
from tuiwb import jobs
from tuiwb.jobs import queue
from tuiwb.project import Project

pytestmark = pytest.mark.slow
TUIWB = str(Path(sys.executable).with_name("tuiwb"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv(queue.HOME, str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    home = project_with(tmp_path / "project", {})
    yield home
    for _ in range(2):
        reap(home)


def test_a_queued_run_starts_when_the_one_before_ends(project: Project) -> None:
    command = [TUIWB, "train", str(project.root / "configs/base.yaml"), "--queue"]
    for name in ("first", "second"):
        subprocess.run(
            [*command, "--name", name, "--project", str(project.root)],
            check=True,
            capture_output=True,
        )
    first, second = project.run("first"), project.run("second")
    phase = "waiting for first to end; 1st in line"
    wait_for(lambda: jobs.status(second).phase == phase, second)
    assert ended(first).state == "finished"
    assert_whole(first)
    assert ended(second).state == "finished"
    assert_whole(second)
    wait_for(lambda: queue.line() == [], second)
