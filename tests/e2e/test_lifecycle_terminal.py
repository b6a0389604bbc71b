"""One real run, started from a login shell in a terminal, through all that befalls terminals."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LIMIT, Terminal, wait_until
from tests.e2e.lifecycle import (
    ENDLESS,
    assert_whole,
    assert_whole_so_far,
    goes_on,
    project_with,
    reap,
    stop,
    supervisor_of,
    wait_for,
    worker_of,
)
from tuiwb import jobs
from tuiwb.project import Project

pytestmark = pytest.mark.slow
TUIWB = str(Path(sys.executable).with_name("tuiwb"))


class Shell:
    """A login shell with a terminal and a session of its own."""

    def __init__(self) -> None:
        self.said = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv("/bin/sh", ["/bin/sh", "-i"])
        # What it says is read, or it would stand still.
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while data := os.read(self.fd, 65536):
                self.said += data
        except OSError:
            pass

    def type(self, line: str) -> None:
        os.write(self.fd, line.encode() + b"\n")

    def members(self) -> list[int]:
        """Every process of the session, the shell's own included."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(entry)) == self.pid:
                    found.append(int(entry))
            except ProcessLookupError:
                continue
        return found


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    started = Shell()
    yield started
    for pid in started.members():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    home = project_with(tmp_path_factory.mktemp("terminal") / "project", ENDLESS)
    yield home
    reap(home)


@pytest.fixture(scope="module")
def folder(project: Project, shell: Shell) -> Path:
    """The run, started by a command typed into the shell; it is the same through all tests."""
    shell.type(f"{TUIWB} train {project.root}/configs/base.yaml --project {project.root}")
    wait_until(project.job_folders, LIMIT, lambda: f"no run began:\n{shell.said.decode()}")
    (found,) = project.job_folders()
    wait_for(lambda: jobs.status(found).step >= 2, found)
    return found


def watch(terminal: Terminal) -> None:
    """Open the Train screen on the run."""
    terminal.wait_for("base-v1")
    terminal.press("4")
    terminal.wait_for("base-v1", "loss")


@pytest.mark.parametrize("end", ["kill", "hang_up"])
def test_the_ui_is_killed_or_loses_its_terminal(
    folder: Path, project: Project, terminals: Callable[..., Terminal], end: str
) -> None:
    terminal = terminals(str(project.root))
    watch(terminal)
    worker = worker_of(folder)
    getattr(terminal, end)()
    goes_on(folder)
    assert worker_of(folder) == worker
    assert_whole_so_far(folder)


def test_tmux_is_detached_and_attached_again(
    folder: Path, project: Project, tmp_path: Path, terminals: Callable[..., Terminal]
) -> None:
    tmux = shutil.which("tmux")
    assert tmux is not None, "install tmux"
    server = [tmux, "-S", str(tmp_path / "socket"), "-f", "/dev/null"]

    def screen() -> str:
        shown = subprocess.run(
            [*server, "capture-pane", "-p", "-t", "w"], capture_output=True, check=False
        )
        return shown.stdout.decode("utf-8", "replace")

    def attach() -> Terminal:
        return terminals(program=[*server, "attach", "-t", "w"])

    environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    start = ["new-session", "-d", "-s", "w", "-x", "120", "-y", "36", f"{TUIWB} {project.root}"]
    subprocess.run([*server, *start], check=True, env=environment)
    try:
        wait_for(lambda: "base-v1" in screen(), folder)
        subprocess.run([*server, "send-keys", "-t", "w", "4"], check=True)
        wait_for(lambda: "loss" in screen(), folder)
        client = attach()
        clients = [*server, "list-clients", "-t", "w"]

        def attached() -> bool:
            return bool(subprocess.run(clients, capture_output=True, check=False).stdout)

        wait_for(attached, folder)
        subprocess.run([*server, "detach-client", "-s", "w"], check=True)
        wait_until(client.ended, LIMIT, lambda: f"it did not detach:\n{client.text}")
        goes_on(folder)
        client = attach()
        wait_for(attached, folder)
        step = jobs.status(folder).step
        shown: list[int] = []

        def shows_a_later_step() -> bool:
            import re

            found = re.search(r"step (\d+)/100000", screen().replace(",", ""))
            shown.append(int(found[1]) if found else 0)
            return shown[-1] >= step

        wait_for(shows_a_later_step, folder)
        # And the terminal of the attached client goes away altogether.
        client.hang_up()
        goes_on(folder)
    finally:
        subprocess.run([*server, "kill-server"], check=False)
    assert_whole_so_far(folder)


def test_every_process_of_the_login_session_is_killed(folder: Path, shell: Shell) -> None:
    # What logind does with KillUserProcesses, and a kernel that loses the terminal.
    shell.type("sleep 600")
    wait_for(lambda: len(shell.members()) > 1, folder)
    worker = worker_of(folder)
    assert worker not in shell.members()
    for pid in shell.members():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.waitpid(shell.pid, 0)
    os.close(shell.fd)
    goes_on(folder)
    assert worker_of(folder) == worker
    assert supervisor_of(worker) not in shell.members()
    assert_whole_so_far(folder)


def test_the_supervisor_is_killed_and_the_run_ends_as_it_should(folder: Path) -> None:
    worker = worker_of(folder)
    os.kill(supervisor_of(worker), signal.SIGKILL)
    goes_on(folder)
    assert worker_of(folder) == worker
    stop(folder)
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert_whole(folder)
