"""Guided recovery: what the files of a run say to each step, and ticks that are kept."""

import json
import os
from pathlib import Path

import pytest

from tests.monitor.recording import Recorded, events_of, recorded, replay
from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.jobs import process
from tuiwb.jobs.events import EventWriter, Metrics, State
from tuiwb.monitor.recovery import (
    KEYS,
    RECOVERY,
    Found,
    assess,
    first_open,
    standing,
    steps,
    tick,
    ticked,
)
from tuiwb.monitor.triage import Triage
from tuiwb.monitor.triage.facts import keep_facts

RUNS = {run.name: run for run in recorded()}


def unpack(run: Recorded, folder: Path) -> Path:
    """The run's folder as its worker left it, its alerts in the log; no adapter files."""
    jobs.create(folder, run.job.kind, run.job.spec)
    if run.facts is not None:
        keep_facts(folder, run.facts)
    writer = EventWriter(folder / "events.jsonl")
    for event in [*events_of(run)[:-1], *replay(run), events_of(run)[-1]]:
        writer.emit(event)
    writer.close()
    return folder


def verdicts(run: Recorded) -> dict[str, str]:
    found = Found(
        spec=run.job.spec,
        facts=run.facts,
        adapter=run.adapter,
        alerts=standing(replay(run)),
        first_loss=1.0,
        last_loss=0.1,
    )
    return {step.key: step.verdict for step in assess(found)}


def test_the_six_steps_stand_in_their_order_and_a_sound_run_has_nothing_bad(tmp_path: Path) -> None:
    folder = unpack(RUNS["healthy-01"], tmp_path / "sound")
    made = steps(folder)
    assert tuple(step.key for step in made) == KEYS
    assert [step.key for step in made if step.verdict == "bad"] == []
    assert {s.key: s.verdict for s in made}["data"] == "good"
    assert "loss 0.971 -> 0.09" in made[3].evidence[0]
    assert made[4].change == {"training.learning_rate": 3e-4}
    assert made[5].change["training.max_steps"] == 60


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss_spike-31", "data"),
        ("chat_template-31", "template"),
        ("first_loss-31", "template"),
        ("zero_gradient-31", "adapter"),
        ("overfitting-31", "metrics"),
        ("learning_rate_high-31", "learning_rate"),
    ],
)
def test_each_fault_makes_its_own_step_bad(name: str, key: str) -> None:
    assert verdicts(RUNS[name])[key] == "bad"


def test_a_bad_step_offers_its_alerts_fix(tmp_path: Path) -> None:
    made = steps(unpack(RUNS["learning_rate_low-31"], tmp_path / "slow"))
    rate = next(step for step in made if step.key == "learning_rate")
    assert rate.verdict == "bad"
    assert rate.change["training.learning_rate"] == 2e-4
    assert any(line.startswith("warning: loss") for line in rate.evidence)


@pytest.mark.parametrize(("rate", "offered"), [(5.0, 2e-3), (0.02, 2e-3), (5e-3, 1e-3)])
def test_recovery_offers_no_rate_above_what_lora_takes(rate: float, offered: float) -> None:
    found = Found(spec={"training": {"learning_rate": rate}})
    step = next(step for step in assess(found) if step.key == "learning_rate")
    assert step.change == {"training.learning_rate": offered}
    assert f"learning_rate {offered:g} and" in step.action
    assert ("a fifth" in step.title) == (offered == 1e-3)


@pytest.mark.parametrize("run", ["learning_rate_high-31", "forgetting-31"])
def test_no_rule_offers_a_rate_above_what_lora_takes(run: str) -> None:
    job, events = RUNS[run].job, events_of(RUNS[run])
    spec = {**job.spec, "training": {**job.spec["training"], "learning_rate": 5.0}}
    said = Triage(spec).add(events)
    offers = [a.change["training.learning_rate"] for a in said if a.rule == run.split("-")[0]]
    assert offers == [2e-3]


def test_ticks_are_kept_in_the_runs_folder_and_can_be_taken_back(tmp_path: Path) -> None:
    folder = unpack(RUNS["loss_spike-31"], tmp_path / "spiked")
    made = steps(folder)
    assert first_open(made) == made[0]
    tick(folder, "data")
    tick(folder, "template")
    made = steps(folder)
    assert [step.key for step in made if step.ticked] == ["data", "template"]
    nearest = first_open(made)
    assert nearest is not None
    assert nearest.ticked is None
    tick(folder, "data", done=False)
    assert list(ticked(folder)) == ["template"]
    assert json.loads((folder / RECOVERY).read_text())["ticked"].keys() == {"template"}


