"""Stop now: whatever the worker does, it and what it started end; nothing else does."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.jobs.workers import end, install, job, wait_for
from tuiwb.errors import BadInput
from tuiwb.jobs import launch, process, send, status, stop_now
from tuiwb.jobs.events import Control, EventReader


@pytest.fixture
def kinds(tmp_path: Path) -> dict[str, str]:
    return {"PYTHONPATH": install(tmp_path)}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "job"
    end(tmp_path / "job")


def runs(pid: int) -> bool:
    try:
        return process.alive(process.identify(pid)) is True
    except ProcessLookupError:
        return False


def test_a_worker_that_listens_ends_by_itself(folder: Path, kinds: dict[str, str]) -> None:
    launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    state = stop_now(folder, patience=180)
    assert (state.state, state.message) == ("cancelled", "stopped on request")


def test_one_that_does_not_is_killed_with_all_it_started(
    folder: Path, kinds: dict[str, str]
) -> None:
    pid = launch(job(folder, "stubborn"), environment=kinds)
    wait_for(lambda: status(folder).step == 7, folder)
    children = [int(n) for n in (folder / "children").read_text().split()]
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        before = (folder / "events.jsonl").read_bytes()
        state = stop_now(folder, patience=0.3)
        assert state.state == "cancelled"
        assert state.message.startswith("stopped now at step 7 by SIGKILL")
        assert (folder / "events.jsonl").read_bytes().startswith(before)
        assert not runs(pid)
        # One in the worker's session, one in a session of its own.
        wait_for(lambda: not any(map(runs, children)), folder)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_pid_that_is_another_process_now_is_not_signalled(
    folder: Path, kinds: dict[str, str]
) -> None:
    launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    end(folder)
    wait_for(lambda: status(folder).state == "died", folder)
    other = subprocess.Popen(["sleep", "600"])
    try:
        reused = process.identify(other.pid)
        process.write(folder, msgspec.structs.replace(reused, start=reused.start - 5))
        with pytest.raises(BadInput, match="does not run"):
            stop_now(folder, patience=0.1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_job_on_another_host_is_not_ended_from_here(folder: Path, kinds: dict[str, str]) -> None:
    launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    mine = process.read(folder)
    assert mine is not None
    process.write(folder, msgspec.structs.replace(mine, host="elsewhere", boot="other"))
    with pytest.raises(BadInput, match="runs on elsewhere: stop it there"):
        stop_now(folder, patience=0.1)
    process.write(folder, mine)
    assert runs(mine.pid)


def test_a_command_a_job_kind_does_not_know_is_answered(
    folder: Path, kinds: dict[str, str]
) -> None:
    launch(job(folder, "obeys"), environment=kinds)
    sent = send(folder, "set", learning_rate=1e-4)

    def answers() -> list[Control]:
        events = EventReader(folder / "events.jsonl").read()
        return [e for e in events if isinstance(e, Control) and e.id == sent.id]

    wait_for(answers, folder)
    assert (answers()[0].ok, answers()[0].note) == (False, "not known to this kind of job")


def test_a_job_that_has_ended_is_not_ended_again(folder: Path, kinds: dict[str, str]) -> None:
    launch(job(folder, "obeys"), environment=kinds)
    stop_now(folder, patience=180)
    with pytest.raises(BadInput, match="its state is stopped"):
        stop_now(folder)
    assert not [n for n in os.listdir(folder) if n.endswith(".tmp")]
