"""Job folders as they should not be: shadowing modules, unknown states, surrogates, no process."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.errors import BadInput
from tuiwb.jobs import process
from tuiwb.jobs.events import EventReader, EventWriter, Log, State
from tuiwb.jobs.folder import EVENTS
from tuiwb.jobs.follow import Follower
from tuiwb.project import Project


def a_job(root: Path, name: str = "one") -> Path:
    folder = root / "runs" / name
    jobs.create(folder, "train", {})
    return folder


def test_a_module_lying_in_the_job_folder_is_never_run(tmp_path: Path) -> None:
    folder = a_job(tmp_path)
    mark = tmp_path / "ran"
    (folder / "msgspec.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(9)\n")
    jobs.launch(folder)
    deadline = time.monotonic() + 180
    while jobs.status(folder).state not in ("failed", "died") and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert jobs.status(folder).state == "failed"
    assert not mark.exists()


def test_a_state_of_a_later_version_changes_nothing(tmp_path: Path) -> None:
    folder = a_job(tmp_path)
    writer = EventWriter(folder / EVENTS)
    writer.emit(State(state="running"))
    writer.emit(State(state="hibernating"))
    writer.close()
    assert jobs.status(folder).state == "running"


def test_a_lone_surrogate_is_replaced_and_the_event_kept(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / EVENTS)
    writer.emit(Log(message="row a\ud800b"))
    writer.close()
    (event,) = EventReader(tmp_path / EVENTS).read()
    assert isinstance(event, Log)
    assert event.message == "row a?b"


def test_a_job_that_was_never_started_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_job(tmp_path)
    assert jobs.status(folder).state == "queued"
    later = time.time() + 3600
    monkeypatch.setattr("tuiwb.jobs.state.time.time", lambda: later)
    state = jobs.status(folder)
    assert state.state == "died"
    assert "never started" in state.message


def test_a_renamed_host_on_the_same_boot_keeps_its_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = process.identify(process.os.getpid())
    monkeypatch.setattr("socket.gethostname", lambda: "another-name")
    assert process.alive(identity) is True
    identity.boot = "another-boot"
    assert process.alive(identity) is None


def test_each_event_is_returned_once_to_however_many_threads_poll(tmp_path: Path) -> None:
    folder = a_job(tmp_path)
    writer = EventWriter(folder / EVENTS)
    for number in range(20_000):
        writer.emit(Log(message=str(number)))
    writer.close()
    follower = Follower(folder)
    seen: list[int] = []
    lock = threading.Lock()

    def poll() -> None:
        events = follower.poll()
        with lock:
            seen.extend(int(e.message) for e in events if isinstance(e, Log))

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(20_000))


def test_one_unreadable_job_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_job(tmp_path, "good")
    bad = a_job(tmp_path, "bad")
    (bad / "job.yaml").write_text("kind: train\nname: [")
    assert run(["runs", "list", "--json", "-C", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert [entry["name"] for entry in json.loads(shown.out)] == ["good"]
    assert "bad" in shown.err


def test_a_name_of_300_characters_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run named"):
        Project(tmp_path).run("x" * 300)


def test_a_place_that_can_not_be_written_is_a_sentence_and_exit_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tuiwb", "init", "--sample", "/proc/nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
