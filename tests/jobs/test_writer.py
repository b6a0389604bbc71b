"""The worker's end of the log on a slow and on a full disk: in order, once, and not waited for."""

import math
import os
import threading
from pathlib import Path

import pytest

from tuiwb.jobs import writer
from tuiwb.jobs.events import Artifact, EventReader, Metrics
from tuiwb.jobs.writer import WorkerLog


def steps(path: Path) -> list[int]:
    return [e.step for e in EventReader(path).read() if isinstance(e, Metrics)]


class Disk:
    """The real disk behind a gate: while it is shut a write waits, as on a network disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.writes = 0
        self.full = False
        real = os.write

        def write(fd: int, data: bytes) -> int:
            self.writes += 1
            self.gate.wait()
            if self.full:
                return real(fd, data[: len(data) // 2])
            return real(fd, data)

        monkeypatch.setattr(writer.os, "write", write)


def test_on_a_quick_disk_each_event_is_there_when_emit_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SLOW", math.inf)  # no write counts as slow on a busy machine
    log = WorkerLog(tmp_path / "e")
    for step in range(1, 4):
        log.emit(Metrics(step=step))
        assert steps(tmp_path / "e")[-1] == step
    log.close()


def test_a_slow_disk_is_not_waited_for_and_many_lines_go_in_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(writer, "SLOW", -1.0)  # every write counts as slow
    log = WorkerLog(tmp_path / "e")
    log.emit(Metrics(step=0))
    disk.gate.clear()
    before = disk.writes
    for step in range(1, 1001):
        log.emit(Metrics(step=step))  # would stand still here for ever
    assert steps(tmp_path / "e") == [0]
    disk.gate.set()
    log.emit(Artifact(kind="checkpoint", path="c", step=1000))
    assert steps(tmp_path / "e") == list(range(1001)), "a durable event has all before it on disk"
    assert disk.writes - before <= 3
    log.close()


def test_threads_lines_are_whole_and_each_threads_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SLOW", 0.0)
    log = WorkerLog(tmp_path / "e")

    def emit(base: int) -> None:
        for step in range(base, base + 500):
            log.emit(Metrics(step=step))
            if step % 100 == 0:
                log.emit(Artifact(kind="x", path="p"))

    threads = [threading.Thread(target=emit, args=(n * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = steps(tmp_path / "e")
    for n in range(4):
        mine = [s for s in found if s // 1000 == n]
        assert mine == list(range(n * 1000, n * 1000 + 500))


def test_on_a_full_disk_events_wait_and_the_last_words_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    monkeypatch.setattr(writer, "SLOW", math.inf)  # this thread alone writes
    log = WorkerLog(tmp_path / "e")
    log.emit(Metrics(step=0))
    disk.full = True
    for step in range(1, 50):
        log.emit(Metrics(step=step))
    assert steps(tmp_path / "e") == [0]
    assert (tmp_path / "e").read_bytes().endswith(b"\n"), "no half line"
    assert log.waiting == 49
    closing = threading.Thread(target=log.close)
    closing.start()
    assert closing.is_alive()
    disk.full = False
    closing.join()
    assert steps(tmp_path / "e") == list(range(50))
