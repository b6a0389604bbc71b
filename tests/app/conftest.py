"""What the screens' tests share: a project to open, and waiting for a condition."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tuiwb.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project: one dataset, one config, settings."""
    (tmp_path / "data").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "tuiwb.yaml").write_text("name: small\n")
    row = '{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}\n'
    (tmp_path / "data" / "chats.jsonl").write_text(row * 3)
    (tmp_path / "configs" / "first.yaml").write_text(
        "model: {base: models/none}\nmethod: sft\ndata: {train: data/chats.jsonl}\n"
        "training:\n  learning_rat: 1.0e-4\n"
    )
    return Project(tmp_path)


@pytest.fixture
def read_only(project: Project) -> Iterator[Callable[[], None]]:
    """Make the project's file system read-only from now on, for root as well."""
    root = str(project.root)

    def close() -> None:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)

    bound = subprocess.run(
        ["mount", "--bind", root, root], capture_output=True, text=True, check=False
    )
    if bound.returncode:
        pytest.skip(f"a mount is not permitted here: {bound.stderr.strip()}")
    yield close
    subprocess.run(["umount", root], check=True)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, so that a developer's themes never change a test."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition; AssertionError when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.02)
