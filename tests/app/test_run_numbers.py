"""A number of a run is the same wherever it is shown: table, head, commands, report."""

from pathlib import Path

import pytest

from tests.monitor.some_runs import SPEC, job
from tuiwb.app.run_rows import COLUMNS
from tuiwb.app.widgets.run_head import first_line, second_line
from tuiwb.app.words import state_line
from tuiwb.cli import run as command
from tuiwb.jobs import status
from tuiwb.jobs.events import AnyEvent, Device, Metrics, Progress, State
from tuiwb.monitor.report import gather
from tuiwb.monitor.runs import RunSummary, summarise

LATER = 2e9


def cell(run: RunSummary, column: str) -> str:
    return next(c for c in COLUMNS if c.name == column).cell(run, LATER)


def said(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> str:
    """What a command prints of a project."""
    assert command([*arguments, "--project", str(root)]) == 0
    return capsys.readouterr().out


def test_one_time_is_told_everywhere_and_holds_no_pause_and_no_time_between_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[AnyEvent] = [
        State(state="starting", t=1000.0),
        State(state="running", phase="training", t=1010.0),
        Metrics(step=1, total_steps=9, values={"loss": 1.0}, t=1050.0),
        State(state="running", phase="paused", t=1060.0),
        State(state="running", phase="training", t=1360.0),
        State(state="cancelled", t=1370.0),
        State(state="queued", phase="resuming", t=1850.0),
        State(state="starting", t=1860.0),
        Device(t=1872.0),
        Device(t=1300.0),  # the clock was set back
        State(state="finished", t=1310.0),
    ]
    (tmp_path / "tuiwb.yaml").touch()
    folder = job(tmp_path / "runs" / "a", events)
    state = status(folder)
    run = summarise(folder, state, now=LATER)
    words = "1m32s"  # 60 + 10, then 12 + 10
    assert cell(run, "took") == words
    assert f"took {words}" in first_line(state, None, 1.0, 200, LATER).plain
    assert words in state_line(state)
    assert dict(gather(folder).summary)["took"].startswith(f"{words} without queue")
    assert f"took         {words}" in said(capsys, tmp_path, "runs", "show", "a")
    assert words in said(capsys, tmp_path, "runs", "list")


def test_between_two_logged_steps_the_step_is_that_of_its_progress_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tuiwb.yaml").touch()
    events: list[AnyEvent] = [
        State(state="running", phase="training", t=1010.0),
        Progress(phase="training", done=2, total=80, unit="steps", t=1020.0),
    ]
    state = status(job(tmp_path / "runs" / "young", events))
    assert (state.at_step, state.of_steps) == (2, 80)
    events += [
        Metrics(step=10, total_steps=80, values={"loss": 1.0}, t=1050.0),
        Progress(phase="training", done=12, total=80, unit="steps", t=1060.0),
        State(state="running", phase="paused", message="after step 12", t=1060.0),
    ]
    folder = job(tmp_path / "runs" / "a", events)
    state = status(folder)
    assert "15%  step 12/80" in first_line(state, None, 1.0, 200, LATER).plain
    assert "15%" in state_line(state)
    assert cell(summarise(folder, state, now=LATER), "done") == "15%"
    assert "step         12 of 80" in said(capsys, tmp_path, "runs", "show", "a")
    assert "12/80" in said(capsys, tmp_path, "runs", "list")
    # Progress of another phase says nothing of steps: neither more nor less.
    events.append(Progress(phase="evaluating", done=40, total=50, unit="batches", t=1070.0))
    assert status(job(tmp_path / "runs" / "b", events)).at_step == 12


def test_a_run_that_was_resumed_is_at_the_step_it_went_on_from(tmp_path: Path) -> None:
    (tmp_path / "tuiwb.yaml").touch()
    events: list[AnyEvent] = [
        State(state="running", phase="training", t=1010.0),
        Metrics(step=50, total_steps=80, values={"loss": 1.0}, t=1050.0),
        State(state="died", t=1060.0),
        State(state="queued", phase="resuming from checkpoint-10", t=1070.0),
        State(state="running", phase="training", t=1080.0),
        Progress(phase="training", done=10, total=80, unit="steps", t=1080.0),
    ]
    assert status(job(tmp_path / "runs" / "begun", events)).at_step == 10
    events.append(Progress(phase="training", done=11, total=80, unit="steps", t=1090.0))
    events.append(Progress(phase="evaluating", done=1, total=5, unit="batches", t=1091.0))
    folder = job(tmp_path / "runs" / "a", events)
    assert cell(summarise(folder, status(folder), now=LATER), "done") == "14%"
    events.append(Metrics(step=20, total_steps=80, values={"loss": 1.0}, t=1100.0))
    assert status(job(tmp_path / "runs" / "b", events)).at_step == 20


def test_the_best_is_the_held_out_loss_from_the_start_and_a_dash_until_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tuiwb.yaml").touch()
    training: list[AnyEvent] = [
        State(state="running", phase="training", t=1000.0),
        Metrics(step=4, values={"loss": 0.04241}, t=1001.0),
    ]
    held_out: list[AnyEvent] = [Metrics(step=5, values={"eval_loss": 0.06048}, t=1002.0)]
    end: list[AnyEvent] = [State(state="cancelled", t=1003.0)]
    spec = {**SPEC, "data": {"train": ["/data/a.jsonl"], "heldout": "/data/b.jsonl"}}
    job(tmp_path / "runs" / "early", [*training, *end], spec)
    job(tmp_path / "runs" / "later", [*training, *held_out, *end], spec)
    job(tmp_path / "runs" / "without", [*training, *end])

    listed = {line.split()[0]: line for line in said(capsys, tmp_path, "runs", "list").splitlines()}

    def shown(name: str) -> tuple[str, str, list[str]]:
        """What table, head and report say; whatever stands at a step in the list is said too."""
        folder = tmp_path / "runs" / name
        state = status(folder)
        head = second_line(state, None, 200).plain.partition("best ")[2]
        rows = [" ".join(row) for row in gather(folder).summary if row[0].startswith("best")]
        at = listed[name].partition("@")
        rows += [f"{at[0].split()[-1]} {' '.join(at[2].split()[:2])}"] if at[1] else []
        return cell(summarise(folder, state), "best"), head, rows

    assert shown("early") == ("–", "", [])
    assert shown("later")[:2] == ("0.06048", "0.06048")
    assert shown("later")[2][0] == "best held-out loss 0.06048 at step 5"
    assert shown("later")[2][1].startswith("0.06048 5 ")
    assert shown("without") == (
        "0.04241 training",
        "training loss 0.04241",
        ["best training loss 0.04241 at step 4", "0.04241 4 training"],
    )
