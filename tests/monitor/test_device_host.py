"""The host for real, and cgroup limits as the kernel lays them out."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tuiwb.monitor import host as host_module
from tuiwb.monitor import processes
from tuiwb.monitor.cgroup import Limits, limits_of
from tuiwb.monitor.host import HostWatch
from tuiwb.monitor.processes import family, foreign_pids, short_command

GIB = 1 << 30


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def test_the_host_and_this_process_are_measured_at_the_first_look(tmp_path: Path) -> None:
    host = HostWatch().look(frozenset({os.getpid()}), tmp_path)
    assert 0 < host.memory_used < host.memory_total
    assert host.job_memory is not None
    assert host.job_memory > 1 << 20
    assert host.job_cpu is not None
    assert host.disk_free is not None
    assert host.disk_total is not None
    assert 0 < host.disk_free <= host.disk_total
    assert host.cores
    assert host.load is not None


def test_cpu_time_of_the_jobs_children_counts_as_the_jobs(tmp_path: Path) -> None:
    watch = HostWatch()
    began = time.monotonic()
    watch.look(family(os.getpid()), tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until(lambda: child.pid in family(os.getpid()))
        until(lambda: psutil.Process(child.pid).cpu_times().user > 0.3)
        host = watch.look(family(os.getpid()), tmp_path)
        passed = time.monotonic() - began
        assert host.job_cpu is not None
        # However little of the machine it got: at least what it is known to have used.
        assert host.job_cpu > 100 * 0.3 / passed - 0.1
    finally:
        child.kill()
        child.wait()


def test_pages_that_a_forked_worker_shares_count_once(tmp_path: Path) -> None:
    size = 200 << 20
    block = bytearray(os.urandom(1 << 20) * (size >> 20))
    workers: list[int] = []
    waits, over = os.pipe()
    try:
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(over)
                    os.read(waits, 1)
                finally:
                    os._exit(0)
            workers.append(pid)
        assert family(os.getpid()) >= {os.getpid(), *workers}
        # Not the whole family: what other tests have started is none of this one's.
        host = HostWatch().look(frozenset({os.getpid(), *workers}), tmp_path)
        alone = psutil.Process().memory_info().rss
        assert host.job_memory is not None
        assert size < host.job_memory < alone + size
    finally:
        os.close(over)
        for pid in workers:
            os.waitpid(pid, 0)
        os.close(waits)
    assert len(block) == size


def test_a_process_that_is_gone_leaves_the_rest_of_the_look(tmp_path: Path) -> None:
    host = HostWatch().look(family(2**22 + 1), tmp_path / "gone")
    assert host.job_memory is None
    assert host.job_cpu is None
    assert host.disk_free is None
    assert host.memory_total > 0


def tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_tightest_limit_of_version_2_counts_without_the_page_cache(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/7/cgroup": "0::/pod/box\n",
            "fs/memory.stat": "",
            "fs/pod/memory.max": f"{8 * GIB}\n",
            "fs/pod/memory.current": f"{6 * GIB}\n",
            "fs/pod/memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
            "fs/pod/cpu.max": "400000 100000\n",
            "fs/pod/box/memory.max": "max\n",
            "fs/pod/box/memory.current": f"{3 * GIB}\n",
            "fs/pod/box/cpu.max": "150000 100000\n",
        },
    )
    limits = limits_of(7, tmp_path / "fs", tmp_path / "proc")
    assert limits == Limits(memory=8 * GIB, used=4 * GIB, cores=1.5)


def test_version_1_counts_too_and_its_huge_number_is_no_limit(tmp_path: Path) -> None:
    files = {
        "proc/7/cgroup": "9:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n",
        "fs/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
        "fs/memory/memory.usage_in_bytes": f"{99 * GIB}\n",
        "fs/memory/docker/x/memory.limit_in_bytes": f"{4 * GIB}\n",
        "fs/memory/docker/x/memory.usage_in_bytes": f"{3 * GIB}\n",
        "fs/memory/docker/x/memory.stat": f"total_inactive_file {GIB}\n",
        "fs/cpu/docker/x/cpu.cfs_quota_us": "200000\n",
        "fs/cpu/docker/x/cpu.cfs_period_us": "100000\n",
    }
    tree(tmp_path, files)
    limits = limits_of(7, tmp_path / "fs", tmp_path / "proc")
    assert limits == Limits(memory=4 * GIB, used=2 * GIB, cores=2.0)


def test_a_container_that_sees_its_own_cgroup_as_the_root_has_its_limit(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "proc/7/cgroup": "0::/../..\n",
            "fs/memory.max": f"{GIB}\n",
            "fs/memory.current": "1000\n",
        },
    )
    assert limits_of(7, tmp_path / "fs", tmp_path / "proc").memory == GIB


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    assert limits_of(7, tmp_path, tmp_path) == Limits()


def test_the_containers_limit_is_what_the_host_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        host_module, "limits_of", lambda pid: Limits(memory=GIB, used=GIB // 2, cores=0.5)
    )
    host = HostWatch().look(frozenset({os.getpid()}), tmp_path)
    assert (host.memory_total, host.memory_used, host.limit) == (GIB, GIB // 2, "cgroup")
    assert host.cores == 0.5


def test_a_command_is_shown_without_its_arguments() -> None:
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "--token", "secret"], stdin=subprocess.PIPE
    )
    try:
        until(lambda: "-c" in short_command(psutil.Process(child.pid)))
        words = short_command(psutil.Process(child.pid))
        assert words.startswith("python")
        assert "secret" not in words
    finally:
        child.communicate()


def test_grandchildren_are_family_whatever_way_they_are_found() -> None:
    inner = "import sys; sys.stdin.read()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    child = subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE)
    try:
        until(lambda: len(family(child.pid)) == 2)
        assert family(child.pid) == processes._slow_family(child.pid)
        assert child.pid in family(os.getpid())
    finally:
        child.communicate()
    assert family(child.pid) == {child.pid}


def test_a_pid_namespace_is_known_by_its_inode(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("")
    assert foreign_pids(tmp_path / "pid")
    assert not foreign_pids(tmp_path / "none")
