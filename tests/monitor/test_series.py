"""Series of a run: however its log is cut, they are those of its events one by one."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.event_strategies import logs
from tests.jobs.test_blocks import plainly
from tuiwb.jobs import blocks
from tuiwb.jobs.blocks import BlockDecoder
from tuiwb.jobs.events import Alert, Artifact, Device, Gpu, Log, Metrics
from tuiwb.monitor.clock import DAY, Clock
from tuiwb.monitor.columns import Column
from tuiwb.monitor.series import RunSeries
from tuiwb.monitor.series_file import SERIES, load_series, save_series
from tuiwb.monitor.thinned import MOST, DeviceHistory


def look_of(series: RunSeries) -> str:
    """All that can be seen of a run's series."""
    axes = ("step", "tokens", "epoch", "time")
    return repr(
        [
            [
                (n, series.get(n).values.tolist(), [series.x(n, a).tolist() for a in axes])
                for n in series.names()
            ],
            series.checkpoints,
            series.evaluations,
            series.alerts,
            series.device_samples(),
        ]
    )


def one_by_one(log: bytes) -> RunSeries:
    series = RunSeries()
    for event in plainly(log):
        series.add([event])
    return series


def in_blocks(log: bytes, cuts: list[int], series: RunSeries | None = None) -> RunSeries:
    series, decoder = series or RunSeries(), BlockDecoder()
    ends = sorted({log.rfind(b"\n", 0, cut) + 1 for cut in cuts} | {len(log)})
    for start, end in zip([0, *ends], ends, strict=False):
        series.add_block(decoder.decode(log[start:end]))
    return series


@pytest.fixture(autouse=True)
def small_blocks_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SMALL", 0)


@settings(deadline=None, max_examples=50)
@given(logs, st.lists(st.integers(0, 3000), max_size=4))
def test_series_read_in_any_blocks_are_those_of_the_events_one_by_one(
    log: bytes, cuts: list[int]
) -> None:
    assert look_of(in_blocks(log, cuts)) == look_of(one_by_one(log))


@settings(deadline=None, max_examples=50)
@given(logs, logs)
def test_series_from_their_file_go_on_as_if_nothing_had_been(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes
) -> None:
    from tuiwb.jobs.state import JobState

    log = tmp_path_factory.mktemp("run") / "events.jsonl"
    log.write_bytes(before)
    assert save_series(log, len(before), one_by_one(before), JobState(name="a", kind="train"))
    log.write_bytes(before + after)
    loaded = load_series(log)
    assert loaded is not None
    assert loaded[1].stand.offset == len(before)
    assert look_of(in_blocks(after, [], loaded[0])) == look_of(one_by_one(before + after))


@settings(deadline=None, max_examples=50)
@given(logs)
def test_steps_rise_time_never_falls_and_x_is_as_long_as_the_values(log: bytes) -> None:
    series = one_by_one(log)
    for name in series.names():
        assert (np.diff(series.x(name, "step")) > 0).all()
        assert (np.diff(series.x(name, "time")) >= 0).all()
        for axis in ("step", "tokens", "epoch", "time"):
            assert len(series.x(name, axis)) == len(series.get(name))


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "text", "longer"])
def test_a_damaged_file_of_curves_counts_as_none(tmp_path: Path, harm: str) -> None:
    from tuiwb.jobs.state import JobState

    log = tmp_path / "events.jsonl"
    log.write_bytes(b"x" * 10)
    series = RunSeries()
    series.add([Metrics(t=1.0, step=n, values={"loss": 1.0}) for n in range(20)])
    save_series(log, 10, series, JobState(name="a", kind="train"))
    kept = tmp_path / SERIES
    assert load_series(log) is not None
    data = kept.read_bytes()
    kept.write_bytes(
        {
            "cut": data[:-8],
            "flipped": data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],
            "emptied": b"",
            "text": b"tuiwb series 1\n" + b"hello" * 9,
            "longer": data + b"\0" * 8,
        }[harm]
    )
    assert load_series(log) is None


def test_names_logged_together_share_their_steps_until_they_part() -> None:
    series = RunSeries()
    series.add([Metrics(t=1.0, step=n, values={"a": 1.0, "b": 2.0}) for n in (1, 2)])
    assert series.get("a").steps.base is series.get("b").steps.base
    series.add([Metrics(t=2.0, step=3, values={"a": 3.0})])
    assert series.get("a").steps.tolist() == [1, 2, 3]
    assert series.get("b").steps.tolist() == [1, 2]


