"""Real runs through what machines do: kills in mid-write, restarts, clocks, disks, no memory."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lifecycle import (
    ENDLESS,
    LIMIT,
    assert_whole,
    assert_whole_so_far,
    ended,
    goes_on,
    in_worker,
    project_with,
    reap,
    step_of,
    stop,
    supervisor_of,
    told,
    wait_for,
    worker_of,
)
from tests.jobs.test_death import IN_GROUP, memory_group
from tests.jobs.workers import fill
from tuiwb import jobs
from tuiwb.jobs.death import exit_record, why
from tuiwb.jobs.events import EventReader, Metrics, State
from tuiwb.jobs.lines import tail
from tuiwb.project import Project
from tuiwb.train.checkpoints import checkpoints, is_whole, last_checkpoint
from tuiwb.train.start import resume, start

pytestmark = pytest.mark.slow
TUIWB = str(Path(sys.executable).with_name("tuiwb"))
SAVING = {**ENDLESS, "save_steps: 5000": "save_steps: 3"}


def begin(project: Project, step: int = 2) -> Path:
    """Start the project's config; its folder once it has logged a step."""
    folder = start(project, project.root / "configs/base.yaml")
    wait_for(lambda: step_of(folder) >= step, folder)
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[Project]]:
    """Projects of the test; what of their runs still lives at the end is killed."""
    projects: list[Project] = []
    yield projects
    for project in projects:
        reap(project)


def make(made: list[Project], root: Path, changes: dict[str, str]) -> Project:
    made.append(project_with(root, changes))
    return made[-1]


LONG_LINE = """\
import threading, time, os
def say():
    while not os.path.exists("say-it"):
        time.sleep(0.05)
    os.write(1, b"\\n" + b"x" * 10_000_000)
    os.rename("say-it", "said-it")
threading.Thread(target=say, daemon=True).start()
"""


def kill_within_a_save(folder: Path) -> None:
    """SIGKILL to worker and supervisor while the worker is in the middle of a checkpoint."""
    worker = worker_of(folder)
    above = supervisor_of(worker)
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        os.kill(worker, signal.SIGSTOP)
        if any(not is_whole(p) for p in checkpoints(folder)) and last_checkpoint(folder):
            os.kill(above, signal.SIGKILL)
            os.kill(worker, signal.SIGKILL)
            return
        os.kill(worker, signal.SIGCONT)
        # Long enough to come to another place, not a wait for anything.
        time.sleep(0.003)
    pytest.fail("the worker was never caught within a save")


