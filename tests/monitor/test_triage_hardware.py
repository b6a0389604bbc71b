"""Rules over the machine, on samples made by hand as NVML gives them."""

from tests.monitor.test_triage_rules import SPEC, logged, rules
from tuiwb.jobs.events import AnyEvent, Device, Gpu, Host, State
from tuiwb.monitor.triage import Triage, cleared

HOST = Host(cpu=50.0, memory_used=1, memory_total=2, job_cpu=100.0)
TRAINING = State(state="running", phase="training", t=0.0)


def sample(t: float, host: Host = HOST, **gpu: object) -> Device:
    return Device(t=t, host=host, gpus=[Gpu(index=0, **gpu)])  # type: ignore[arg-type]


def test_heat_is_told_after_ten_seconds_once_and_clears() -> None:
    triage = Triage(SPEC)
    hot = {
        "throttle": ["sw thermal"],
        "temperature": 91.0,
        "clock_sm": 900.0,
        "clock_sm_most": 1980.0,
    }
    said = triage.add([sample(t, **hot) for t in range(0, 60, 2)])
    assert rules(said) == ["thermal_throttling"]
    assert "91 °C, 900 of 1980 MHz" in said[0].evidence
    later = triage.add([sample(62, throttle=["idle"])])
    assert [a.rule for a in later if cleared(a)] == ["thermal_throttling"]


def test_the_heat_of_a_gpu_that_is_not_the_runs_is_not_its_alert() -> None:
    def rules_of(visible: bool | None) -> list[str]:
        hot = [sample(t, throttle=["hw thermal"], visible=visible) for t in range(0, 60, 2)]
        return rules(Triage(SPEC).add(hot))

    assert rules_of(False) == []
    assert rules_of(None) == rules_of(True) == ["thermal_throttling"]


def test_a_pace_of_less_than_one_step_a_second_is_told_in_figures() -> None:
    triage = Triage(SPEC)
    events: list[AnyEvent] = []
    t = 0.0
    for step in range(1, 60):
        t += 4.0 if step < 30 else 40.0
        event = logged(step, 2.0 - step / 100)
        event.t = t
        events.append(event)
    said = [a for a in triage.add(events) if a.rule == "throughput_drop"]
    assert "0.025 steps/s" in said[0].evidence
    assert "of the 0.25 it was" in said[0].evidence


def test_a_moment_of_heat_and_a_power_cap_are_nothing() -> None:
    triage = Triage(SPEC)
    events = [sample(t, throttle=["hw thermal"] if t % 10 == 0 else []) for t in range(0, 200, 2)]
    events += [sample(t, throttle=["sw power cap"]) for t in range(200, 400, 2)]
    assert rules(triage.add(events)) == []


def test_a_gpu_that_waits_while_the_job_is_busy_is_starved() -> None:
    triage = Triage(SPEC)
    waits = [sample(t, utilisation=12.0) for t in range(2, 200, 2)]
    (alert,) = triage.add([TRAINING, *waits])
    assert alert.rule == "data_starvation"
    assert alert.change == {"training.dataloader_num_workers": 4}
    assert "12% in use" in alert.evidence


def test_a_gpu_that_waits_outside_of_training_or_for_an_idle_job_is_not_starved() -> None:
    waits: list[AnyEvent] = [sample(t, utilisation=0.0) for t in range(2, 200, 2)]
    loading = State(state="running", phase="tokenising")
    assert rules(Triage(SPEC).add([loading, *waits])) == []
    paused = State(state="running", phase="paused")
    assert rules(Triage(SPEC).add([TRAINING, paused, *waits])) == []
    idle = Host(cpu=5.0, memory_used=1, memory_total=2, job_cpu=3.0)
    quiet = [sample(t, idle, utilisation=5.0) for t in range(2, 200, 2)]
    assert rules(Triage(SPEC).add([TRAINING, *quiet])) == []
    busy = [sample(t, utilisation=95.0) for t in range(2, 200, 2)]
    assert rules(Triage(SPEC).add([TRAINING, *busy])) == []


def test_samples_far_apart_as_an_idle_watch_writes_them_still_count() -> None:
    waits = [sample(t, utilisation=10.0) for t in range(10, 400, 30)]
    assert rules(Triage(SPEC).add([TRAINING, *waits])) == ["data_starvation"]


def test_a_pace_that_halves_for_half_a_minute_is_told_and_clears() -> None:
    triage = Triage(SPEC)
    # `logged` puts a second between two steps.
    loss = 1.0
    events = [logged(s, loss, tokens_per_second=1000 + s % 7) for s in range(1, 60)]
    slow = [logged(s, loss, tokens_per_second=400.0) for s in range(60, 120)]
    said = [a for a in triage.add([*events, *slow]) if a.rule == "throughput_drop"]
    assert rules(said) == ["throughput_drop"]
    assert "400 tokens/s" in said[0].evidence
    assert said[0].severity == "note", "half a minute is no reason to wake anybody"
    on = [logged(s, loss, tokens_per_second=400.0) for s in range(120, 200)]
    assert [(a.rule, a.severity) for a in triage.add(on)] == [("throughput_drop", "warning")]
    fast = [logged(s, loss, tokens_per_second=1000.0) for s in range(200, 220)]
    assert [a.rule for a in triage.add(fast) if cleared(a)] == ["throughput_drop"]


def test_a_slow_moment_and_a_run_that_was_always_slow_are_nothing() -> None:
    events = [
        logged(s, 1.0, tokens_per_second=300.0 if 60 <= s < 80 else 1000.0) for s in range(1, 200)
    ]
    assert "throughput_drop" not in rules(Triage(SPEC).add(events))
    always = [logged(s, 1.0, tokens_per_second=10.0) for s in range(1, 200)]
    assert "throughput_drop" not in rules(Triage(SPEC).add(always))


def test_a_trainer_that_logs_no_tokens_is_measured_in_steps() -> None:
    events = [logged(s, 1.0) for s in range(1, 60)]
    for n, step in enumerate(range(60, 90), 1):
        late = logged(step, 1.0)
        late.t = 1060.0 + 3 * n
        events.append(late)
    said = [a for a in Triage(SPEC).add(events) if a.rule == "throughput_drop"]
    assert "steps/s" in said[0].evidence
