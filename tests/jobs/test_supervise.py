"""The supervisor: it tells how a worker ended, and neither its end nor a logout is the worker's."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.jobs.workers import end, fill, install, job, supervisor_of, wait_for
from tuiwb.jobs import launch, process, scope, status, stop_now
from tuiwb.jobs.death import exit_record


@pytest.fixture
def kinds(tmp_path: Path) -> dict[str, str]:
    return {"PYTHONPATH": install(tmp_path)}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "job"
    end(tmp_path / "job")


def test_an_exit_code_and_the_peak_of_memory_are_written_down(
    folder: Path, kinds: dict[str, str]
) -> None:
    pid = launch(job(folder, "exits", code=17), environment=kinds)
    wait_for(lambda: status(folder).state == "died", folder)
    wait_for(lambda: (exit_record(folder) or pytest.fail("gone")).peak_memory, folder)
    record = exit_record(folder)
    assert record is not None
    assert (record.pid, record.code, record.signal) == (pid, 17, None)
    assert record.peak_memory is not None
    assert record.peak_memory > 5 << 20
    assert record.began <= record.t <= time.time()


def test_a_signal_is_written_down_by_the_time_the_job_is_seen_dead(
    folder: Path, kinds: dict[str, str]
) -> None:
    launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    end(folder)
    # Not one look in between may find it dead without a reason.
    wait_for(lambda: status(folder).state == "died", folder)
    assert "SIGKILL" in status(folder).message


def test_the_worker_goes_on_when_its_supervisor_is_killed(
    folder: Path, kinds: dict[str, str]
) -> None:
    pid = launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    os.kill(supervisor_of(pid), signal.SIGKILL)
    size = (folder / "events.jsonl").stat().st_size
    wait_for(lambda: (folder / "events.jsonl").stat().st_size > size, folder)
    assert status(folder).state == "starting"
    end(folder)
    wait_for(lambda: status(folder).state == "died", folder)
    assert "exit.json is not there" not in status(folder).message
    assert "gone without a word" in status(folder).message


def test_signals_to_the_supervisor_do_not_end_its_watch(
    folder: Path, kinds: dict[str, str]
) -> None:
    pid = launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(supervisor_of(pid), number)
    end(folder)
    wait_for(lambda: status(folder).state == "died", folder)
    assert exit_record(folder) is not None


def test_the_supervisor_costs_few_megabytes_and_no_library(
    folder: Path, kinds: dict[str, str]
) -> None:
    pid = launch(job(folder, "obeys"), environment=kinds)
    above = supervisor_of(pid)
    lines = Path(f"/proc/{above}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    assert resident < 24 << 10, f"{resident} kB"
    maps = Path(f"/proc/{above}/maps").read_text()
    assert "site-packages" not in maps


def test_an_exit_of_another_process_is_not_taken_for_this_ones(
    folder: Path, kinds: dict[str, str]
) -> None:
    launch(job(folder, "exits", code=1), environment=kinds)
    wait_for(lambda: exit_record(folder) is not None, folder)
    identity = process.read(folder)
    assert identity is not None
    process.write(folder, msgspec.structs.replace(identity, start=identity.start + 1))
    assert exit_record(folder) is None


def test_an_earlier_workers_words_are_not_taken_for_this_ones_reason(
    folder: Path, kinds: dict[str, str]
) -> None:
    before = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
    job(folder, "obeys")
    (folder / "worker.log").write_text(before)
    launch(folder, environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    end(folder)
    wait_for(lambda: status(folder).state == "died", folder)
    record = exit_record(folder)
    assert record is not None
    assert record.log_from == len(before)
    assert "SIGKILL" in status(folder).message
    assert "memory was full" not in status(folder).message


IGNORES = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from tuiwb.jobs import launch
launch(Path(sys.argv[1]))
"""


def test_started_by_a_program_that_ignores_its_children_it_still_tells_how_the_worker_ended(
    folder: Path, kinds: dict[str, str]
) -> None:
    command = [sys.executable, "-c", IGNORES, str(job(folder, "exits", code=17))]
    subprocess.run(command, check=True, env={**os.environ, **kinds})
    wait_for(lambda: status(folder).state == "died", folder)
    assert "exit code 17" in status(folder).message


TELLS = """\
alerts:
  command: [sh, -c, 'cat >> "$0"; echo >> "$0"', {told}]
"""


def test_a_death_is_told_to_the_users_command_and_an_end_that_is_known_is_not(
    tmp_path: Path, kinds: dict[str, str]
) -> None:
    root, told = tmp_path / "a project", tmp_path / "told"
    root.mkdir()
    (root / "tuiwb.yaml").write_text(TELLS.format(told=told))
    runs = root / "runs"
    ended, stopped, killed = (
        job(runs / "ended", "astrology"),
        job(runs / "stopped", "stubborn"),
        job(runs / "killed", "obeys"),
    )
    try:
        launch(ended)
        wait_for(lambda: status(ended).state == "failed", ended)
        launch(stopped, environment=kinds)
        wait_for(lambda: status(stopped).step == 7, stopped)
        stop_now(stopped, patience=0.1)
        launch(killed, environment=kinds)
        wait_for(lambda: status(killed).step == 1, killed)
        end(killed)
        wait_for(lambda: told.exists() and told.read_text().endswith("}\n"), killed)
    finally:
        for folder in (ended, stopped, killed):
            end(folder)
    (line,) = told.read_text().splitlines()
    message = json.loads(line)
    assert (message["run"], message["state"], message["severity"]) == ("killed", "died", "critical")
    assert "SIGKILL" in message["evidence"]


