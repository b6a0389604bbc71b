"""A long log read by two processes says what it says to one, whatever becomes of the other."""

import os
import select
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.jobs.event_strategies import logs
from tests.jobs.test_blocks import plainly, same
from tests.jobs.test_standing import expected, long_events, told, write
from tuiwb.jobs import blocks, helper, standing
from tuiwb.jobs.blocks import Block, BlockDecoder
from tuiwb.jobs.events import AnyEvent, Log, Metrics, encode
from tuiwb.jobs.folder import EVENTS, create
from tuiwb.jobs.helper import Helper
from tuiwb.jobs.log_file import LogFile
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
    monkeypatch.setattr(helper, "PART", PART)
    monkeypatch.setattr(helper, "worth_it", lambda: True)
    monkeypatch.setattr(helper, "PATIENCE", 600.0)  # however little time the machine gives it
    create(tmp_path / "run", "train", {})
    return tmp_path / "run"


class Reading:
    """A job read on by two processes; `helped` counts the blocks that the other one made."""

    def __init__(self, job: Path) -> None:
        self.standing = Standing(job, whole=True, alone=False)
        self.steps: list[float] = []
        self.helped = 0

    def poll(self) -> None:
        self.standing.poll(0.01, self._take)

    def until_helped(self) -> None:
        """Read on until the other process has orders."""
        while (other := self.standing._helper) is None:
            self.poll()
        while not other._ready:
            assert not other.over
            select.select([other._fd], [], [], 20.0)
            other.order(self.standing.log.offset)
        assert other.next_part is not None

    def until_decoded(self) -> None:
        """Wait until what the other process was told to do next has come from it."""
        other = self.standing._helper
        while other is not None and other.next_part is not None and not other._come:
            assert not other._ended
            select.select([other._fd], [], [], 20.0)
            other._receive()

    def to_the_end(self, *, beside: bool = False) -> None:
        """Read all; `beside` the other process, however little time the machine gives it."""
        self.poll()
        while not self.standing.exact:
            if beside:
                self.until_decoded()
            self.poll()

    @property
    def process(self) -> int | None:
        """The other process, while there is one."""
        helper = self.standing._helper
        return helper._process.pid if helper is not None and helper._process is not None else None

    def _take(self, block: Block | list[AnyEvent]) -> None:
        if isinstance(block, Block):
            self.steps += block.steps.tolist()
            self.helped += not block.times.flags.writeable  # unpacked from what was sent
        else:
            self.steps += [e.step for e in block if isinstance(e, Metrics)]


def steps_of(log: bytes) -> list[float]:
    return [e.step for e in plainly(log) if isinstance(e, Metrics)]


def test_two_processes_read_what_one_reads(job: Path, long_log: bytes) -> None:
    reading = Reading(write(job, long_log))
    reading.until_helped()
    reading.to_the_end(beside=True)
    assert reading.helped > 10
    assert reading.steps == steps_of(long_log)
    assert same(told(reading.standing.state), told(expected(long_log)))
    reading.poll()
    assert reading.process is None


def test_torn_broken_and_endless_lines_are_passed_over_by_both(job: Path, long_log: bytes) -> None:
    lines = long_log.splitlines(keepends=True)
    for place in range(0, len(lines), 701):
        lines[place] = lines[place][: place % 90] + b"\n"
    lines[9000] = encode(Log(t=1.0, message="x" * (3 * PART)))
    lines[20_000] = b"x" * (5 * PART) + b"\n"
    log = b"".join(lines)
    reading = Reading(write(job, log))
    reading.until_helped()
    reading.to_the_end(beside=True)
    assert reading.helped > 20
    assert reading.steps == steps_of(log)
    assert same(told(reading.standing.state), told(expected(log)))


def test_a_part_of_few_lines_is_left_to_the_reader_and_the_next_ones_are_not(
    job: Path, long_log: bytes
) -> None:
    before = long_log[: long_log.index(b"\n", 2 * PART) + 1]
    begin = 4 * PART - 2000  # of the first part, for a reader at 0: where the long line ends
    log = before.ljust(begin - 1, b"x") + b"\n" + long_log[len(before) :]
    write(job, log)
    about = (job / EVENTS).stat()
    other = Helper(job / EVENTS, about.st_ino, len(log))
    reading, taken = LogFile(job / EVENTS), 0
    left: list[int] = []
    other.order(0)
    while not other.over:
        if (part := other.next_part) is None:
            select.select([other._fd], [], [], 20.0)
        elif found := other.take(20.0):
            reading.skip(found[0])
            taken += 1
        elif other.next_part != part:
            left.append(part)
        other.order(reading.offset)
    assert left == [begin]
    assert taken > 20


def test_what_is_added_while_two_processes_read_is_read_too(job: Path, long_log: bytes) -> None:
    reading = Reading(write(job, long_log))
    reading.until_helped()
    later = b"".join(encode(Metrics(t=1e5, step=n)) for n in range(50_000, 53_000))
    torn = later[:-9]
    reading.poll()
    write(job, torn, "ab")
    reading.to_the_end()
    assert reading.steps == steps_of(long_log + torn)
    write(job, later[-9:], "ab")
    reading.to_the_end()
    assert reading.steps == steps_of(long_log + later)


def test_a_second_process_that_never_starts_costs_nothing(
    job: Path, long_log: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "MODULE", "tuiwb.jobs.no_such_module")
    reading = Reading(write(job, long_log))
    reading.to_the_end()
    assert reading.helped == 0
    assert reading.steps == steps_of(long_log)


def test_the_other_process_may_die_at_any_time(job: Path, long_log: bytes) -> None:
    reading = Reading(write(job, long_log))
    reading.until_helped()
    while not reading.helped:
        reading.until_decoded()
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
    reading.until_helped()
    assert reading.process is not None
    os.kill(reading.process, signal.SIGSTOP)
    reading.to_the_end()
    assert reading.steps == steps_of(long_log)


@pytest.mark.parametrize("in_place", [False, True])
def test_another_log_put_in_its_place_meanwhile_is_read_from_its_beginning(
    job: Path, long_log: bytes, in_place: bool
) -> None:
    reading = Reading(write(job, long_log))
    reading.until_helped()
    reading.poll()
    short = b"".join(encode(event) for event in long_events(300))
    if in_place:
        write(job, short)
    else:
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
