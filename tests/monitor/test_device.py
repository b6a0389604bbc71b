"""Telemetry: the host for real; GPUs through a stand-in with NVML's real call shapes."""

import sys
import types
from pathlib import Path

import psutil
import pytest

from tuiwb.app.screens.train import device_line
from tuiwb.jobs.events import Device, Host, decode, encode
from tuiwb.monitor.device import sample
from tuiwb.monitor.series import RunSeries


class Refused(Exception):
    """What NVML raises for a question a GPU does not answer."""


def fake_nvml(gpus: int, pid: int, *, lost: int | None = None) -> types.ModuleType:
    nvml = types.ModuleType("pynvml")
    gib = 1 << 30

    def handle(index: int) -> int:
        if index == lost:
            raise Refused("GPU is lost")
        return index

    def power(index: int) -> int:
        if index == 1:
            raise Refused("not supported")
        return 250_500

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: gpus,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetName": lambda h: b"NVIDIA H100" if h else "NVIDIA H100",
        "nvmlDeviceGetMemoryInfo": lambda h: types.SimpleNamespace(total=80 * gib, used=20 * gib),
        "nvmlDeviceGetUtilizationRates": lambda h: types.SimpleNamespace(gpu=97, memory=40),
        "nvmlDeviceGetTemperature": lambda h, kind: 61,
        "nvmlDeviceGetPowerUsage": power,
        "nvmlDeviceGetComputeRunningProcesses": lambda h: [
            types.SimpleNamespace(pid=pid, usedGpuMemory=18 * gib),
            types.SimpleNamespace(pid=pid + 1, usedGpuMemory=2 * gib),
            types.SimpleNamespace(pid=pid, usedGpuMemory=None),
        ],
    }
    nvml.NVML_TEMPERATURE_GPU = 0  # type: ignore[attr-defined]
    for name, answer in answers.items():
        setattr(nvml, name, answer)
    return nvml


def test_the_host_is_measured_and_this_process_with_it(tmp_path: Path) -> None:
    host = sample(psutil.Process().pid, tmp_path).host
    assert host is not None
    assert 0 < host.memory_used < host.memory_total
    assert host.job_memory is not None
    assert host.job_memory > 1 << 20
    assert host.disk_free is not None


def test_a_process_that_is_gone_leaves_the_rest_of_the_sample(tmp_path: Path) -> None:
    host = sample(2**22 + 1, tmp_path).host
    assert host is not None
    assert host.job_memory is None


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_each_gpu_is_one_entry_with_this_jobs_share(
    gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(gpus, 42))
    found = sample(42, tmp_path).gpus
    assert [gpu.index for gpu in found] == list(range(gpus))
    for gpu in found:
        assert gpu.name == "NVIDIA H100"
        assert gpu.memory_job == 18 << 30
        assert gpu.power == (None if gpu.index == 1 else 250.5)


def test_a_gpu_that_fell_off_the_bus_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(3, 42, lost=1))
    found = sample(42, tmp_path).gpus
    assert [gpu.name for gpu in found] == ["NVIDIA H100", "not answering", "NVIDIA H100"]


def test_no_driver_means_no_gpus_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = fake_nvml(1, 42)

    def refuse() -> None:
        raise Refused("driver not loaded")

    nvml.nvmlInit = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert sample(42, tmp_path).gpus == []


def test_a_sample_survives_the_event_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(2, 42))
    device = sample(42, tmp_path)
    assert decode(encode(device)) == device


def test_the_line_says_no_gpu_and_shows_the_host_instead() -> None:
    line = str(device_line(Device(host=Host(cpu=50, memory_used=1 << 30, memory_total=4 << 30))))
    assert line.startswith("no GPU")
    assert "memory" in line
    assert "1.0 GiB" in line


def test_time_left_follows_the_pace_of_the_last_steps() -> None:
    from tuiwb.jobs.events import Metrics

    series = RunSeries()
    series.add(Metrics(step=s, t=100.0 + 2 * s, values={"loss": 1.0}) for s in range(1, 11))
    assert series.seconds_left(20) == pytest.approx(20.0)
    assert RunSeries().seconds_left(20) is None


def test_a_resumed_run_takes_back_the_steps_it_does_again() -> None:
    from tuiwb.jobs.events import Metrics

    series = RunSeries()
    series.add(Metrics(step=s, t=s, values={"loss": 1.0}) for s in range(1, 9))
    series.add(Metrics(step=s, t=100 + s, values={"loss": 2.0}) for s in (5, 6))
    assert list(series.get("loss").steps) == [1, 2, 3, 4, 5, 6]
    assert list(series.get("loss").values) == [1, 1, 1, 1, 2, 2]