STAND_IN = """\
#!/bin/sh
echo "$@" >> "{record}"
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    programs, runtime = tmp_path / "bin", tmp_path / "runtime"
    programs.mkdir()
    (runtime / "systemd").mkdir(parents=True)
    (runtime / "systemd/private").touch()
    (programs / "systemd-run").write_text(script)
    (programs / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))


def test_where_a_user_manager_answers_a_run_starts_in_a_scope_of_its_own(
    folder: Path, kinds: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, STAND_IN.format(record=tmp_path / "asked"))
    pid = launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--user --scope --collect --quiet -- ")
    assert str(folder) in asked
    assert supervisor_of(pid)


def test_a_user_manager_is_found_where_nothing_says_where_it_listens(
    folder: Path, kinds: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_it = '#!/bin/sh\n[ -e "$XDG_RUNTIME_DIR/bus" ] || exit 1\n'
    script = STAND_IN.format(record=tmp_path / "asked").removeprefix("#!/bin/sh\n")
    stand_in(tmp_path, monkeypatch, needs_it + script)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(scope, "RUNTIMES", str(tmp_path / "users"))
    mine = tmp_path / "users" / str(os.getuid())
    mine.mkdir(parents=True)
    (mine / "bus").touch()
    launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    assert (tmp_path / "asked").is_file()


def test_a_user_manager_that_refuses_is_done_without(
    folder: Path, kinds: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = "#!/bin/sh\necho 'Failed to start transient scope unit' >&2\nexit 1\n"
    stand_in(tmp_path, monkeypatch, refuses)
    pid = launch(job(folder, "obeys"), environment=kinds)
    wait_for(lambda: status(folder).step == 1, folder)
    assert supervisor_of(pid)


def test_without_a_user_manager_systemd_run_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, STAND_IN.format(record=tmp_path / "asked"))
    (tmp_path / "runtime/systemd/private").unlink()
    assert scope.scope_prefix() == []


LOGIND = """\
#!/bin/sh
case "$*" in
  *KillUserProcesses*) echo "b {kills}" ;;
  *KillExcludeUsers*) echo 'as 1 "{spared}"' ;;
  *Linger*) echo "Linger={linger}" ;;
esac
"""


@pytest.mark.parametrize(
    ("kills", "spared", "linger", "survives"),
    [
        ("false", "root", "no", True),
        ("true", "nobody", "no", False),
        ("true", "nobody", "yes", True),
        ("true", "{me}", "no", True),
    ],
)
def test_what_a_logout_does_is_asked_of_logind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills: str,
    spared: str,
    linger: str,
    survives: bool,
) -> None:
    import pwd

    stand_in(tmp_path, monkeypatch, STAND_IN.format(record=tmp_path / "asked"))
    me = pwd.getpwuid(os.getuid()).pw_name
    for name in ("busctl", "loginctl"):
        script = tmp_path / "bin" / name
        script.write_text(LOGIND.format(kills=kills, spared=spared.format(me=me), linger=linger))
        script.chmod(0o755)
    found = scope.survival()
    assert found.survives is survives
    assert bool(found.todo) is not survives


SESSION = """
import os, sys, time
from pathlib import Path
from tuiwb.jobs import launch
print(launch(Path(sys.argv[1]), environment={"PYTHONPATH": sys.argv[2]}), flush=True)
time.sleep(600)
"""


def test_a_run_outlives_the_killing_of_its_whole_login_session(
    folder: Path, kinds: dict[str, str]
) -> None:
    job(folder, "obeys")
    # A login shell with a terminal of its own, from which the run is started.
    shell, terminal = pty.fork()
    if shell == 0:
        os.execv(sys.executable, [sys.executable, "-c", SESSION, str(folder), kinds["PYTHONPATH"]])
    try:
        wait_for(lambda: status(folder).step == 1, folder)
        session = os.getsid(shell)
        members = [
            int(entry)
            for entry in os.listdir("/proc")
            if entry.isdigit() and _session_of(int(entry)) == session
        ]
        assert shell in members
        for pid in members:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(shell, 0)
    finally:
        os.close(terminal)
    size = (folder / "events.jsonl").stat().st_size
    wait_for(lambda: (folder / "events.jsonl").stat().st_size > size, folder)
    identity = process.read(folder)
    assert identity is not None
    assert supervisor_of(identity.pid)


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def test_exit_json_waits_for_room_on_a_full_disk(tmp_path: Path, kinds: dict[str, str]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    folder = small / "job"
    try:
        launch(job(folder, "obeys"), environment=kinds)
        wait_for(lambda: status(folder).step == 1, folder)
        filler = small / "filler"
        fill(filler)
        end(folder)
        wait_for(lambda: status(folder).state == "died", folder)
        filler.unlink()
        wait_for(lambda: exit_record(folder) is not None, folder)
        assert json.loads((folder / "exit.json").read_bytes())["signal"] == signal.SIGKILL
    finally:
        end(folder)
        subprocess.run(["umount", "-l", str(small)], check=True)
