"""What of the samples reaches the event log, torch's figures, and the alert before memory ends."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.monitor.conftest import Driver
from tests.monitor.fake_nvml import Card, Held
from tuiwb import jobs
from tuiwb.jobs.events import Alert, Device, EventReader, Gpu, GpuProcess, Host, TorchMemory, encode
from tuiwb.jobs.run import JobContext
from tuiwb.monitor import device as device_module
from tuiwb.monitor.nvml import Nvml
from tuiwb.train.device_watch import MemoryAlerts, Thinned, noticed, torch_memory, watch_device

GIB = 1 << 30
HOST = Host(cpu=10, memory_used=40 * GIB, memory_total=250 * GIB, disk_free=GIB, disk_total=GIB)


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def a_gpu(index: int = 0, *, mine: bool = True, **how: Any) -> Gpu:
    figures: dict[str, Any] = {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": f"GPU-0f3a6f8e-1111-2222-3333-44445555666{index}",
        "visible": mine,
        "memory_used": 44 * GIB,
        "memory_total": 80 * GIB,
        "memory_reserved": 565 << 20,
        "memory_job": 41 * GIB if mine else None,
        "utilisation": 97.0,
        "memory_utilisation": 41.0,
        "temperature": 61.0,
        "power": 412.34,
        "power_limit": 700.0,
        "clock_sm": 1755.0,
        "clock_sm_most": 1980.0,
        "clock_memory": 2619.0,
        "ecc_corrected": 0,
        "ecc_uncorrected": 0,
        "pcie_generation": 5,
        "pcie_width": 16,
        "pcie_sent": 1.2e6,
        "pcie_received": 3.4e8,
        "processes": [
            GpuProcess(pid=4211, user="ana", name="python -m tuiwb.jobs.run", memory=41 * GIB),
            GpuProcess(pid=991, user="bob", name="python serve.py", memory=3 * GIB),
        ],
    }
    return Gpu(index=index, **{**figures, **how})


def test_a_steady_run_writes_a_line_every_ten_seconds() -> None:
    thinned = Thinned()
    looks = [Device(t=1000 + 2.0 * n, gpus=[a_gpu()], host=HOST) for n in range(31)]
    written = [line.t for look in looks if (line := thinned.take(look))]
    assert written == [1000, 1010, 1020, 1030, 1040, 1050, 1060]


@pytest.mark.parametrize(
    "change",
    [
        {"memory_used": 46 * GIB},
        {"throttle": ["sw thermal"]},
        {"temperature": 70.0},
        {"problem": "fell off the bus"},
        {"ecc_uncorrected": 1},
        {"processes": []},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_what_a_person_would_notice_is_written_at_once(change: dict[str, Any]) -> None:
    thinned = Thinned()
    assert thinned.take(Device(t=1000, gpus=[a_gpu()], host=HOST))
    assert thinned.take(Device(t=1002, gpus=[a_gpu(**change)], host=HOST))
    assert thinned.take(Device(t=1004, gpus=[a_gpu(**change)], host=HOST)) is None


def test_utilisation_that_jitters_is_averaged_and_writes_nothing_by_itself() -> None:
    thinned = Thinned()
    thinned.take(Device(t=1000, gpus=[a_gpu(utilisation=0.0)], host=HOST))
    busy = [100.0, 20.0, 100.0, 20.0, 60.0]
    lines = [
        thinned.take(Device(t=1002 + 2.0 * n, gpus=[a_gpu(utilisation=u)], host=HOST))
        for n, u in enumerate(busy)
    ]
    assert lines[:4] == [None] * 4
    assert lines[4] is not None
    assert lines[4].gpus[0].utilisation == 60


def test_a_new_peak_of_torchs_is_written_at_once() -> None:
    def look(t: float, peak: int) -> Device:
        torch = TorchMemory(
            index=0, allocated=GIB, reserved=9 * GIB, peak_allocated=peak, peak_reserved=9 * GIB
        )
        return Device(t=t, gpus=[a_gpu()], host=HOST, torch=[torch])

    thinned = Thinned()
    assert thinned.take(look(1000, 4 * GIB))
    assert thinned.take(look(1002, 4 * GIB)) is None
    assert thinned.take(look(1004, 5 * GIB))


def test_a_clock_that_jumps_back_does_not_silence_the_log() -> None:
    thinned = Thinned()
    thinned.take(Device(t=1000, gpus=[a_gpu()], host=HOST))
    assert thinned.take(Device(t=100, gpus=[a_gpu()], host=HOST))


def test_a_gpu_that_is_not_the_jobs_is_written_short() -> None:
    line = Thinned().take(Device(t=1, gpus=[a_gpu(), a_gpu(1, mine=False)], host=HOST))
    assert line is not None
    assert line.gpus[0].processes
    assert not line.gpus[1].processes
    assert line.gpus[1].clock_sm is None
    assert line.gpus[1].memory_used == 44 * GIB


def test_an_hour_of_eight_gpus_takes_less_than_a_megabyte_and_one_less_than_half() -> None:
    for count, most in ((1, 500_000), (8, 1_000_000)):
        thinned = Thinned()
        gpus = [a_gpu(n, mine=n == 0) for n in range(count)]
        looks = (Device(t=1e9 + 2.0 * n, gpus=gpus, host=HOST) for n in range(1800))
        lines = (line for look in looks if (line := thinned.take(look)))
        assert 100_000 < sum(len(encode(line)) for line in lines) < most


def test_nothing_noticed_between_equal_samples() -> None:
    assert not noticed(Device(gpus=[a_gpu()], host=HOST), Device(gpus=[a_gpu()], host=HOST))


def test_a_job_that_grows_is_noticed_however_large_the_machine() -> None:
    large = msgspec.structs.replace(HOST, memory_total=2048 * GIB, job_memory=44 << 20)
    grown = msgspec.structs.replace(large, job_memory=400 << 20)
    jitters = msgspec.structs.replace(large, job_memory=60 << 20)
    assert noticed(Device(host=large), Device(host=grown))
    assert not noticed(Device(host=large), Device(host=jitters))


def climbing(n: int) -> Device:
    used = int((56 + n / 6) * GIB)
    return Device(t=1e9 + 10.0 * n, gpus=[a_gpu(memory_used=used, memory_job=used)], host=HOST)


def test_an_alert_comes_before_the_card_is_full_with_a_change_that_mends_it() -> None:
    batch = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    alerts = MemoryAlerts({"training": batch})
    told = [alert for n in range(140) if (alert := alerts.take(climbing(n)))]
    assert [alert.rule for alert in told] == ["memory_low"] * len(told)
    # Once, once more after ten minutes, and at once when it gets worse.
    assert [alert.severity for alert in told] == ["warning", "warning", "critical"]
    assert told[0].change == {
        "training.per_device_train_batch_size": 4,
        "training.gradient_accumulation_steps": 4,
    }
    assert told[0].numbers["seconds"] > 300


def test_a_batch_of_one_is_helped_by_shorter_rows() -> None:
    alerts = MemoryAlerts({"training": {"per_device_train_batch_size": 1, "max_length": 2048}})
    told = next(alert for n in range(140) if (alert := alerts.take(climbing(n))))
    assert told.change == {"training.max_length": 1024}


def test_a_full_steady_card_is_told_once() -> None:
    alerts = MemoryAlerts({})
    full = [
        Device(t=1e9 + 2.0 * n, gpus=[a_gpu(memory_used=79 * GIB, memory_reserved=0)], host=HOST)
        for n in range(2000)
    ]
    told = [alert for look in full if (alert := alerts.take(look))]
    assert [alert.severity for alert in told] == ["note"]


def fake_torch(initialised: bool) -> SimpleNamespace:
    def stats(number: int) -> dict[str, int]:
        assert initialised, "asking would start CUDA"
        held = [0, 40 * GIB][number]
        return {
            "reserved_bytes.all.current": held,
            "reserved_bytes.all.peak": held + 1,
            "allocated_bytes.all.current": held // 2,
            "allocated_bytes.all.peak": held - 1,
        }

    def count() -> int:
        assert initialised, "asking would start CUDA"
        return 2

    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_initialized=lambda: initialised,
            device_count=count,
            memory_stats=stats,
            get_device_properties=lambda n: SimpleNamespace(uuid=f"{'ab'[n]}-uuid"),
        )
    )


def test_torchs_figures_are_told_by_the_drivers_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(True))  # type: ignore[arg-type]
    gpus = [Gpu(index=0), Gpu(index=3, uuid="GPU-b-uuid"), Gpu(index=5, uuid="GPU-a-uuid")]
    [torch] = torch_memory(gpus)
    assert (torch.index, torch.reserved, torch.allocated) == (3, 40 * GIB, 20 * GIB)
    assert (torch.peak_allocated, torch.peak_reserved) == (40 * GIB - 1, 40 * GIB + 1)


def test_cuda_is_never_started_by_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(False))  # type: ignore[arg-type]
    assert torch_memory([Gpu(index=0)]) == []


def test_a_torch_that_is_half_imported_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # type: ignore[arg-type]
    assert torch_memory([Gpu(index=0)]) == []


@pytest.mark.slow
def test_real_torch_without_a_gpu_gives_nothing() -> None:
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    if torch.cuda.is_initialized():
        pytest.skip("there is a GPU here")
    assert torch_memory([]) == []
    assert not torch.cuda.is_initialized()


def test_the_watch_writes_samples_and_goes_when_told(
    tmp_path: Path, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver([Card(held=[Held(1, GIB)])])
    monkeypatch.setattr(device_module, "_nvml", Nvml())
    folder = tmp_path / "run"
    jobs.create(folder, "train", {"training": {}})
    context = JobContext(folder)
    over = watch_device(context, every=0.02)
    reader = EventReader(folder / "events.jsonl")
    seen: list[Any] = []
    until(lambda: seen.extend(reader.read()) or any(isinstance(e, Device) for e in seen))
    over.set()
    device = next(e for e in seen if isinstance(e, Device))
    assert device.gpus[0].processes[0].pid == 1
    assert device.host is not None
    assert not any(isinstance(e, Alert) for e in seen)
