"""A project with held-out chats, a run, a tiny model with an adapter, a comparison."""

from pathlib import Path

import pytest

from tests.compare.builders import HELD_OUT, make_adapter, make_base, make_run, write_rows
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, Completion
from tuiwb.jobs.lines import append_lines
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
