"""What the tests of Compare share: a project with held-out prompts, and one that is compared."""

from pathlib import Path

import pytest

from tests.app.compare.comparing import compared_run, small_project
from tuiwb.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return small_project(tmp_path, monkeypatch)


@pytest.fixture
def compared(project: Project) -> Path:
    return compared_run(project)
