"""What a worker starts ends with it, however it ends."""

import signal
import subprocess
import sys
import time

import psutil

PARENT = """
import subprocess, sys, time
from tuiwb.jobs.child import ending_with_parent
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"],
    start_new_session=True, preexec_fn=ending_with_parent(),
)
print(child.pid, flush=True)
time.sleep(600)
"""


def lives(child: psutil.Process) -> bool:
    try:
        return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two looks
        return False


def test_a_child_ends_when_the_worker_that_started_it_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while lives(child):
        assert time.monotonic() < deadline, "the child lives on"
        time.sleep(0.02)
