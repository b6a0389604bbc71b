"""What a run cost and reached, from events alone."""

import math

import pytest

from tuiwb.jobs.events import AnyEvent, Device, Gpu, Host, Metrics, State, TorchMemory
from tuiwb.jobs.state import JobState, fold
from tuiwb.jobs.tally import Tally


def counted(*events: AnyEvent) -> Tally:
    return fold(JobState(name="a", kind="train"), events).tally


def sample(t: float, *held: int | None, host: int | None = None, **more: object) -> Device:
    gpus = [Gpu(index=n, memory_job=h, **more) for n, h in enumerate(held)]  # type: ignore[arg-type]
    return Device(t=t, gpus=gpus, host=Host(cpu=0, memory_used=1, memory_total=2, job_memory=host))


def test_queueing_pauses_and_the_time_between_two_processes_are_not_counted() -> None:
    tally = counted(
        State(state="queued", t=0.0),
        State(state="starting", t=100.0),
        State(state="running", phase="training", t=110.0),
        State(state="running", phase="paused", t=150.0),
        sample(400.0, 5),
        State(state="running", phase="training", t=450.0),
        Metrics(step=1, values={"loss": 1.0}, t=470.0),
        State(state="queued", phase="resuming", t=1000.0),
        State(state="starting", t=1200.0),
        State(state="finished", t=1230.0),
    )
    assert tally.active == pytest.approx(50 + 20 + 30)


def test_a_clock_that_is_set_counts_for_nothing() -> None:
    tally = counted(
        State(state="running", t=1000.0),
        sample(1010.0, 1),
        sample(400.0, 1),
        sample(405.0, 1),
        sample(10_000_000.0, 1),
        sample(10_000_002.0, 1),
    )
    assert tally.active == pytest.approx(10 + 5 + 2)


def test_a_run_that_goes_on_is_counted_up_to_now_and_a_paused_one_is_not() -> None:
    running = counted(State(state="running", t=10.0), sample(20.0, 1))
    assert running.active_until(25.0, 20.0) == pytest.approx(15.0)
    paused = counted(State(state="running", t=10.0), State(state="running", phase="paused", t=20.0))
    assert paused.active_until(500.0, 20.0) == pytest.approx(10.0)


def test_memory_is_summed_over_the_jobs_gpus_and_only_those_it_uses_cost() -> None:
    tally = counted(sample(1.0, 10, 20, 0, None), sample(2.0, 5, 5, 0, None))
    assert (tally.gpu_memory, tally.gpus) == (30, 2)


def test_without_the_drivers_word_torchs_counts_and_without_a_gpu_the_hosts() -> None:
    torch = TorchMemory(index=0, allocated=1, reserved=5, peak_allocated=1, peak_reserved=7)
    by_torch = counted(Device(gpus=[Gpu(index=0, memory_job=6, job_from="torch")], torch=[torch]))
    assert (by_torch.gpu_memory, by_torch.torch_memory, by_torch.gpus) == (None, 7, 1)
    assert by_torch.peak_memory == 7
    hidden = counted(sample(1.0, None, None, job_from="hidden", visible=True))
    assert (hidden.peak_memory, hidden.gpus) == (None, 2)
    host = counted(sample(1.0, host=9), sample(2.0, host=4))
    assert (host.peak_memory, host.host_memory, host.gpus) == (None, 9, 0)


def test_the_best_losses_have_their_steps_and_nan_is_never_best() -> None:
    tally = counted(
        Metrics(step=1, values={"loss": math.nan, "eval_loss": math.nan}),
        Metrics(step=2, values={"loss": 3.0, "eval_loss": 2.0}),
        Metrics(step=3, values={"loss": -math.inf, "eval_loss": 1.0}),
        Metrics(step=4, values={"loss": 2.5, "eval_loss": 1.5}),
    )
    assert (tally.best_eval_loss, tally.best_eval_step) == (1.0, 3)
    assert (tally.best_train_loss, tally.best_train_step) == (2.5, 4)


def test_the_pace_is_that_of_late_and_leaves_pauses_out() -> None:
    events: list[AnyEvent] = [State(state="running", t=0.0)]
    events += [Metrics(step=n, values={"loss": 1.0}, t=float(10 * n)) for n in range(1, 20)]
    assert counted(*events).pace == pytest.approx(10.0)
    events += [
        State(state="running", phase="paused", t=191.0),
        State(state="running", phase="training", t=2000.0),
        Metrics(step=20, values={"loss": 1.0}, t=2009.0),
    ]
    assert counted(*events).pace == pytest.approx(10.0)
