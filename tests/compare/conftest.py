"""A project with held-out chats, a run, a tiny model with an adapter, a comparison."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compare.builders import HELD_OUT, make_adapter, make_base, make_run, write_rows
from tests.compare.judge_server import SECRET, JudgeServer
from tests.llm.loop_clock import LoopClock
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, Completion
from tuiwb.compare.judge.plan import plan_judge, prepare_judge
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import main
from tuiwb.jobs.state import JobState
from tuiwb.llm import client
from tuiwb.project import Project


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapter") / "adapter")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    write_rows(root / "data" / "heldout.jsonl", HELD_OUT)
    return Project(root)


@pytest.fixture
def answered(project: Project) -> Path:
    """The folder of a comparison with eight real-shaped completions, two of them identical."""
    run = make_run(project, "support-v1", "some/base", project.root / "data" / "heldout.jsonl")
    folder = run / "compare"
    jobs.create(folder, "compare", {"run": str(run)}, name="support-v1-compare")
    rows = [
        Completion(
            id=f"id{i:02d}",
            index=i,
            line=i + 1,
            prompt=[{"role": "user", "content": f"question {i}"}],
            reference=f'{{"n": {i}}}',
            base="same words" if i in (3, 6) else f"base words {i}",
            adapter="same words" if i in (3, 6) else f'{{"n": {i}}}',
        )
        for i in range(8)
    ]
    append_lines(folder / COMPLETIONS, rows)
    return folder


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    """A loopback judge, honest unless a test says otherwise."""
    serving = JudgeServer()
    yield serving
    serving.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    """The clock that the calls' deadlines are read from, to be moved on."""
    return LoopClock(monkeypatch)


@pytest.fixture
def judge_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key for the judge in the environment and nothing else there; failed calls are tried again
    soon."""
    for name in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


@pytest.fixture
def judged(
    project: Project, answered: Path, server: JudgeServer, judge_key: None
) -> Callable[..., tuple[Path, JobState]]:
    """A function that runs the judge job's own main and returns its folder and state."""
    writer = EventWriter(answered / "events.jsonl")
    writer.emit(State(state="finished"))
    writer.close()

    def run(spec: dict[str, Any] | None = None, **plan: Any) -> tuple[Path, JobState]:
        plan = {"base_url": server.url} | plan
        folder = prepare_judge({**plan_judge(project, "support-v1", **plan), **(spec or {})})
        main(folder)
        return folder, jobs.status(folder)

    return run
