"""Jobs in line for GPUs: who may start, where, and that no killed process blocks the others."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

import msgspec
import pytest

from tests.jobs.workers import end, install, job, wait_for
from tuiwb.errors import BadInput
from tuiwb.jobs import process, queue, send, status, stop_now
from tuiwb.jobs.events import Control, EventReader, EventWriter, Gpu, Metrics
from tuiwb.jobs.tickets import deciding
from tuiwb.jobs.turns import Ticket, Turn, turn

GIB = 1 << 30
RUNS = process.ProcessIdentity(pid=77, start=1.0, host="h", boot="b")


# --- whose turn it is ---------------------------------------------------------------------------


def ticket(name: str, needs: int | None = None, order: float = 0.0, **more: object) -> Ticket:
    return msgspec.convert(
        {"id": name, "folder": f"/{name}", "name": name, "order": order, "since": order}
        | {"needs": needs if needs is None else needs * GIB, **more},
        Ticket,
    )


def started(name: str, gpu: str | None, needs: int | None, settled: bool = False) -> Ticket:
    found = ticket(name, needs, settled=settled, gpu=gpu)
    found.started = RUNS
    return found


def card(index: int, used: float, total: int = 80, **more: object) -> Gpu:
    plain = {"index": index, "memory_used": int(used * GIB), "memory_total": total * GIB, **more}
    return msgspec.convert(plain, Gpu)


def asked(mine: Ticket, line: list[Ticket], gpus: list[Gpu]) -> Turn:
    return turn(mine, [mine, *line], gpus)


def test_a_job_starts_where_the_memory_it_needs_is_free() -> None:
    found = asked(ticket("a", 14), [], [card(0, 70), card(1, 10)])
    assert found.go
    assert found.gpu is not None
    assert found.gpu.index == 1


def test_why_it_waits_says_what_it_needs_what_is_free_and_its_place() -> None:
    found = asked(ticket("a", 14, 2), [ticket("b", 14, 1)], [card(0, 76.9)])
    assert not found.go
    assert found.why == "waiting for GPU 0: 14.0 GiB needed, 3.1 GiB free; 2nd in line"


def test_a_small_job_does_not_overtake_a_big_one_that_waits_for_the_same_gpu() -> None:
    big, small = ticket("big", 60, 1), ticket("small", 4, 2)
    assert not asked(small, [big], [card(0, 30)]).go
    # But one that waits for another GPU is not in its way.
    big.gpus = [1]
    assert asked(small, [big], [card(0, 30), card(1, 30)]).go


def test_what_a_started_job_has_not_allocated_yet_is_taken_already() -> None:
    mine = ticket("b", 30)
    empty = card(0, 1, uuid="GPU-1")
    assert not asked(mine, [started("a", "GPU-1", 60)], [empty]).go
    assert asked(mine, [started("a", "GPU-1", 40)], [empty]).go
    half = card(0, 21, uuid="GPU-1", processes=[{"pid": RUNS.pid, "memory": 20 * GIB}])
    assert asked(mine, [started("a", "GPU-1", 40)], [half]).go, "20 of its 40 are counted already"
    assert not asked(mine, [started("a", "GPU-1", 60)], [half]).go
    # Once it trains it holds what it holds, whatever was estimated.
    assert asked(mine, [started("a", "GPU-1", 60, settled=True)], [half]).go


def test_without_an_estimate_a_whole_card_is_waited_for() -> None:
    assert not asked(ticket("a"), [], [card(0, 20)]).go
    assert asked(ticket("a"), [], [card(0, 1)]).go
    assert not asked(ticket("a", 1), [started("w", "0", None)], [card(0, 1)]).go
    assert not asked(ticket("a"), [started("w", "0", 1, settled=True)], [card(0, 1)]).go


def test_an_estimate_above_every_card_is_tried_on_a_whole_one() -> None:
    assert asked(ticket("a", 200), [], [card(0, 1)]).go
    assert not asked(ticket("a", 200), [], [card(0, 20)]).go


def test_a_gpu_in_trouble_or_hidden_is_not_used() -> None:
    dead, hidden = card(0, 0, problem="fell off the bus"), card(1, 0, visible=False)
    found = asked(ticket("a", 1, gpus=[0, 1]), [], [dead, hidden])
    assert not found.go
    assert found.why == (
        "waiting for GPU 0, 1, which gives no figures (fell off the bus); 1st in line"
    )
    assert not asked(ticket("a", 1), [], [dead]).go, "and not the CPU in its place"
    assert asked(ticket("a", 1), [], [hidden]).go, "who hides every GPU wants the CPU"


def test_a_mig_instance_is_taken_by_its_own_name() -> None:
    slices = [
        card(0, 9, 10, uuid="MIG-a", mig="1g.10gb"),
        card(0, 1, 10, uuid="MIG-b", mig="1g.10gb"),
    ]
    found = asked(ticket("a", 5), [], slices)
    assert found.gpu is not None
    assert found.gpu.uuid == "MIG-b"


def test_without_a_gpu_one_runs_at_a_time() -> None:
    assert asked(ticket("a"), [], []).go
    found = asked(ticket("b", order=2), [started("a", None, None)], [])
    assert found.why == "waiting for a to end; 1st in line"
    assert not asked(ticket("c", order=3), [ticket("b", order=2)], []).go
    # A job for the CPU doesn't wait for a GPU.
    assert asked(ticket("d", cpu=True, order=2), [started("a", "0", 5)], [card(0, 79)]).go


# --- real waiting processes ---------------------------------------------------------------------


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A queue of our own, no GPU, the small workers; all that still runs is killed at the end."""
    monkeypatch.setenv(queue.HOME, str(tmp_path / "queue"))
    monkeypatch.setenv("PYTHONPATH", install(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield tmp_path

    def ended() -> bool:
        # The last first: one that waits would start when the one before it is gone.
        for place in reversed(left := queue.line()):
            end(place.folder)
        return not left

    wait_for(ended, tmp_path)


def trains(folder: Path) -> bool:
    return status(folder).step == 1


@pytest.mark.slow
def test_each_takes_its_turn_in_order_and_one_can_be_moved_to_the_front(line: Path) -> None:
    a, b, c = (job(line / name, "obeys") for name in "abc")
    queue.enqueue(a, cpu=True)
    wait_for(lambda: trains(a), a)
    queue.enqueue(b, cpu=True)
    queue.enqueue(c, cpu=True)
    assert [(p.folder.name, p.place) for p in queue.line()] == [("a", 0), ("b", 1), ("c", 2)]
    wait_for(lambda: status(c).phase == "waiting for a to end; 2nd in line", c)
    assert status(b).state == "queued"
    wait_for(lambda: status(b).phase == "waiting for a to end; 1st in line", b)
    with pytest.raises(BadInput, match="in the queue already"):
        queue.enqueue(b, cpu=True)
    queue.move_to_front(c)
    assert [(p.folder.name, p.place) for p in queue.line()] == [("a", 0), ("c", 1), ("b", 2)]
    with pytest.raises(BadInput, match="does not wait"):
        queue.move_to_front(a)
    stop_now(a)
    wait_for(lambda: trains(c), c)
    assert status(b).state == "queued"
    # Killed while it waits: it loses its place, is told dead, and blocks nobody.
    d = job(line / "d", "obeys")
    queue.enqueue(d, cpu=True)
    waits = process.read(b)
    assert waits is not None
    os.kill(waits.pid, signal.SIGKILL)
    wait_for(lambda: status(b).state == "died", b)
    assert status(b).message == ("the process that waited for its turn is gone; queue it again")
    stop_now(c)
    wait_for(lambda: trains(d), d)
    stop_now(d)
    wait_for(lambda: not queue.line(), d)
    assert sorted(os.listdir(line / "queue")) == ["decision.lock"]


def test_a_waiting_job_is_cancelled_by_a_stop(line: Path) -> None:
    a, b = job(line / "a", "obeys"), job(line / "b", "obeys")
    queue.enqueue(a, cpu=True)
    wait_for(lambda: trains(a), a)
    queue.enqueue(b, cpu=True)
    send(b, "stop")
    wait_for(lambda: status(b).state == "cancelled", b)
    assert status(b).message == "stopped while it was in the queue"
    wait_for(lambda: [p.folder.name for p in queue.line()] == ["a"], b)


def test_the_waiting_process_is_light_and_outlives_the_one_that_queued(line: Path) -> None:
    a, b = job(line / "a", "obeys"), job(line / "b", "obeys")
    queue.enqueue(a, cpu=True)
    wait_for(lambda: trains(a), a)
    script = "import sys, pathlib\nfrom tuiwb.jobs import queue\n"
    script += "queue.enqueue(pathlib.Path(sys.argv[1]), cpu=True)\nimport time; time.sleep(600)\n"
    launcher = subprocess.Popen([sys.executable, "-c", script, str(b)], start_new_session=True)
    wait_for(lambda: process.read(b) is not None, b)
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    identity = process.read(b)
    assert identity is not None
    assert process.alive(identity)
    assert "torch" not in Path(f"/proc/{identity.pid}/maps").read_text()
    stop_now(a)
    wait_for(lambda: trains(b), b)


def test_what_was_refused_while_it_waited_is_not_obeyed_when_it_starts(line: Path) -> None:
    a, b = job(line / "a", "obeys"), job(line / "b", "obeys")
    queue.enqueue(a, cpu=True)
    wait_for(lambda: trains(a), a)
    queue.enqueue(b, cpu=True)
    refused = send(b, "pause")

    def answers() -> list[tuple[str, bool, str]]:
        events = EventReader(b / "events.jsonl").read()
        return [(e.id, e.ok, e.note) for e in events if isinstance(e, Control)]

    wait_for(answers, b)
    stop_now(a)
    wait_for(lambda: trains(b), b)
    stop = send(b, "stop")
    wait_for(lambda: status(b).state == "cancelled", b)
    assert answers() == [(refused.id, False, "it waits for its turn"), (stop.id, True, "")]


def test_a_resumed_job_keeps_its_memory_taken_until_it_has_trained_again(line: Path) -> None:
    a, stays = job(line / "a", "obeys"), line / "stays"
    stays.write_text("#!/bin/sh\nexec sleep 600\n")
    stays.chmod(0o755)
    writer = EventWriter(a / "events.jsonl")
    writer.emit(Metrics(step=40, values={"loss": 1.0}))
    writer.close()
    # A worker that is at its imports for long.
    queue.enqueue(a, cpu=True, python=str(stays))
    wait_for(lambda: [p.place for p in queue.line()] == [0], a)
    (path,) = (line / "queue").glob("*.json")
    assert json.loads(path.read_bytes())["settled"] is False
    writer = EventWriter(a / "events.jsonl")
    writer.emit(Metrics(step=41, values={"loss": 1.0}))
    writer.close()
    assert queue.line()
    assert json.loads(path.read_bytes())["settled"] is True


def test_on_a_disk_that_locks_alone_only_what_may_be_written_a_ticket_still_waits(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = job(line / "a", "obeys"), job(line / "b", "obeys")
    queue.enqueue(a, cpu=True)
    wait_for(lambda: trains(a), a)
    queue.enqueue(b, cpu=True)
    flock = fcntl.flock

    def as_on_nfs(file: TextIOWrapper, how: int) -> None:
        if how & fcntl.LOCK_EX and not file.writable():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", as_on_nfs)
    assert [(p.folder.name, p.place) for p in queue.line()] == [("a", 0), ("b", 1)]


def test_a_queue_that_is_held_up_is_said_and_hangs_nobody(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PATIENCE", 0.1)
    with deciding(), pytest.raises(BadInput, match="the queue is held up"):
        queue.line()
    assert queue.line() == []


def test_a_job_whose_python_is_not_there_fails_and_the_line_moves_on(line: Path) -> None:
    a, b = job(line / "a", "obeys"), job(line / "b", "obeys")
    queue.enqueue(a, cpu=True, python="/nowhere/python")
    wait_for(lambda: status(a).state == "failed", a)
    assert "can't start the worker" in status(a).message
    queue.enqueue(b, cpu=True)
    wait_for(lambda: trains(b), b)


# The waiting process as it is, on a machine whose libnvidia-ml is the telemetry tests' own: how
# much of each card others hold stands in a file.
WAITS = """
import json, sys
from pathlib import Path
import msgspec
sys.path.insert(0, sys.argv[4])
from tests.monitor.fake_nvml import Card, FakeLibrary, library
from tuiwb.jobs import waiter
from tuiwb.jobs.turns import Ticket
from tuiwb.monitor import nvml, wait_turn
nvml.foreign_pids = lambda: False
cards = [Card(uuid="GPU-x"), Card(uuid="GPU-y")]
def sample():
    for card, used in zip(cards, json.loads(Path(sys.argv[3]).read_text())):
        card.used = used << 30
    return wait_turn.hardware()
ticket = msgspec.json.decode(sys.argv[2], type=Ticket)
with library(FakeLibrary(cards)):
    sys.exit(waiter.wait(Path(sys.argv[1]), ticket, sys.executable, sample, every=0.05))
"""


def show(line: Path, *used: int) -> None:
    """Let that many GiB of each card be used."""
    beside = line / "gpus.new"
    beside.write_text(json.dumps(used))
    beside.replace(line / "gpus.json")


def waits(line: Path, mine: Ticket, **environment: str) -> "subprocess.Popen[bytes]":
    """The waiting process of the job that a ticket is named after."""
    folder, checkout = line / mine.name, str(Path(__file__).parents[2])
    mine.folder = str(folder)
    figures = str(line / "gpus.json")
    command = [
        sys.executable,
        "-c",
        WAITS,
        str(folder),
        msgspec.json.encode(mine).decode(),
        figures,
        checkout,
    ]
    return subprocess.Popen(command, env={**os.environ, **environment})


def test_nobody_waits_behind_a_job_that_may_not_use_the_gpu_that_is_free(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    a, b = job(line / "a", "obeys"), job(line / "b", "obeys")
    show(line, 79, 3)
    first = waits(line, ticket("a", 14, 1), CUDA_VISIBLE_DEVICES="0")
    wait_for(lambda: status(a).phase.startswith("waiting for GPU 0"), a)
    second = waits(line, ticket("b", 14, 2))
    wait_for(lambda: trains(b), b)
    assert status(a).state == "queued"
    send(a, "stop")
    assert (first.wait(180), second.wait(180)) == (0, 0)


def test_a_job_starts_on_the_gpu_whose_memory_comes_free(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    a = job(line / "a", "obeys")
    show(line, 79, 76)
    waiter = waits(line, ticket("a", 14))
    phase = "waiting for a GPU: 14.0 GiB needed, 3.1 GiB free at most (GPU 1); 1st in line"
    wait_for(lambda: status(a).phase == phase, a)
    show(line, 79, 3)
    wait_for(lambda: trains(a), a)
    assert waiter.wait(180) == 0
    identity = process.read(a)
    assert identity is not None
    environment = Path(f"/proc/{identity.pid}/environ").read_bytes().split(b"\0")
    assert b"CUDA_VISIBLE_DEVICES=GPU-y" in environment
    kept = json.loads((line / "queue" / "a.json").read_bytes())
    assert (kept["gpu"], kept["started"]["pid"]) == ("GPU-y", identity.pid)
