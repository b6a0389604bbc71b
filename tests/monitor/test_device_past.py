"""The hardware's past: kept in few bytes, and told in numbers as the samples themselves tell it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuiwb.jobs.events import Device, EventWriter, Gpu, GpuProcess, Host, Metrics, encode
from tuiwb.jobs.state import JobState
from tuiwb.monitor.device_past import DevicePast
from tuiwb.monitor.series import RunSeries
from tuiwb.monitor.series_file import SERIES, load_series, save_series
from tuiwb.monitor.thinned import DeviceHistory

GB = 10**9


def look(n: int, gpus: int = 1) -> Device:
    """The nth sample, 2 s after the one before, as the worker's watch writes it."""
    cards = [
        Gpu(
            index=index,
            name="NVIDIA H100 80GB HBM3",
            uuid=f"GPU-6f1c2a7e-90d4-4d2f-8a55-0d3f9a7f1c1{index}",
            memory_used=41 * GB + (n * 7919 + index) % 1013,
            memory_total=85 * GB,
            utilisation=None if n % 7 == 3 else float(n % 101),
            temperature=58.0 + n % 8,
            power=540.0 + n % 60,
            processes=[GpuProcess(pid=4711, user="ana", name="python", memory=41 * GB, job=True)],
        )
        for index in range(gpus)
    ]
    free = 900 * GB - n * 10**6
    host = Host(cpu=5.0, memory_used=24 * GB, memory_total=135 * GB, disk_free=free)
    return Device(t=2.0 * n, gpus=cards, host=host)


def told(past: DevicePast) -> object:
    """All that it says."""
    return list(past.times), past.span, past.shares(), past.fill_pace()


@pytest.mark.parametrize("at_once", [1, 5, 400])
def test_the_past_in_numbers_is_that_of_the_samples_however_they_came(at_once: int) -> None:
    series = RunSeries()
    for start in range(0, 2000, at_once):
        series.add([look(n, gpus=1 + n // 900) for n in range(start, start + at_once)])
        if start % 50 < at_once:
            assert told(series.devices) == told(DevicePast(series.device_samples()))
    assert len(series.devices) > 360


class BetweenTwoReads(list[bytes]):
    """What a history packed; another thread adds to the history right after it was read."""

    def __init__(self, kept: list[bytes], then: Callable[[], None]) -> None:
        super().__init__(kept)
        self._then = [then]

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        if self._then:
            self._then.pop()()
        return found


@pytest.mark.parametrize("first", [100, 718, 719, 1500])
@pytest.mark.parametrize("added", [1, 4, 400])
def test_what_is_added_while_the_past_is_read_is_told_by_the_next_look(
    first: int, added: int
) -> None:
    history = DeviceHistory()
    history.add(*(look(n) for n in range(first)))
    past = DevicePast()
    past.follow(history)
    more = [look(n) for n in range(first, first + added)]
    history.kept = BetweenTwoReads(history.kept, lambda: history.add(*more))
    past.follow(history)
    history.add(look(first + added))
    past.follow(history)
    assert told(past) == told(DevicePast(history.samples))


def test_kept_samples_are_whole_and_take_a_fifth_of_their_bytes() -> None:
    history = DeviceHistory()
    samples = [look(n) for n in range(300)]
    for sample in samples:
        history.add(sample)
    assert history.samples == samples
    assert len(history.kept) == 299
    assert sum(map(len, history.kept)) * 5 < sum(len(encode(sample)) for sample in samples)


def test_of_two_instances_that_nothing_tells_apart_the_busier_one_counts() -> None:
    twins = [Gpu(index=0, utilisation=busy, memory_used=1, memory_total=2) for busy in (30.0, 80.0)]
    past = DevicePast([Device(t=1.0, gpus=twins), Device(t=2.0, gpus=twins[::-1])])
    busy, full = past.shares()["0"]
    assert busy == [(1.0, 0.8), (2.0, 0.8)]
    assert full == [(1.0, 0.5), (2.0, 0.5)]


def test_a_gpu_that_comes_later_or_goes_has_no_past_where_it_was_not() -> None:
    first, both = look(0), look(1, gpus=2)
    past = DevicePast([first, both, first])
    came, stays = both.gpus[1].uuid, both.gpus[0].uuid
    assert [t for t, _ in past.shares()[came][0]] == [2.0]
    assert [t for t, _ in past.shares()[stays][0]] == [0.0, 2.0, 0.0]


def test_a_kept_file_whose_samples_are_damaged_counts_as_missing(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    writer = EventWriter(log)
    series = RunSeries()
    events = [Metrics(t=1.0, step=1, values={"loss": 1.0}), *(look(n) for n in range(1, 50))]
    for event in events:
        writer.emit(event)
        series.add([event])
    writer.close()
    state = JobState(name="r", kind="train", created=0.0)
    assert save_series(log, log.stat().st_size, series, state)
    kept = load_series(log)
    assert kept is not None
    assert told(kept[0].devices) == told(series.devices)
    packed = series.parts()[0].devices.kept[20]
    path = tmp_path / SERIES
    data = path.read_bytes()
    assert data.count(packed) == 1
    at = data.index(packed) + len(packed) // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert load_series(log) is None
