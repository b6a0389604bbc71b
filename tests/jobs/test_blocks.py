"""Blocks of lines say just what the lines say one by one."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.event_strategies import logs
from tuiwb.jobs import blocks
from tuiwb.jobs.blocks import Block, BlockDecoder
from tuiwb.jobs.bulk_fold import fold_block
from tuiwb.jobs.events import AnyEvent, Log, Metrics, Progress, State, decode, encode
from tuiwb.jobs.state import JobState, fold


@pytest.fixture(autouse=True)
def small_blocks_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SMALL", 0)


def plainly(log: bytes) -> list[AnyEvent]:
    return [e for line in log.split(b"\n") if line and (e := decode(line)) is not None]


def same(one: JobState, other: JobState) -> bool:
    """Equal, NaN too; the pace but for the last bits."""
    paces = one.tally.pace, other.tally.pace
    if paces[0] is not None and paces[1] is not None:
        assert paces[0] == pytest.approx(paces[1], rel=1e-9, nan_ok=True)
    else:
        assert paces[0] is paces[1]
    kept = [
        msgspec.structs.replace(s, tally=msgspec.structs.replace(s.tally, pace=None))
        for s in (one, other)
    ]
    return repr(sorted(kept[0].metrics.items())) == repr(sorted(kept[1].metrics.items())) and repr(
        msgspec.structs.replace(kept[0], metrics={})
    ) == repr(msgspec.structs.replace(kept[1], metrics={}))


@settings(deadline=None)
@given(logs, st.lists(st.integers(0, 3000), max_size=4))
def test_a_log_folds_to_the_same_state_in_blocks_as_event_by_event(
    log: bytes, cuts: list[int]
) -> None:
    decoder, state = BlockDecoder(), JobState(name="a", kind="train")
    ends = sorted({log.rfind(b"\n", 0, cut) + 1 for cut in cuts} | {len(log)})
    for start, end in zip([0, *ends], ends, strict=False):
        fold_block(state, decoder.decode(log[start:end]))
    assert same(state, fold(JobState(name="a", kind="train"), plainly(log)))


@settings(deadline=None)
@given(logs)
def test_a_block_holds_every_event_once_in_order(log: bytes) -> None:
    block = BlockDecoder().decode(log)
    events = plainly(log)
    if isinstance(block, list):
        assert [type(e) for e in block] == [type(e) for e in events]
        return
    assert block.times.tolist() == [e.t for e in events]
    progress = [n for n, e in enumerate(events) if isinstance(e, Progress)]
    in_steps = [n for n, e in enumerate(events) if isinstance(e, Progress) and e.in_steps]
    assert repr(block.others) == repr(
        [
            (n, e)
            for n, e in enumerate(events)
            if n not in progress or n in (*progress[-1:], *in_steps[-1:])
            if not isinstance(e, Metrics)
        ]
    )
    found: list[tuple[int, str, str]] = []
    for group in block.groups:
        for row, values in zip(group.rows.tolist(), group.values.tolist(), strict=True):
            place = int(block.places[row])
            found += [(place, n, repr(v)) for n, v in zip(group.names, values, strict=True)]
    assert sorted(found) == sorted(
        (n, name, repr(float(value)))
        for n, e in enumerate(events)
        if isinstance(e, Metrics)
        for name, value in e.values.items()
    )


def test_one_broken_line_in_a_block_costs_that_line_only() -> None:
    good = [encode(Metrics(step=n, t=1.0, values={"loss": 1.0})) for n in range(50)]
    block = BlockDecoder().decode(b"".join([*good[:20], b'{"type":"log","mess\n', *good[20:]]))
    assert isinstance(block, Block)
    assert block.steps.tolist() == list(range(50))


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (b'{"type":"device","host":\n{"cpu":1,"memory_used":1,"memory_total":1}}\n', 0),
        (b'{"type":"log","message":"a"} {"type":"log","message":"b"}\n', 0),
        (b'\n  {"type":"log","message":"a"} \r\n', 1),
        (b'{"v":1,"type":"log","message":"a"}\n', 1),
    ],
    ids=["one event on two lines", "two on one", "blanks", "another order"],
)
def test_an_event_is_one_line_wherever_it_stands(odd: bytes, said: int) -> None:
    good = [encode(Metrics(step=n, t=1.0, values={"loss": 1.0})) for n in range(50)]
    for place in (0, 1, 25, 50):
        block = BlockDecoder().decode(b"".join([*good[:place], odd, *good[place:]]))
        assert isinstance(block, Block)
        assert (len(block.others), block.steps.tolist()) == (said, list(range(50)))


def test_a_pace_over_many_lines_is_that_of_line_by_line() -> None:
    events: list[AnyEvent] = [State(t=0.0, state="running", phase="training")]
    events += [Metrics(t=n + n % 7 / 9, step=n, values={"loss": 1.0}) for n in range(1, 2000)]
    log = b"".join(encode(event) for event in events)
    decoder, state = BlockDecoder(), JobState(name="a", kind="train")
    cut = log.find(b"\n", 900) + 1
    for part in (log[:cut], log[cut:]):
        fold_block(state, decoder.decode(part))
    assert same(state, fold(JobState(name="a", kind="train"), events))


def test_values_that_are_not_finite_keep_their_kind_and_are_told_from_names_not_logged() -> None:
    lines = [
        encode(Metrics(step=1, t=1.0, values={"loss": math.nan, "a": math.inf})),
        encode(Metrics(step=2, t=1.0, values={"b": -math.inf})),
        b'{"type":"metrics","step":3,"values":{"b":null}}\n',
    ]
    block = BlockDecoder().decode(b"".join(lines))
    assert isinstance(block, Block)
    assert [(g.names, repr(g.values.tolist())) for g in block.groups] == [
        (("loss", "a"), "[[nan, inf]]"),
        (("b",), "[[-inf], [nan]]"),
    ]


def test_more_names_than_columns_are_worth_still_come_as_events() -> None:
    lines = [
        encode(Metrics(step=n, t=1.0, values={f"expert_{n}": 1.0}))
        for n in range(blocks.MOST_NAMES + 5)
    ]
    decoder = BlockDecoder()
    block = decoder.decode(b"".join(lines))
    assert isinstance(block, list)
    assert len(block) == len(lines)
    assert isinstance(decoder.decode(encode(Log(message="after"))), Block)
