"""The forecast: what is left, what still grows, and what is only a full but steady card."""

from collections.abc import Callable

import pytest

from tuiwb.jobs.events import Device, Gpu, Host, TorchMemory
from tuiwb.monitor.memory import MemoryWarning, forecast, headroom

GIB = 1 << 30
CARD = 80 * GIB
ROOMY = Host(cpu=1, memory_used=10 * GIB, memory_total=100 * GIB)


def run_of(
    used: Callable[[float], float],
    minutes: float = 20,
    *,
    host: Callable[[float], Host] = lambda t: ROOMY,
    torch: Callable[[float], TorchMemory | None] = lambda t: None,
) -> list[Device]:
    """A sample every ten seconds of a run whose memory is `used` GiB at second t."""
    samples = []
    for n in range(int(minutes * 6) + 1):
        t = 10.0 * n
        bytes_used = int(used(t) * GIB)
        gpu = Gpu(index=0, memory_total=CARD, memory_used=bytes_used, memory_job=bytes_used)
        held = torch(t)
        samples.append(Device(t=1e9 + t, gpus=[gpu], host=host(t), torch=[held] if held else []))
    return samples


def severity(warning: MemoryWarning | None) -> str | None:
    return warning.severity if warning else None


def test_nothing_is_said_of_a_run_with_room() -> None:
    assert forecast([]) is None
    assert forecast(run_of(lambda t: 40)) is None


def test_a_model_that_is_just_loading_is_no_trend() -> None:
    assert forecast(run_of(lambda t: min(60, t / 2), 2)) is None


def test_stairs_that_end_on_a_plateau_are_no_trend() -> None:
    assert forecast(run_of(lambda t: 40 + min(5, t // 60) * 6)) is None


def test_a_steady_climb_says_when_the_card_is_full() -> None:
    warning = forecast(run_of(lambda t: 40 + t / 60))
    assert warning is not None
    assert warning.severity == "warning"
    assert warning.where == "GPU 0"
    assert warning.seconds == pytest.approx(20 * 60, rel=0.05)
    assert "used up in 19m" in warning.evidence
    assert "max_length" in warning.fix


def test_a_climb_that_ends_within_minutes_is_critical() -> None:
    assert severity(forecast(run_of(lambda t: 56 + t / 60))) == "critical"


def test_a_climb_that_would_take_hours_is_not_told() -> None:
    assert forecast(run_of(lambda t: 40 + t / 3600)) is None


def test_a_full_and_steady_card_is_a_note() -> None:
    warning = forecast(run_of(lambda t: 79))
    assert severity(warning) == "note"
    assert warning is not None
    assert warning.seconds is None


def test_torchs_cache_that_the_peak_never_needed_counts_as_left() -> None:
    held = TorchMemory(
        index=0,
        allocated=30 * GIB,
        reserved=78 * GIB,
        peak_allocated=60 * GIB,
        peak_reserved=78 * GIB,
    )
    assert forecast(run_of(lambda t: 79, torch=lambda t: held)) is None
    gpu = Gpu(index=0, memory_total=CARD, memory_used=79 * GIB, memory_reserved=GIB // 2)
    assert headroom(gpu, held) == 18 * GIB + GIB // 2
    assert headroom(gpu, None) == GIB // 2


def test_someone_elses_gpu_is_not_the_runs_worry() -> None:
    samples = [
        Device(t=float(t), gpus=[Gpu(index=0, memory_total=CARD, memory_used=CARD)], host=ROOMY)
        for t in range(0, 600, 10)
    ]
    assert forecast(samples) is None


def test_the_hosts_memory_is_told_before_the_kernel_kills() -> None:
    def host(t: float) -> Host:
        return Host(cpu=1, memory_used=95 * GIB, memory_total=100 * GIB)

    warning = forecast(run_of(lambda t: 40, host=host))
    assert warning is not None
    assert (warning.where, warning.severity) == ("host", "warning")
    assert "dataloader_num_workers" in warning.fix


def test_a_leak_in_the_hosts_memory_is_a_trend_too() -> None:
    def host(t: float) -> Host:
        return Host(cpu=1, memory_used=int((40 + t / 40) * GIB), memory_total=100 * GIB)

    warning = forecast(run_of(lambda t: 40, host=host))
    assert warning is not None
    assert warning.where == "host"
    assert warning.seconds == pytest.approx(1200, rel=0.1)


def test_the_most_pressing_warning_comes_first() -> None:
    def host(t: float) -> Host:
        return Host(cpu=1, memory_used=99 * GIB, memory_total=100 * GIB)

    warning = forecast(run_of(lambda t: 79, host=host))
    assert warning is not None
    assert (warning.where, warning.severity) == ("host", "critical")


def test_a_lost_gpu_and_a_host_without_figures_give_no_warning() -> None:
    lost = [Device(t=float(t), gpus=[Gpu(index=0, problem="lost")]) for t in range(0, 600, 10)]
    assert forecast(lost) is None


def test_jitter_around_a_level_is_no_trend() -> None:
    assert forecast(run_of(lambda t: 60 + 8 * ((t // 10) % 3))) is None
