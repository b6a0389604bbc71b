"""Is that very process alive: never fooled by a reused pid, a zombie, another boot or host."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tuiwb.errors import BadInput
from tuiwb.jobs import create, launch, process, status
from tuiwb.jobs.events import Artifact, EventWriter, Metrics, State
from tuiwb.jobs.launch import relaunch
from tuiwb.jobs.run import worker_of


def wait_for(condition: Callable[[], object], seconds: float = 180.0) -> None:
    """Poll until the condition holds; fails when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is told to end."""
    child = subprocess.Popen(["sleep", "600"])
    yield child
    child.kill()
    child.wait()


def test_a_running_process_is_alive_and_a_reaped_one_is_not(
    sleeper: subprocess.Popen[bytes],
) -> None:
    identity = process.identify(sleeper.pid)
    assert process.alive(identity) is True
    sleeper.kill()
    sleeper.wait()
    assert process.alive(identity) is False


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = process.identify(sleeper.pid)
    sleeper.kill()
    wait_for(lambda: process.alive(identity) is False)
    stat = Path(f"/proc/{sleeper.pid}/stat").read_text()
    assert stat.rpartition(")")[2].split()[0] == "Z", "it was not reaped yet"


def test_the_same_pid_with_another_start_time_is_another_process() -> None:
    mine = process.identify(os.getpid())
    other = msgspec.structs.replace(mine, start=mine.start - 1)
    assert process.alive(mine) is True
    assert process.alive(other) is False


def test_a_process_of_another_boot_is_gone() -> None:
    mine = process.identify(os.getpid())
    assert process.alive(msgspec.structs.replace(mine, boot="another")) is False


def test_a_process_on_another_host_is_not_known_to_be_dead() -> None:
    mine = process.identify(os.getpid())
    assert process.alive(msgspec.structs.replace(mine, host="elsewhere", boot="other")) is None


def test_a_process_with_a_hostile_name_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) Z 1 ("
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "600"])
    try:
        identity = process.identify(child.pid)
        assert process.alive(identity) is True
    finally:
        child.kill()
        child.wait()


def job_that_ran(folder: Path, pid: int, *, state: str = "running") -> Path:
    create(folder, "train", {})
    process.write(folder, process.identify(pid))
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state=state, phase="training"))
    writer.emit(Metrics(step=41, total_steps=100, values={"loss": 1.0}))
    writer.emit(Artifact(kind="checkpoint", path="checkpoints/checkpoint-40", step=40))
    writer.close()
    (folder / "worker.log").write_bytes(b"all well\n\x1b[31mCUDA error: out of luck\xff\n")
    return folder


def test_a_job_killed_without_a_word_has_died_with_last_words_and_a_way_on(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    folder = job_that_ran(tmp_path / "a", sleeper.pid)
    assert status(folder).state == "running"
    os.kill(sleeper.pid, signal.SIGKILL)
    sleeper.wait()
    state = status(folder)
    assert state.state == "died"
    assert state.ended == state.seen
    assert "step 41" in state.message
    assert "out of luck" in state.message
    assert "checkpoints/checkpoint-40" in state.message


def test_a_job_that_said_how_it_ended_stays_so_when_its_process_goes(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    folder = job_that_ran(tmp_path / "a", sleeper.pid, state="failed")
    sleeper.kill()
    sleeper.wait()
    assert status(folder).state == "failed"


def test_a_job_without_a_process_yet_is_queued(tmp_path: Path) -> None:
    create(tmp_path / "a", "train", {})
    assert status(tmp_path / "a").state == "queued"


def test_a_job_of_an_unknown_kind_fails_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no worker does 'astrology' jobs"):
        worker_of("astrology")
    folder = tmp_path / "a"
    create(folder, "astrology", {})
    launch(folder)
    wait_for(lambda: status(folder).state == "failed")
    assert status(folder).message.startswith("no worker does 'astrology' jobs")
    assert "Traceback" not in (folder / "worker.log").read_text()


def test_a_job_whose_process_lives_is_not_launched_again(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    folder = job_that_ran(tmp_path / "a", sleeper.pid)
    with pytest.raises(BadInput, match="still has its process"):
        relaunch(folder)


def test_a_job_launched_again_goes_on_in_its_log_and_forgets_old_commands(tmp_path: Path) -> None:
    from tuiwb.jobs import send

    folder = tmp_path / "a"
    create(folder, "astrology", {})
    launch(folder)
    wait_for(lambda: status(folder).state == "failed")
    wait_for(lambda: process.alive(process.read(folder) or pytest.fail("no identity")) is False)
    before = (folder / "events.jsonl").read_bytes()
    send(folder, "stop")
    relaunch(folder, phase="again")
    wait_for(lambda: status(folder).state == "failed")
    after = (folder / "events.jsonl").read_bytes()
    assert after.startswith(before)
    assert b'"queued"' in after[len(before) :]
    told_next = after[len(before) :].partition(b'"queued"')[2].splitlines()[1]
    assert b"; started again" in told_next, "how it ended"
    assert not (folder / "control.jsonl").exists()
    assert len(list(folder.glob("control-*.jsonl"))) == 1


def test_an_interpreter_that_is_not_there_is_said_and_the_job_not_left_queued(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "a"
    create(folder, "train", {})
    with pytest.raises(BadInput, match="can't start the worker"):
        relaunch(folder, python="/nowhere/python")
    assert status(folder).state == "failed"


def test_the_runner_started_as_a_program_knows_the_workers_own_stop(tmp_path: Path) -> None:
    # `python -m` makes a second copy of the module: its Stopped must not be the one that counts.
    folder = tmp_path / "a"
    create(folder, "stopping", {})
    (tmp_path / "worker_that_stops.py").write_text(
        "from tuiwb.jobs.run import Stopped\n"
        "def run(context):\n"
        "    raise Stopped('stopped at step 5')\n"
    )
    (tmp_path / "sitecustomize.py").write_text(
        "import tuiwb.jobs.run\ntuiwb.jobs.run.WORKERS['stopping'] = 'worker_that_stops'\n"
    )
    launch(folder, environment={"PYTHONPATH": str(tmp_path)})
    wait_for(lambda: not status(folder).running)
    assert (status(folder).state, status(folder).message) == ("cancelled", "stopped at step 5")


def test_a_module_in_the_job_folder_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    create(folder, "astrology", {})
    (folder / "msgspec.py").write_text("raise SystemExit('the folder was imported from')\n")
    launch(folder)
    wait_for(lambda: status(folder).state in ("failed", "died"))
    assert status(folder).message.startswith("no worker does 'astrology' jobs")


LAUNCHER = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever nohup made of it
import sys, time
from pathlib import Path
from tuiwb.jobs import create, launch
folder = Path(sys.argv[1])
create(folder, "serve_nothing", {})
print(launch(folder, python=sys.argv[2]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGHUP], ids=["killed", "hung up"])
def test_a_launched_worker_outlives_the_process_that_launched_it(
    tmp_path: Path, end: signal.Signals
) -> None:
    # In place of Python stands a real program that stays: what is tested is who outlives whom.
    stays = tmp_path / "stays"
    stays.write_text("#!/bin/sh\nexec sleep 600\n")
    stays.chmod(0o755)
    # Its own session with the launcher as leader: SIGHUP to the group is what a hangup sends.
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path / "job"), str(stays)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    identity = process.read(tmp_path / "job")
    assert identity is not None
    try:
        os.killpg(launcher.pid, end)
        launcher.wait(timeout=60)
        launcher.stdout.close()
        assert process.alive(identity) is True
        assert os.getsid(pid) == pid
        for number in (0, 1, 2):
            assert "pipe" not in os.readlink(f"/proc/{pid}/fd/{number}")
    finally:
        os.kill(pid, signal.SIGKILL)
