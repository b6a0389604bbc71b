"""A long log read by two processes says what it says to one, whatever becomes of the other."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.jobs.event_strategies import logs
from tests.jobs.test_standing import expected, long_events, told, write
from tuiwb.jobs import blocks, helper, standing
from tuiwb.jobs.blocks import Block, BlockDecoder
from tuiwb.jobs.events import AnyEvent, Metrics, decode, encode
from tuiwb.jobs.folder import EVENTS, create
from tuiwb.jobs.packed_block import pack, unpack
from tuiwb.jobs.standing import Standing

PART = 64 << 10


@pytest.fixture(scope="module")
def long_log() -> bytes:
    return b"".join(encode(event) for event in long_events())


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(standing, "WORTH_HELP", 1)
    monkeypatch.setattr(standing, "AT_ONCE", PART)
    monkeypatch.setattr(standing, "READ", PART)
    monkeypatch.setattr(helper, "FIRST", PART)
    monkeypatch.setattr(helper, "PART", PART)
    monkeypatch.setattr(helper, "worth_it", lambda: True)
    create(tmp_path / "run", "train", {})
    return tmp_path / "run"


class Reading:
    """A job read on by two processes; `helped` counts the blocks that the other one made."""

    def __init__(self, job: Path) -> None:
        self.standing = Standing(job, whole=True, alone=False)
        self.steps: list[float] = []

    def poll(self) -> None:
        self.standing.poll(0.01, self._take)

    def to_the_end(self) -> None:
        self.poll()
        while not self.standing.exact:
            self.poll()

    @property
    def process(self) -> int | None:
        """The other process, while there is one."""
        helper = self.standing._helper
        return helper._process.pid if helper is not None and helper._process is not None else None

    def _take(self, block: Block | list[AnyEvent]) -> None:
        if isinstance(block, Block):
            self.steps += block.steps.tolist()
        else:
            self.steps += [e.step for e in block if isinstance(e, Metrics)]


def steps_of(log: bytes) -> list[float]:
    events = (decode(line) for line in log.split(b"\n") if line)
    return [e.step for e in events if isinstance(e, Metrics)]


def test_two_processes_read_what_one_reads(job: Path, long_log: bytes) -> None:
    reading = Reading(write(job, long_log))
    helped = 0
    reading.poll()
    while not reading.standing.exact:
        if reading.standing._helper is not None:
            left = len(reading.standing._helper._parts)
            reading.poll()
            after = reading.standing._helper
            helped += left - (len(after._parts) if after is not None else 0)
        else:
            reading.poll()
    assert helped > 10
    assert reading.steps == steps_of(long_log)
    assert told(reading.standing.state) == told(expected(long_log))


def test_the_other_process_may_die_at_any_time(job: Path, long_log: bytes) -> None:
    reading = Reading(write(job, long_log))
    while reading.process is None:
        reading.poll()
    while len(reading.steps) < 5000:
        reading.poll()
    assert reading.process is not None
    os.kill(reading.process, signal.SIGKILL)
    reading.to_the_end()
    assert reading.steps == steps_of(long_log)


def test_the_other_process_may_fall_silent(
    job: Path, long_log: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "PATIENCE", 0.2)
    reading = Reading(write(job, long_log))
    while reading.process is None:
        reading.poll()
    os.kill(reading.process, signal.SIGSTOP)
    reading.to_the_end()
    assert reading.steps == steps_of(long_log)


def test_another_log_put_in_its_place_meanwhile_is_read_from_its_beginning(
    job: Path, long_log: bytes
) -> None:
    reading = Reading(write(job, long_log))
    while reading.process is None:
        reading.poll()
    short = b"".join(encode(event) for event in long_events(300))
    (job / "new").write_bytes(short)
    (job / "new").rename(job / EVENTS)
    reading.steps.clear()
    reading.to_the_end()
    assert reading.standing._helper is None
    assert reading.standing.state.step == 300
    assert reading.steps[-301:] == steps_of(short)


@settings(deadline=None)
@given(logs)
def test_a_block_is_the_same_on_the_other_side(log: bytes) -> None:
    before, blocks.SMALL = blocks.SMALL, 0
    try:
        block = BlockDecoder().decode(log)
    finally:
        blocks.SMALL = before
    if isinstance(block, list):
        return
    again = unpack(pack(block))
    assert repr(again.others) == repr(block.others)
    for name in ("times", "places", "steps", "epochs", "totals"):
        assert repr(getattr(again, name).tolist()) == repr(getattr(block, name).tolist())
    assert [(g.names, g.rows.tolist(), repr(g.values.tolist())) for g in again.groups] == [
        (g.names, g.rows.tolist(), repr(g.values.tolist())) for g in block.groups
    ]
