"""What is left of an engine is removed; nothing that its note only claims to own."""

from pathlib import Path

import pytest

from tuiwb.jobs.process import ProcessIdentity, boot_id
from tuiwb.serve import leftovers

GONE = 2**22 + 1  # above the highest pid Linux gives


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", folder)
    return folder


def end(folder: Path, names: list[str], boot: str) -> None:
    leader = ProcessIdentity(pid=GONE, start=0, host="", boot=boot)
    leftovers.note(folder, leftovers.EngineProcesses(leader=leader, shared_memory=names))
    assert leftovers.end_leftovers(folder) == 0


def test_only_names_inside_shared_memory_are_removed(tmp_path: Path, memory: Path) -> None:
    mine, beside = memory / "psm_1", tmp_path / "data.jsonl"
    for file in (mine, beside):
        file.touch()
    end(tmp_path, ["psm_1", str(beside), "../data.jsonl", "..", ""], boot_id())
    assert not mine.exists()
    assert beside.exists()


def test_a_note_from_before_the_last_boot_removes_no_shared_memory(
    tmp_path: Path, memory: Path
) -> None:
    other = memory / "psm_1"
    other.touch()
    end(tmp_path, ["psm_1"], "another boot")
    assert other.exists()