def test_a_broken_tick_file_counts_as_open_and_is_written_anew(tmp_path: Path) -> None:
    folder = unpack(RUNS["healthy-01"], tmp_path / "sound")
    for text in ("", "[]", '{"ticked": {"data": "x"}}', "\x00"):
        (folder / RECOVERY).write_text(text)
        assert ticked(folder) == {}
    tick(folder, "adapter")
    assert list(ticked(folder)) == ["adapter"]


def test_only_a_train_run_can_be_recovered(tmp_path: Path) -> None:
    jobs.create(tmp_path / "check", "check", {})
    with pytest.raises(BadInput, match="only a train run"):
        steps(tmp_path / "check")
    with pytest.raises(BadInput):
        steps(tmp_path)


def test_a_loss_that_fell_a_little_is_neither_good_nor_bad() -> None:
    def verdict(first: float, last: float) -> str:
        made = assess(Found(spec={}, first_loss=first, last_loss=last))
        return next(step.verdict for step in made if step.key == "metrics")

    assert verdict(1.2, 1.0) == "good"
    assert verdict(1.2, 1.15) == "unknown", "a chat model often has little left to learn"
    assert verdict(1.2, 1.3) == verdict(1.2, float("nan")) == "bad"


def test_the_loss_of_a_run_that_goes_on_is_not_judged_before_there_is_enough(
    tmp_path: Path,
) -> None:
    jobs.create(tmp_path / "run", "train", {"training": {"warmup_steps": 30}})
    writer = EventWriter(tmp_path / "run" / "events.jsonl")

    def metrics(upto: int) -> tuple[str, str]:
        for step in range(len(written) + 1, upto + 1):
            writer.emit(Metrics(step=step, total_steps=100, values={"loss": 2.0}))
            written.append(step)
        made = next(step for step in steps(tmp_path / "run") if step.key == "metrics")
        return made.verdict, " ".join(made.evidence)

    written: list[int] = []
    writer.emit(State(state="running", phase="training"))
    process.write(tmp_path / "run", process.identify(os.getpid()))
    assert metrics(1) == ("unknown", "loss 2 -> 2 in 1 steps too early to tell: 1 loss logged")
    assert metrics(9)[0] == "unknown"
    assert "still rises, until step 30" in metrics(29)[1]
    assert metrics(31)[0] == "bad"
    writer.close()


def test_a_run_that_ended_is_judged_by_the_losses_it_logged() -> None:
    def verdict(logged: int) -> str:
        found = Found(spec={}, first_loss=1.2, last_loss=1.3, state="finished", logged=logged)
        return next(step.verdict for step in assess(found) if step.key == "metrics")

    assert (verdict(1), verdict(2)) == ("unknown", "bad")


HOSTILE: list[dict[str, str]] = [
    {"job.yaml": "kind: train\nname: x\ncreated: 1\nspec: {model: foo, data: bar, lora: 3}\n"},
    {"job.yaml": "kind: train\nname: x\ncreated: 1\nspec: {data: {train: 5}, training: [1]}\n"},
    {"triage.json": "[" * 100_000, "recovery.json": "[" * 100_000},
    {"compare/summary.json": "[" * 100_000},
    {
        "compare/summary.json": '{"done": "x", "identical": 1, "base": {}, "metrics": '
        '[{"name": "json_valid", "n": "q", "base": "b", "adapter": "c"}]}',
        "compare/completions.jsonl": "[" * 100_000,
    },
]


@pytest.mark.parametrize("files", HOSTILE)
def test_a_folder_of_nonsense_breaks_neither_its_own_triage_nor_its_neighbours(
    tmp_path: Path, files: dict[str, str]
) -> None:
    sound = unpack(RUNS["healthy-01"], tmp_path / "sound")
    broken = unpack(RUNS["healthy-01"], tmp_path / "broken")
    (broken / "compare").mkdir()
    (broken / "compare" / "job.yaml").write_text(
        "kind: compare\nname: c\ncreated: 1\nspec: {prompts: /d/h.jsonl}\n"
    )
    (broken / "compare" / "completions.jsonl").write_text("")
    for name, text in files.items():
        (broken / name).write_text(text)
    assert [step.key for step in steps(broken)] == [step.key for step in steps(sound)]
    tick(broken, "data")
    assert list(ticked(broken)) == ["data"]
