"""The state of a job is a fold over its events."""

import math
import time
from pathlib import Path

import pytest

from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Log, Metrics, Progress, State
from tuiwb.jobs.state import JobState, fold, settle, tail


def folded(*events: AnyEvent) -> JobState:
    for n, event in enumerate(events):
        event.t = event.t or 100.0 + n
    return fold(JobState(name="a", kind="train"), events)


def test_the_latest_of_each_metric_is_kept_and_nan_stays_nan() -> None:
    state = folded(
        Metrics(step=1, total_steps=9, values={"loss": 2.0, "eval_loss": 1.5}),
        Metrics(step=2, epoch=0.2, values={"loss": math.nan}),
    )
    assert (state.step, state.total_steps, state.epoch) == (2, 9, 0.2)
    assert math.isnan(state.metrics["loss"])
    assert state.metrics["eval_loss"] == 1.5
    assert state.as_json()["metrics"] == {"loss": "NaN", "eval_loss": 1.5}


def test_folding_in_pieces_gives_the_same_state_as_folding_at_once() -> None:
    events: list[AnyEvent] = [
        State(state="starting", t=1.0),
        Metrics(step=1, values={"eval_loss": 2.0}, t=2.0),
        Artifact(kind="checkpoint", path="c-1", step=1, t=3.0),
        Alert(rule="r", severity="warning", evidence="e", t=4.0),
        Metrics(step=2, values={"eval_loss": 3.0}, t=5.0),
        State(state="finished", t=6.0),
    ]
    whole = fold(JobState(name="a", kind="train"), events)
    piecewise = JobState(name="a", kind="train")
    for event in events:
        fold(piecewise, [event])
    assert whole == piecewise
    assert whole.best_loss == 2.0
    assert (whole.started, whole.ended) == (1.0, 6.0)


def test_a_resumed_job_keeps_its_start_and_loses_its_end() -> None:
    state = folded(
        State(state="starting", t=1.0), State(state="failed", t=2.0), State(state="queued", t=3.0)
    )
    assert (state.started, state.ended, state.running) == (1.0, None, True)


def test_events_that_change_nothing_change_nothing_but_when_it_was_last_seen() -> None:
    state = folded(Log(message="x", t=7.0))
    assert state == JobState(name="a", kind="train", seen=7.0)


def test_the_last_checkpoint_is_the_newest_artifact_of_that_kind() -> None:
    state = folded(
        Artifact(kind="checkpoint", path="c-1"),
        Artifact(kind="checkpoint", path="c-2"),
        Artifact(kind="adapter", path="adapter"),
        Progress(phase="x", done=1),
    )
    assert state.last_checkpoint is not None
    assert state.last_checkpoint.path == "c-2"


@pytest.mark.parametrize("content", [b"", b"one", b"a\nb\n\xff\n", b"x" * 100_000 + b"\nlast\n"])
def test_the_tail_of_any_log_is_text(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("log") / "worker.log"
    path.write_bytes(content)
    lines = tail(path, lines=2)
    assert len(lines) <= 2
    assert all(isinstance(line, str) for line in lines)


def test_only_the_end_of_a_line_that_was_redrawn_is_kept(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("log") / "worker.log"
    path.write_bytes(b"10%\r20%\r30%\n")
    assert tail(path) == ["30%"]


def test_a_clock_that_is_set_makes_no_run_end_before_it_began_or_in_the_future(
    tmp_path: Path,
) -> None:
    state = folded(State(state="starting", t=2e9), State(state="finished", t=1e9))
    assert (state.started, state.ended, state.seen) == (2e9, 2e9, 1e9)
    ahead = settle(folded(Log(message="x", t=9e9)), tmp_path)
    assert ahead.seen is not None
    assert ahead.seen <= time.time()
