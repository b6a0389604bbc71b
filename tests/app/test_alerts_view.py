"""Alerts in a list: those that count first, the others dim below and why they count no more."""

from tuiwb.app.widgets.alerts_view import alert_line, in_order
from tuiwb.app.widgets.run_head import second_line
from tuiwb.jobs import JobState
from tuiwb.jobs.events import Alert
from tuiwb.monitor.triage.rule import CLEARED


def alert(rule: str, step: int, *, cleared: bool = False) -> Alert:
    return Alert(
        rule=rule,
        severity="warning",
        evidence=f"seen at {step}",
        step=step,
        numbers={CLEARED: 1.0} if cleared else {},
    )


ALERTS = [
    alert("loss_spike", 5),
    alert("plateau", 6),
    alert("loss_spike", 9),
    alert("plateau", 11, cleared=True),
    alert("thermal", 12),
    alert("loss_spike", 20),
]


def test_as_many_stand_undimmed_as_the_head_counts() -> None:
    ordered = in_order(ALERTS)
    assert [(a.rule, a.step, past) for a, past in ordered] == [
        ("loss_spike", 20, ""),
        ("thermal", 12, ""),
        ("plateau", 11, "over"),
        ("loss_spike", 9, "earlier"),
        ("plateau", 6, "over"),
        ("loss_spike", 5, "earlier"),
    ]
    head = second_line(JobState(name="a", kind="train", alerts=ALERTS), None, 80).plain
    assert head.startswith("! 2 alerts")


def test_a_line_says_that_its_alert_is_over() -> None:
    assert alert_line(ALERTS[1], "over").plain.endswith("plateau  over")
    assert alert_line(ALERTS[1]).plain.endswith("plateau")