def test_what_is_done_again_replaces_what_was_and_says_that_it_is_no_append() -> None:
    series = RunSeries()
    series.add([Metrics(t=1.0, step=n, values={"loss": float(n)}) for n in (1, 2, 3)])
    loss = series.get("loss")
    before = loss.generation
    series.add([Metrics(t=2.0, step=4, values={"loss": 4.0})])
    assert loss.generation == before
    series.add([Metrics(t=3.0, step=2, values={"loss": 9.0})])
    assert loss.generation > before
    assert (loss.steps.tolist(), loss.values.tolist()) == ([1, 2], [1, 9])


def test_tokens_are_the_trainers_count_at_that_step() -> None:
    series = RunSeries()
    series.add(
        [
            Metrics(t=1.0, step=0, values={"eval_loss": 1.0}),
            Metrics(t=2.0, step=5, values={"loss": 1.0, "num_tokens": 500.0}),
            Metrics(t=3.0, step=5, values={"eval_loss": 0.5}),
        ]
    )
    assert series.x("loss", "tokens").tolist() == [500]
    assert repr(series.x("eval_loss", "tokens").tolist()) == "[nan, 500.0]"
    assert series.evaluations == [0, 5]
    assert len(series.x("unknown", "tokens")) == 0


def test_a_clock_that_is_set_neither_turns_time_back_nor_makes_it_leap() -> None:
    clock = Clock()
    stamps = [100.0, 110.0, 50.0, 60.0, 60.0 + 30 * 365 * DAY, 70.0, 75.0]
    assert [clock.at(t) for t in stamps] == [0, 10, 10, 20, 20, 20, 25]
    assert Clock().at_all(np.array(stamps)).tolist() == [0, 10, 10, 20, 20, 20, 25]


def test_the_time_left_survives_pauses_and_a_clock_that_is_set() -> None:
    series = RunSeries()
    t, events = 1.7e9, []
    for step in range(1, 41):
        t += {30: 5e8, 35: -4e8, 38: 3600.0}.get(step, 2.0)
        events.append(Metrics(t=t, step=step, values={"loss": 1.0}))
    series.add(events)
    left = series.seconds_left(140)
    assert left is not None
    assert left == pytest.approx(200, rel=0.15)
    assert RunSeries().seconds_left(10) is None


def test_the_hardwares_history_is_bounded_keeps_its_peak_and_ends_with_the_newest() -> None:
    series = RunSeries()
    for n in range(MOST * 9):
        used = 10**9 if n == 1234 else n
        series.add([Device(t=float(n), gpus=[Gpu(index=0, memory_used=used)])])
        assert len(series.devices) <= MOST
    devices = series.device_samples()
    assert list(series.devices.times) == [d.t for d in devices]
    assert devices[-1].t == MOST * 9 - 1
    assert [d.t for d in devices] == sorted(d.t for d in devices)
    assert any(d.t == 1234 for d in devices)
    assert devices[0].t < 20


def test_each_change_is_told_by_the_version() -> None:
    series = RunSeries()
    versions = [series.version]
    for event in (
        Metrics(t=1.0, step=1, values={"loss": math.nan}),
        Artifact(t=1.0, kind="checkpoint", path="c", step=1),
        Alert(t=1.0, rule="r", severity="note", evidence="e"),
        Device(t=1.0),
    ):
        assert series.add([event])
        versions.append(series.version)
    assert versions == sorted(set(versions))
    assert not series.add([Log(t=1.0, message="m")])
    assert series.version == versions[-1]
    assert series.checkpoints == [1]
    assert len(series.alerts) == 1


def test_a_column_keeps_its_values_however_far_it_grows() -> None:
    column, values = Column(), np.arange(300_000.0)
    for value in values[:9000]:
        column.put(value)
    for start in range(9000, len(values), 7001):
        before = column.view()[:5].copy()
        column.extend(values[start : start + 7001])
        assert (column.view()[:5] == before).all()
    assert (column.view() == values).all()


def test_samples_of_the_hardware_are_thinned_alike_one_by_one_and_many_at_a_time() -> None:
    used = [(n * 7919) % 1013 for n in range(3000)]
    samples = [Device(t=float(n), gpus=[Gpu(index=0, memory_used=u)]) for n, u in enumerate(used)]
    one, many = DeviceHistory(most=50), DeviceHistory(most=50)
    for sample in samples:
        one.add(sample)
    for start in range(0, len(samples), 37):
        many.add(*samples[start : start + 37])
    assert one.samples == many.samples
    assert (one.count, one.stride) == (many.count, many.stride)
    assert len(one.samples) <= 50
    assert max(used) == max(s.gpus[0].memory_used or 0 for s in one.samples)
