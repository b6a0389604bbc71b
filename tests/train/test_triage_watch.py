"""Triage as a listener of a worker's events, without a trainer."""

from pathlib import Path
from typing import Any

import pytest

from tests.monitor.test_triage_rules import SPEC
from tuiwb import jobs
from tuiwb.jobs.events import Alert, AnyEvent, EventReader, Log, Metrics, State
from tuiwb.jobs.run import JobContext
from tuiwb.monitor.triage.finite import ZeroGradient
from tuiwb.train.triage_watch import TriageWatch


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    folder = tmp_path / "runs" / "v1"
    jobs.create(folder, "train", SPEC)
    return JobContext(folder)


def log_of(context: JobContext) -> list[AnyEvent]:
    return EventReader(context.folder / "events.jsonl").read()


def metrics(step: int, **values: float) -> Metrics:
    return Metrics(step=step, total_steps=100, values={"loss": 1.0} | values)


def test_an_alert_follows_its_event_and_comes_before_the_last_word(context: JobContext) -> None:
    TriageWatch(context)
    context.emit(metrics(1, grad_norm=float("nan")))
    context.state("failed", message="CUDA out of memory. Tried to allocate 1.25 GiB")
    kinds = [(type(e).__name__, getattr(e, "rule", "")) for e in log_of(context)]
    assert kinds == [
        ("Metrics", ""),
        ("Alert", "not_finite"),
        ("Alert", "out_of_memory"),
        ("State", ""),
    ]
    assert all(event.t > 0 for event in log_of(context))


def test_a_resumed_worker_does_not_repeat_what_the_log_holds(context: JobContext) -> None:
    TriageWatch(context)
    context.emit(metrics(1, grad_norm=0.0))
    context.emit(metrics(2, grad_norm=0.0))
    context.events.close()
    again = JobContext(context.folder)
    TriageWatch(again)
    again.emit(State(state="starting"))
    again.emit(metrics(3, grad_norm=0.0))
    alerts = [event for event in log_of(again) if isinstance(event, Alert)]
    assert [alert.rule for alert in alerts] == ["zero_gradient"]


def test_a_fault_in_a_rule_ends_triage_with_one_line_and_never_the_run(
    context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, event: AnyEvent) -> list[Alert]:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(ZeroGradient, "add", broken)
    TriageWatch(context)
    for step in range(1, 5):
        context.emit(metrics(step))
    context.state("finished")
    found = log_of(context)
    assert len([event for event in found if isinstance(event, Metrics)]) == 4
    assert [event.message for event in found if isinstance(event, Log)] == [
        "no triage any more: ZeroDivisionError: no"
    ]
    assert isinstance(found[-1], State)
