"""Real runs, recorded: what should fire does, and nothing fires at a healthy one."""

import pytest

from tests.monitor.recording import Recorded, recorded, replay

RUNS = list(recorded())
HEALTHY = [run for run in RUNS if run.rule is None]
PROVOKED = [run for run in RUNS if run.rule is not None]


def named(run: Recorded) -> str:
    return run.name


@pytest.mark.parametrize("run", HEALTHY, ids=named)
def test_a_healthy_run_raises_nothing_above_a_note(run: Recorded) -> None:
    said = [f"{a.rule}: {a.evidence}" for a in replay(run, HEALTHY) if a.severity != "note"]
    assert said == []


@pytest.mark.parametrize("run", PROVOKED, ids=named)
def test_a_run_with_something_wrong_raises_the_rule_for_it(run: Recorded) -> None:
    said = [alert for alert in replay(run, HEALTHY) if alert.rule == run.rule]
    assert said, f"{run.name} raised {[a.rule for a in replay(run, HEALTHY)]}"
    assert all(alert.evidence and alert.cause and alert.fix and alert.look for alert in said)
    # Numbers, not impressions.
    assert any(c.isdigit() for c in said[0].evidence) or run.rule in ("no_heldout", "pad_is_eos")


@pytest.mark.parametrize("run", RUNS, ids=named)
def test_no_rule_says_the_same_twice(run: Recorded) -> None:
    said = [(a.rule, a.evidence) for a in replay(run, HEALTHY)]
    assert len(said) == len(set(said))


def test_there_are_twenty_healthy_runs_and_two_of_each_fault() -> None:
    assert len(HEALTHY) == 20
    for rule in {run.rule for run in PROVOKED}:
        assert {run.half for run in PROVOKED if run.rule == rule} == {"tune", "report"}, rule
