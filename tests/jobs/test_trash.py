"""Removing a run: into the trash, back again, for good; never what lives, never through a link."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuiwb.errors import BadInput
from tuiwb.jobs import create, process
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.trash import purge, remove, restore, trashed
from tuiwb.project import Project


def ended(folder: Path, spec: dict[str, object] | None = None, state: str = "finished") -> Path:
    create(folder, "train", spec or {})
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state=state))
    writer.close()
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def living() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "600"])
    yield child
    child.kill()
    child.wait()


def test_a_removed_run_is_listed_no_more_and_can_be_brought_back_whole(runs: Path) -> None:
    folder = ended(runs / "a")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "weights").write_bytes(b"w")
    remove(folder, runs)
    project = Project(runs.parent)
    assert project.job_folders() == []
    with pytest.raises(BadInput, match="no run named 'a'"):
        project.run("a")
    assert restore(runs, "a") == folder
    assert (folder / "adapter" / "weights").read_bytes() == b"w"
    assert project.job_folders() == [folder]
    assert trashed(runs) == []


def test_runs_of_one_name_lie_beside_each_other_and_the_last_removed_comes_back(runs: Path) -> None:
    for note in ("first", "second"):
        (ended(runs / "a") / "which").write_text(note)
        remove(runs / "a", runs)
    ended(runs / "a" / "compare")
    remove(runs / "a" / "compare", runs)
    (runs / "a").rmdir()
    assert len(trashed(runs)) == 3
    assert (restore(runs, "a") / "which").read_text() == "second"
    with pytest.raises(BadInput, match="there is a run named 'a' again"):
        restore(runs, "a")
    assert restore(runs, "a/compare") == runs / "a" / "compare"
    with pytest.raises(BadInput, match=r"there is a$"):
        restore(runs, "b")
    assert purge(runs) == 1
    assert trashed(runs) == []


def test_a_run_that_lives_is_not_removed_nor_one_with_a_living_job_inside(
    runs: Path, living: subprocess.Popen[bytes]
) -> None:
    folder = ended(runs / "a")
    inner = ended(folder / "compare", state="running")
    process.write(inner, process.identify(living.pid))
    with pytest.raises(BadInput, match="a/compare is running: stop it first"):
        remove(folder, runs)
    with pytest.raises(BadInput, match="stop it first"):
        remove(inner, runs)
    living.kill()
    living.wait()
    remove(folder, runs)
    assert not folder.exists()


def test_a_run_that_a_living_job_uses_is_not_removed(
    runs: Path, living: subprocess.Popen[bytes]
) -> None:
    folder = ended(runs / "a")
    ended(runs / "ab")
    server = ended(
        runs / "serve-1", {"adapters": [{"path": str(folder / "adapter")}]}, state="running"
    )
    process.write(server, process.identify(living.pid))
    with pytest.raises(BadInput, match="serve-1 uses a right now"):
        remove(folder, runs)
    remove(runs / "ab", runs)
    living.kill()
    living.wait()
    remove(folder, runs)


def test_nothing_outside_runs_is_ever_deleted(runs: Path, tmp_path: Path) -> None:
    outside = ended(tmp_path / "outside" / "precious")
    (ended(runs / "a") / "link").symlink_to(outside, target_is_directory=True)
    (runs / "linked").symlink_to(outside, target_is_directory=True)
    (runs / "up").symlink_to(tmp_path / "outside", target_is_directory=True)
    for elsewhere in (
        outside,
        runs,
        runs / ".." / "outside" / "precious",
        runs / "up" / "precious",
    ):
        with pytest.raises(BadInput):
            remove(elsewhere, runs)
    remove(runs / "a", runs)
    remove(runs / "linked", runs)
    assert purge(runs) == 2
    assert not os.path.lexists(runs / "linked")
    assert (outside / "job.yaml").is_file()


def test_a_trash_that_is_a_link_is_refused(runs: Path, tmp_path: Path) -> None:
    folder = ended(runs / "a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    (runs / ".trash").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(BadInput, match="no folder of its own"):
        remove(folder, runs)
    assert purge(runs) == 0
    assert (tmp_path / "elsewhere" / "precious").exists()
