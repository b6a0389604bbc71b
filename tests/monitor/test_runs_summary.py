"""A run in one line."""

import json
import math
from pathlib import Path

import pytest

from tests.monitor.some_runs import SPEC, job
from tuiwb.jobs import status
from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Device,
    Gpu,
    Host,
    Metrics,
    State,
)
from tuiwb.jobs.labels import add_tags, archive, set_note
from tuiwb.monitor.runs import summarise


def history() -> list[AnyEvent]:
    """An hour of training on two GPUs, half of it paused."""
    host = Host(cpu=1, memory_used=1, memory_total=2, job_memory=3 << 30)
    gpus = [Gpu(index=n, memory_job=n * (4 << 30)) for n in (1, 2, 0)]
    return [
        State(state="starting", t=1000.0),
        State(state="running", phase="training", t=1000.0),
        Device(t=1010.0, gpus=gpus, host=host),
        Metrics(step=10, epoch=0.5, total_steps=40, t=1100.0,
                values={"loss": 2.0, "tokens_per_second": 123.0}),
        Metrics(step=10, total_steps=40, t=1110.0, values={"eval_loss": 2.5}),
        Artifact(kind="checkpoint", path="checkpoints/checkpoint-10", step=10, t=1120.0),
        State(state="running", phase="paused", t=2800.0),
        State(state="running", phase="training", t=4600.0),
        Metrics(step=20, epoch=1.0, total_steps=40, t=4600.0, values={"loss": math.nan}),
        Metrics(step=20, total_steps=40, t=4600.0, values={"eval_loss": 3.5}),
        Alert(rule="a", severity="warning", evidence="e", t=4600.0),
        Alert(rule="b", severity="critical", evidence="e", t=4600.0),
    ]  # fmt: skip


def test_everything_a_table_shows_is_there(tmp_path: Path) -> None:
    folder = job(tmp_path / "runs" / "a", [*history(), State(state="finished", t=4600.0)])
    add_tags(folder, ["good"])
    set_note(folder, "why")
    archive(folder)
    run = summarise(folder, status(folder), price=2.0)
    assert (run.name, run.kind, run.state, run.running) == ("a", "train", "finished", False)
    assert (run.method, run.base, run.dataset) == ("sft", "org/qwen-tiny", "/data/support.jsonl")
    assert (run.step, run.total_steps, run.epoch, run.share) == (20, 40, 1.0, 0.5)
    assert (run.best_loss, run.best_step, run.best_of) == (2.5, 10, "eval_loss")
    assert run.loss is not None
    assert math.isnan(run.loss)
    assert (run.eval_loss, run.tokens_per_second) == (3.5, 123.0)
    assert (run.peak_memory, run.peak_memory_of, run.gpus) == (12 << 30, "gpu", 2)
    assert run.active == pytest.approx(1800.0)
    assert run.cost == pytest.approx(2.0 * 2 * 0.5)
    assert (run.took, run.eta) == (pytest.approx(1800.0), None)
    assert (run.alerts, run.worst_alert) == (2, "critical")
    assert run.checkpoint == "checkpoints/checkpoint-10"
    assert (run.tags, run.note, run.archived) == (("good",), "why", True)
    assert json.loads(json.dumps(run.as_json(), allow_nan=False))["loss"] == "NaN"


def test_without_an_evaluation_the_best_is_the_training_loss_and_without_a_price_no_cost(
    tmp_path: Path,
) -> None:
    events = [State(state="running", t=1.0), Metrics(step=3, values={"loss": 1.5}, t=2.0)]
    folder = job(tmp_path / "runs" / "a", [*events, State(state="finished", t=3.0)])
    run = summarise(folder, status(folder))
    assert (run.best_loss, run.best_step, run.best_of) == (1.5, 3, "loss")
    assert (run.cost, run.peak_memory) == (None, None)


def test_a_run_on_the_cpu_shows_its_own_memory_and_costs_no_gpu(tmp_path: Path) -> None:
    host = Host(cpu=1, memory_used=1, memory_total=2, job_memory=5)
    events = [State(state="running", t=1.0), Device(t=2.0, host=host)]
    folder = job(tmp_path / "runs" / "a", [*events, State(state="finished", t=3.0)])
    run = summarise(folder, status(folder), price=2.0)
    assert (run.peak_memory, run.peak_memory_of, run.cost) == (5, "host", None)


def test_the_time_left_comes_from_the_pace_and_shrinks_while_nothing_is_logged(
    tmp_path: Path,
) -> None:
    events: list[AnyEvent] = [State(state="running", phase="training", t=0.0)]
    events += [
        Metrics(step=n, total_steps=100, values={"loss": 1.0}, t=float(2 * n)) for n in range(50)
    ]
    folder = job(tmp_path / "runs" / "a", events)
    from tuiwb.jobs.state import JobState, fold

    state = fold(JobState(name="a", kind="train"), events)
    assert summarise(folder, state, now=98.0).eta == pytest.approx(102.0)
    assert summarise(folder, state, now=108.0).eta == pytest.approx(92.0)
    state.phase = "tokenising"
    assert summarise(folder, state, now=98.0).eta is None


def test_the_version_of_a_dataset_is_named_by_its_manifest_and_what_was_trained_on(
    tmp_path: Path,
) -> None:
    version = tmp_path / "data" / "versions" / "support-v2"
    version.mkdir(parents=True)
    file = version / "train.jsonl"
    manifest = {"name": "support-v2", "outputs": [{"file": "train.jsonl", "sha256": "ab" * 32}]}
    (version / "manifest.json").write_text(json.dumps(manifest))
    spec = {**SPEC, "data": {"train": [str(file)]}}
    same = job(tmp_path / "runs" / "same", [], spec, {str(file): "sha256:" + "ab" * 32})
    other = job(tmp_path / "runs" / "other", [], spec, {str(file): "sha256:" + "cd" * 32})
    assert summarise(same, status(same)).dataset_version == "support-v2 abababababab"
    assert summarise(other, status(other)).dataset_version == (
        "support-v2 cdcdcdcdcdcd (not as its manifest says)"
    )


@pytest.mark.parametrize("manifest", [b"", b"[1]", b'{"name": 3}', b'{"name": "v", "outputs": 3}'])
def test_a_manifest_that_is_none_costs_only_the_version(tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest)
    spec = {**SPEC, "data": {"train": [str(tmp_path / "x.jsonl")]}}
    folder = job(tmp_path / "runs" / "a", [], spec)
    assert summarise(folder, status(folder)).dataset_version in ("", "v")


@pytest.mark.parametrize("spec", [{}, {"data": 3, "model": []}, {"method": {"a": 1}, "data": {}}])
def test_a_spec_of_any_shape_makes_a_row(tmp_path: Path, spec: dict[str, object]) -> None:
    folder = job(tmp_path / "runs" / "a" / "compare", [], spec, kind="compare")
    run = summarise(folder, status(folder))
    assert (run.name, run.method, run.dataset) == ("a/compare", "", "")


def test_labels_that_cannot_be_read_are_told_in_the_row(tmp_path: Path) -> None:
    folder = job(tmp_path / "runs" / "a", [])
    (folder / "labels.json").write_text("{")
    run = summarise(folder, status(folder))
    assert run.tags == ()
    assert "labels.json" in run.problem
