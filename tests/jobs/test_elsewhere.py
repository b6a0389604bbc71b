"""A job's process on another host, in another container, of another user, or asked for twice."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.jobs.workers import end, install, job, wait_for
from tuiwb.errors import BadInput
from tuiwb.jobs import process, status, stop_now
from tuiwb.jobs.events import EventReader, EventWriter, Metrics, State
from tuiwb.jobs.launch import relaunch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PYTHONPATH", install(tmp_path))
    yield tmp_path / "job"
    end(tmp_path / "job")


def says(folder: Path, *events: State | Metrics) -> None:
    writer = EventWriter(folder / "events.jsonl")
    for event in events:
        writer.emit(event)
    writer.close()


def on_another_host(folder: Path) -> None:
    mine = process.identify(os.getpid())
    process.write(folder, msgspec.structs.replace(mine, host="elsewhere", boot="another"))


def test_a_run_that_ended_on_another_host_goes_on_here(folder: Path) -> None:
    job(folder, "obeys")
    on_another_host(folder)
    an_hour_ago = time.time() - 3600
    says(folder, State(state="running", t=an_hour_ago), State(state="cancelled", t=an_hour_ago))
    relaunch(folder)
    wait_for(lambda: status(folder).step == 1, folder)


def test_one_that_may_still_run_there_does_not(folder: Path) -> None:
    job(folder, "obeys")
    on_another_host(folder)
    says(folder, State(state="running", t=time.time() - 3600))
    with pytest.raises(BadInput, match=r"still has its process \d+ on elsewhere: stop it first"):
        relaunch(folder)


def test_a_run_whose_host_is_gone_can_be_given_up_by_hand_and_goes_on_here(folder: Path) -> None:
    job(folder, "obeys")
    on_another_host(folder)
    says(folder, State(state="running", t=time.time() - 3600))
    assert status(folder).state == "running"
    assert "if that machine is gone, stop it now" in status(folder).message
    state = stop_now(folder)
    assert state.state == "cancelled"
    assert "not heard of since" in state.message
    assert "on elsewhere" in state.message
    relaunch(folder)
    wait_for(lambda: status(folder).step == 1, folder)


IN_A_CONTAINER = """
import os, socket, sys, time
from pathlib import Path
socket.sethostname("container")
from tuiwb.jobs import launch
launch(Path(sys.argv[1]))
time.sleep(600)  # the first process of a container: all others end with it
"""


def test_a_worker_in_another_container_of_this_machine_is_not_called_dead(folder: Path) -> None:
    job(folder, "obeys")
    enter = ["unshare", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child", "--"]
    tried = subprocess.run([*enter, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no pid namespace of our own can be made here: {tried.stderr.strip()}")
    container = subprocess.Popen([*enter, sys.executable, "-c", IN_A_CONTAINER, str(folder)])
    try:
        wait_for(lambda: status(folder).step == 1, folder)
        identity = process.read(folder)
        assert identity is not None
        assert identity.boot == process.boot_id(), "one kernel"
        assert process.alive(identity) is None
        assert status(folder).running
        with pytest.raises(BadInput, match="on container: stop it first"):
            relaunch(folder)
    finally:
        container.kill()
        container.wait()
    # The container is started again, under its name: nothing of it was left.
    mine = msgspec.structs.replace(identity, host=os.uname().nodename)
    process.write(folder, mine)
    assert status(folder).state == "died"


def test_who_asks_several_times_at_once_gets_one_worker(folder: Path) -> None:
    job(folder, "obeys")
    says(folder, State(state="cancelled"))
    together = threading.Barrier(5)
    pids: list[int] = []
    refused: list[str] = []

    def ask() -> None:
        together.wait()
        try:
            pids.append(relaunch(folder))
        except BadInput as error:
            refused.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 1
    assert all("still has its process" in words for words in refused)
    queued = [
        event
        for event in EventReader(folder / "events.jsonl").read()
        if isinstance(event, State) and event.state == "queued"
    ]
    assert len(queued) == 1


ANOTHER_USERS = """
import os, sys
from pathlib import Path
from tuiwb.errors import BadInput
from tuiwb.jobs import process, stop_now
folder = Path(sys.argv[1])
process.write(folder, process.identify(int(sys.argv[2])))
if os.getuid() == 0:
    os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)
try:
    stop_now(folder, patience=0.1)
except BadInput as error:
    print(error)
"""


def test_a_process_of_another_user_is_said_to_be_theirs_at_once(folder: Path) -> None:
    job(folder, "obeys")
    says(folder, State(state="running"))
    # As root it is a process of root's and nobody asks; else the very first one, which is root's.
    sleeper = subprocess.Popen(["sleep", "600"])
    other = sleeper.pid if os.getuid() == 0 else 1
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777)
    for parent in folder.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    try:
        done = subprocess.run(
            [sys.executable, "-c", ANOTHER_USERS, str(folder), str(other)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"process {other} is another user's" in done.stdout, done.stderr
        assert sleeper.poll() is None
    finally:
        (folder / "process.json").unlink()
        sleeper.kill()
        sleeper.wait()