def test_all_its_processes_are_killed_within_a_save_after_a_line_of_ten_megabytes(
    tmp_path: Path, made: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_worker(tmp_path, LONG_LINE, monkeypatch)
    project = make(made, tmp_path / "project", {**ENDLESS, "save_steps: 5000": "save_steps: 1"})
    folder = begin(project)
    (folder / "say-it").touch()
    wait_for((folder / "said-it").exists, folder)
    goes_on(folder)
    kill_within_a_save(folder)
    wait_for(lambda: jobs.status(folder).state == "died", folder)
    state = jobs.status(folder)
    assert len(state.message) < 600
    assert (folder / "worker.log").stat().st_size > 10_000_000
    assert sum(map(len, tail(folder / "worker.log"))) <= 1 << 16
    kept = last_checkpoint(folder)
    assert kept is not None
    written = [p for p in checkpoints(folder) if not is_whole(p)]
    assert written, "it was within a save"
    assert state.message.endswith(f"it can resume from checkpoints/{kept.name}")
    assert resume(folder) == kept
    goes_on(folder)
    stop(folder)
    assert_whole(folder)


def test_the_machine_restarts_and_the_run_is_resumed(tmp_path: Path, made: list[Project]) -> None:
    project = make(made, tmp_path / "project", SAVING)
    folder = begin(project, 5)
    wait_for(lambda: last_checkpoint(folder), folder)
    worker = worker_of(folder)
    # Power goes: nobody writes a last word, not even the supervisor.
    os.kill(supervisor_of(worker), signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    # Power comes: another boot, told by another boot id as the whole program sees it.
    (tmp_path / "boot_id").write_text("11111111-2222-3333-4444-555555555555\n")
    enter = [
        "unshare", "--mount", "--", "sh", "-c",
        'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"',
        str(tmp_path / "boot_id"),
    ]  # fmt: skip
    tried = subprocess.run([*enter, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespace of our own can be made here: {tried.stderr.strip()}")

    def there(*command: str) -> str:
        done = subprocess.run(
            [*enter, TUIWB, *command, "--project", str(project.root)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = json.loads(there("runs", "show", "base-v1", "--json"))
    assert shown["state"] == "died"
    assert shown["message"].startswith("the machine was restarted while it ran at step ")
    assert "it can resume from checkpoints/checkpoint-" in shown["message"]
    there("train", "--resume", "base-v1")
    before = step_of(folder)
    wait_for(lambda: step_of(folder) > before + 2, folder)
    jobs.send(folder, "stop")
    wait_for(
        lambda: json.loads(there("runs", "show", "base-v1", "--json"))["state"] == "cancelled",
        folder,
    )
    assert_whole(folder)


# Each write of the log, as it began: by which thread, with a durable event in it, with metrics.
SLOW_DISK = """\
import json, os, threading, time
write, sync = os.write, os.fsync
def of_the_log(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").endswith("events.jsonl")
    except OSError:
        return False
def slow_write(fd, data):
    if of_the_log(fd):
        time.sleep(0.2)
        main = threading.current_thread() is threading.main_thread()
        durable = b'"type":"state"' in data or b'"type":"artifact"' in data
        line = json.dumps([main, durable, data.count(b'"type":"metrics"')])
        with open("writes", "a") as file:
            file.write(line + "\\n")
        return write(fd, data)
    return write(fd, data)
def slow_sync(fd):
    if of_the_log(fd):
        time.sleep(0.2)
    sync(fd)
os.write, os.fsync = slow_write, slow_sync
"""


def test_a_disk_as_slow_as_a_network_keeps_every_metric_and_no_step_waits_for_it(
    tmp_path: Path, made: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_worker(tmp_path, SLOW_DISK, monkeypatch)
    twenty = {**ENDLESS, "max_steps: 12": "max_steps: 20"}
    project = make(made, tmp_path / "project", twenty)
    folder = start(project, project.root / "configs/base.yaml")
    assert ended(folder).state == "finished"
    assert_whole(folder)
    writes = [json.loads(line) for line in (folder / "writes").read_text().splitlines()]
    # The trainer's thread wrote metrics only where a state or a checkpoint had to be on the disk.
    assert not [metrics for main, durable, metrics in writes if main and not durable and metrics]
    assert sum(metrics for main, _, metrics in writes if not main) > 0


EATS = """\
import threading, time, os
def eat():
    while not os.path.exists("eat"):
        time.sleep(0.05)
    held = []
    while True:
        held.append(bytearray(b"x") * (512 << 20))
threading.Thread(target=eat, daemon=True).start()
"""


def test_the_kernel_ends_the_run_for_want_of_memory(
    tmp_path: Path, made: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_worker(tmp_path, EATS, monkeypatch)
    project = make(made, tmp_path / "project", SAVING)
    group = memory_group(1200 << 20)
    script = IN_GROUP.replace(
        "from tuiwb.jobs import launch\nprint(launch(Path(sys.argv[1])), flush=True)",
        "from tuiwb.project import Project\nfrom tuiwb.train.start import start\n"
        "start(Project(Path(sys.argv[1])), Path(sys.argv[1]) / 'configs/base.yaml')",
    )
    command = [sys.executable, "-c", script, str(project.root), str(group / "cgroup.procs")]
    try:
        subprocess.run(command, check=True)
        (folder,) = project.job_folders()
        wait_for(lambda: last_checkpoint(folder), folder)
        (folder / "eat").touch()
        wait_for(lambda: jobs.status(folder).state == "died", folder)
        state = jobs.status(folder)
        found = why(folder, state)
        assert found.cause == "out_of_memory"
        assert found.sentence.startswith("the kernel's OOM killer ended it: the host's memory")
        assert found.resume is not None
        record = exit_record(folder)
        assert record is not None
        assert found.t == record.t
        (folder / "eat").unlink()
        resume(folder)
        goes_on(folder)
        stop(folder)
        assert_whole(folder)
        assert _states(folder)[-1] == "cancelled"
    finally:
        reap(project)
        wait_for(lambda: not (group / "cgroup.procs").read_text().strip(), project.root)
        group.rmdir()


def _states(folder: Path) -> list[Any]:
    return [e.state for e in EventReader(folder / "events.jsonl").read() if isinstance(e, State)]


JUMPS = """\
import os, time
real, jump = time.time, [0.0]
def shifted():
    return real() + jump[0]
time.time = shifted
def follow():
    while True:
        time.sleep(0.02)
        try:
            jump[0] = float(open("jump").read())
        except (OSError, ValueError):
            pass
import threading
threading.Thread(target=follow, daemon=True).start()
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that goes on through the tests of a clock and of a disk, both its own where the disk
    can be: 8 MB large."""
    root = tmp_path_factory.mktemp("running")
    project = project_with(root / "project", ENDLESS)
    project.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(project.runs)]
    subprocess.run(mount, capture_output=True, check=False)
    try:
        with pytest.MonkeyPatch.context() as patch:
            in_worker(root, JUMPS, patch)
            folder = begin(project)
        yield folder
    finally:
        reap(project)
        if project.runs.is_mount():
            subprocess.run(["umount", "-l", str(project.runs)], check=True)


def test_the_clock_jumps_forth_and_back(running: Path) -> None:
    folder = running

    def newest() -> float:
        return max(e.t for e in EventReader(folder / "events.jsonl").read())

    def last() -> float:
        return EventReader(folder / "events.jsonl").read()[-1].t

    began = time.time()
    (folder / "jump").write_text("86400")
    wait_for(lambda: newest() > began + 80_000, folder)
    goes_on(folder)
    (folder / "jump").write_text("-7200")
    wait_for(lambda: last() < began - 7000, folder)
    goes_on(folder)
    assert jobs.status(folder).state == "running"
    (folder / "jump").write_text("0")
    assert_whole_so_far(folder)
    rates = [
        e.values["tokens_per_second"]
        for e in EventReader(folder / "events.jsonl").read()
        if isinstance(e, Metrics) and "loss" in e.values
    ]
    assert all(0 < rate < 1e6 and math.isfinite(rate) for rate in rates)


def busy(pid: int) -> float:
    """Seconds of CPU that a process has used (proc(5), stat: utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_full_disk_holds_metrics_up_and_loses_none(running: Path) -> None:
    folder, disk = running, running.parent
    if not disk.is_mount():
        pytest.skip("mounting a small tmpfs is not permitted here")
    fill(disk / "filler")
    worker = worker_of(folder)
    wait_for(lambda: _fills(disk), folder)
    size = (folder / "events.jsonl").stat().st_size
    # It trains on, and can tell nobody: neither events.jsonl nor worker.log takes a byte.
    used = busy(worker)
    wait_for(lambda: busy(worker) > used + 1, folder)
    assert (folder / "events.jsonl").stat().st_size - size < 8192
    held = step_of(folder)
    for filler in disk.glob("filler*"):
        filler.unlink()
    wait_for(lambda: step_of(folder) > held + 5, folder)
    assert_whole_so_far(folder)
    steps = [e["step"] for e in told(folder) if "loss" in e]
    assert steps == list(range(1, len(steps) + 1))


def _fills(place: Path) -> bool:
    """Fill what was still free; whether nothing is."""
    fill(place / "filler-2")
    return os.statvfs(place).f_bavail == 0
