"""Real runs of the real trainer on a tiny model: what is in the log and on disk afterwards."""

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise as pairs
from pathlib import Path
from typing import Any

import pytest

from tests.train.here import workers_here
from tests.train.tiny import CONFIG, build_project, chat, write_rows
from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.jobs import JobState, process
from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Control,
    Device,
    EventReader,
    Log,
    Metrics,
    Progress,
    Sample,
    State,
)
from tuiwb.jobs.folder import fingerprint
from tuiwb.project import Project
from tuiwb.train.checkpoints import checkpoints, is_whole, last_checkpoint
from tuiwb.train.start import resume, start

pytestmark = pytest.mark.slow
LIMIT = 240.0  # seconds; a worker imports for 10 of them on a free machine


def wait_for(condition: Callable[[], Any], folder: Path, seconds: float = LIMIT) -> Any:
    """Poll until the condition gives something; shows the worker's log when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain; worker.log ends:\n{(folder / 'worker.log').read_text()}")
        time.sleep(0.05)
    return found


def ended(folder: Path) -> JobState:
    """The run's state once it has ended and its process is gone."""

    def gone() -> bool:
        identity = process.read(folder)
        return not jobs.status(folder).running and (
            identity is None or process.alive(identity) is False
        )

    wait_for(gone, folder)
    return jobs.status(folder)


def events(folder: Path) -> list[AnyEvent]:
    return EventReader(folder / "events.jsonl").read()


def of(kind: type, folder: Path) -> list[Any]:
    return [event for event in events(folder) if isinstance(event, kind)]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project on a tiny model; whatever of its runs still lives is killed afterwards."""
    home = Project(build_project(tmp_path / "project"))
    yield home
    reap(home)


def reap(project: Project) -> None:
    for folder in project.job_folders():
        identity = process.read(folder)
        if identity is None or identity.pid == os.getpid():
            continue  # its worker ran in this process
        if process.alive(identity):
            os.kill(identity.pid, signal.SIGKILL)


@pytest.fixture
def here() -> Iterator[None]:
    """The worker runs in this process."""
    with workers_here():
        yield


def configured(project: Project, **changes: str) -> Path:
    text = CONFIG
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = project.root / "configs" / "base.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One short run to its end, on data with a broken line, a fully masked and a long row."""
    root = build_project(tmp_path_factory.mktemp("finished") / "project")
    rows = [chat(f"What is {i}?", f"It is {i}.") for i in range(37)]
    rows += [chat("long " * 200, "never seen"), chat("why?", "because " * 200)]
    data = write_rows(root / "data/train.jsonl", rows)
    data.write_text(data.read_text() + '{"messages": [{"role": "user"\n')
    config = root / "configs" / "base.yaml"
    config.write_text(CONFIG.replace("data: {", "data: {malformed: skip, "))
    project = Project(root)
    folder = start(project, config)
    state = ended(folder)
    assert state.state == "finished", (folder / "worker.log").read_text()
    return folder


def test_a_run_passes_through_its_phases_in_order(finished: Path) -> None:
    states = of(State, finished)
    phases = [s.phase for s in states if s.state == "running"]
    first = list(dict.fromkeys(phases))
    assert first == [
        "loading data",
        "loading model",
        "tokenising",
        "training",
        "evaluating",
        "saving",
    ]
    assert (states[0].state, states[-1].state) == ("starting", "finished")
    assert states[-1].exit_code == 0
    times = [e.t for e in events(finished) if not isinstance(e, Device)]
    assert times == sorted(times)


def told(folder: Path) -> list[dict[str, Any]]:
    """The log's metrics as the trainer's own history has them."""
    return [
        {
            **{k: v for k, v in m.values.items() if k != "tokens_per_second"},
            "step": m.step,
            "epoch": m.epoch,
        }
        for m in of(Metrics, folder)
    ]


def test_metrics_are_exactly_the_trainers_log_history_once_and_in_order(finished: Path) -> None:
    history = json.loads((finished / "checkpoints" / "trainer_state.json").read_bytes())
    ours = told(finished)
    assert ours == history["log_history"]
    names = set().union(*ours)
    assert {"loss", "grad_norm", "learning_rate", "mean_token_accuracy", "eval_loss"} <= names
    assert [m.step for m in of(Metrics, finished) if "loss" in m.values] == [1, 2, 4, 6, 8, 10, 12]
    assert [m.step for m in of(Metrics, finished) if "eval_loss" in m.values] == [6, 12]
    assert {m.total_steps for m in of(Metrics, finished)} == {12}


def test_tokens_per_second_stands_beside_every_training_loss(finished: Path) -> None:
    for metrics in of(Metrics, finished):
        assert ("tokens_per_second" in metrics.values) == ("loss" in metrics.values)
        assert metrics.values.get("tokens_per_second", 1) > 0


def test_the_model_learns(finished: Path) -> None:
    losses = [m.values["loss"] for m in of(Metrics, finished) if "loss" in m.values]
    assert losses[-1] < losses[0]
    evals = [m.values["eval_loss"] for m in of(Metrics, finished) if "eval_loss" in m.values]
    assert evals[-1] < evals[0]


def test_artifacts_are_on_disk_with_the_hash_their_event_says(finished: Path) -> None:
    artifacts = of(Artifact, finished)
    assert [a.path for a in artifacts] == [
        "checkpoints/checkpoint-4",
        "checkpoints/checkpoint-8",
        "checkpoints/checkpoint-12",
        "adapter",
    ]
    for artifact in artifacts[1:]:
        weights = finished / artifact.path / "adapter_model.safetensors"
        assert artifact.sha256 == fingerprint(weights)
    # save_total_limit keeps two.
    assert [p.name for p in checkpoints(finished)] == ["checkpoint-8", "checkpoint-12"]
    assert all(is_whole(p) for p in checkpoints(finished))


def test_the_adapter_carries_trained_weights_the_tokenizer_and_its_template(
    finished: Path,
) -> None:
    from safetensors.numpy import load_file

    weights = load_file(finished / "adapter" / "adapter_model.safetensors")
    assert len(weights) == 2 * 7 * 2  # layers x linear layers x (A, B)
    assert all(abs(w).max() > 0 for name, w in weights.items() if "lora_B" in name)
    assert not [name for name in weights if "embed" in name or "lm_head" in name]
    base = finished.parents[1] / "models/tiny"
    config = json.loads((finished / "adapter" / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == str(base)
    assert (config["r"], config["lora_alpha"]) == (4, 8)
    template = (finished / "adapter" / "chat_template.jinja").read_text()
    assert template == (base / "chat_template.jinja").read_text()
    assert (finished / "adapter" / "tokenizer.json").is_file()


def test_the_lineage_says_from_what_and_by_what_the_adapter_was_made(finished: Path) -> None:
    lineage = json.loads((finished / "adapter" / "lineage.json").read_bytes())
    root = finished.parents[1]
    assert lineage["base"] == {
        "path": str(root / "models/tiny"),
        "fingerprint": fingerprint(root / "models/tiny"),
    }
    assert lineage["data"][0]["fingerprint"] == fingerprint(root / "data/train.jsonl")
    assert lineage["config"]["lora"]["r"] == 4
    assert lineage["step"] == 12
    assert lineage["libraries"]["trl"].startswith("1.")
    last = [m for m in of(Metrics, finished) if "eval_loss" in m.values][-1]
    assert lineage["metrics"]["eval_loss"] == last.values["eval_loss"]
    assert jobs.load(finished).fingerprints == {
        entry["path"]: entry["fingerprint"] for entry in [lineage["base"], *lineage["data"]]
    }


def test_rows_left_out_are_counted_and_named_by_file_and_line(finished: Path) -> None:
    said = "\n".join(log.message for log in of(Log, finished))
    data = finished.parents[1] / "data/train.jsonl"
    assert f"1 training rows left out as malformed: {data}:40" in said
    assert f"1 train rows left out, no trained token in them within max_length: {data}:38" in said
    assert "2 train rows are longer than max_length 128" in said


def test_progress_hardware_and_a_sample_completion_are_reported(finished: Path) -> None:
    last = {p.phase: p for p in of(Progress, finished)}
    assert (last["training"].done, last["training"].total) == (12, 12)
    assert last["tokenising"].unit == "rows"
    assert last["evaluating"].done == last["evaluating"].total
    hosts = [device.host for device in of(Device, finished)]
    assert max(host.job_memory for host in hosts) > 100 << 20
    samples = of(Sample, finished)
    assert [s.step for s in samples] == [6, 12]
    assert samples[0].prompt == "What is 0 now?"
    assert samples[0].text


def test_the_raw_log_holds_the_trainers_lines_and_no_progress_bars(finished: Path) -> None:
    text = (finished / "worker.log").read_text()
    assert "'loss'" in text
    assert "%|" not in text
    assert "Traceback" not in text


def test_a_finished_run_can_not_be_resumed(finished: Path) -> None:
    with pytest.raises(BadInput, match="has finished"):
        resume(finished)


def test_commands_stop_kill_and_resume(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One long run, led through everything it must obey; five processes."""
    monkeypatch.setenv("TUIWB_QUEUE", str(project.root / "queue"))
    path = configured(project, **{"max_steps: 12": "max_steps: 100000", "steps: 4": "steps: 5000"})
    folder = start(project, path, "long")

    def answer(command: str, **args: Any) -> Control:
        sent = jobs.send(folder, command, **args)
        found = wait_for(lambda: [c for c in of(Control, folder) if c.id == sent.id], folder)
        return found[0]

    wait_for(lambda: jobs.status(folder).step >= 4, folder)

    # checkpoint: at the next step, whole, named in the answer.
    written = answer("checkpoint")
    assert written.ok
    assert is_whole(folder / written.note)
    # evaluate: off its schedule.
    evaluated = answer("evaluate")
    assert evaluated.ok
    step = int(evaluated.note.rsplit(" ", 1)[1])
    assert [m for m in of(Metrics, folder) if m.step == step and "eval_loss" in m.values]
    # pause: no step passes; a second pause is harmless; resume goes on.
    assert answer("pause").ok
    assert jobs.status(folder).phase == "paused"
    paused_at = of(Control, folder)[-1].note
    assert answer("pause").note == "paused already"
    # While it is paused it obeys all the same, at the same step.
    stands = int(paused_at.rsplit(" ", 1)[1])
    assert jobs.status(folder).at_step == stands
    saved = answer("checkpoint")
    assert saved.note == f"checkpoints/checkpoint-{stands}"
    assert is_whole(folder / saved.note)
    assert answer("evaluate").note == f"evaluated at step {stands}"
    assert jobs.status(folder).phase == "paused"
    changed = answer("set", learning_rate=5e-4, logging_steps=1)
    assert changed.note == (
        f"learning_rate 0.001 -> 0.0005 from step {stands + 1} on; "
        f"logging_steps 2 -> 1 from step {stands + 1} on"
    )
    for wrong, why in (
        ({"learning_rate": 0}, "must be a number above 0"),
        ({"logging_steps": 0.5}, "must be a whole number"),
        ({"lora_alpha": 3}, "can't be changed in flight"),
    ):
        refused = answer("set", **wrong)
        assert not refused.ok
        assert why in refused.note
    assert answer("resume").note == paused_at.replace("paused", "going on")
    assert not answer("resume").ok
    # Said in one breath, each is done in its turn.
    jobs.send(folder, "pause")
    assert answer("resume").ok
    assert answer("pause").ok
    jobs.send(folder, "resume")
    assert answer("pause").note.startswith("paused after step ")
    assert answer("resume").ok
    after = jobs.status(folder).step
    wait_for(lambda: jobs.status(folder).step > after + 2, folder)
    # Each step is logged now, at the new rate; the schedule goes on from the new base.
    later = [m for m in of(Metrics, folder) if "loss" in m.values and m.step > stands]
    assert [m.step for m in later[:3]] == [stands + 1, stands + 2, stands + 3]
    for metrics in later:
        left = 1 - (metrics.step - 1) / 100000
        assert metrics.values["learning_rate"] == pytest.approx(5e-4 * left, rel=1e-6)
    assert f"learning_rate 0.001 -> 0.0005 from step {stands + 1} on" in [
        log.message for log in of(Log, folder)
    ]

    # SIGKILL: died, with the way on; resume goes on from the checkpoint.
    second = answer("checkpoint").note
    resumed_from = int(second.rsplit("-", 1)[1])
    identity = process.read(folder)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    state = ended(folder)
    assert state.state == "died"
    assert f"it can resume from {second}" in state.message
    assert resume(folder).name == f"checkpoint-{resumed_from}"
    assert jobs.status(folder).running, "a resumed run is never taken for a dead one"
    told_of = jobs.status(folder).warnings[-1].message
    assert told_of.startswith(f"died at step {state.step}: its process was killed (SIGKILL")
    assert f"; resumed from checkpoint-{resumed_from}" in told_of

    def new_metrics() -> list[Metrics]:
        return [m for m in of(Metrics, folder) if m.step > resumed_from]

    wait_for(lambda: len(new_metrics()) >= 4, folder)
    steps = [m.step for m in new_metrics() if "loss" in m.values]
    assert steps[0] > resumed_from
    assert steps[0] == resumed_from + 1, "the new logging interval goes on too"
    assert new_metrics()[0].values["learning_rate"] < 5.01e-4, "and so does the new rate"
    assert steps == sorted(set(steps))
    tokens = [m.values["num_tokens"] for m in new_metrics() if "loss" in m.values]
    assert tokens[0] > 300, "the token count goes on too"
    trained = [m for m in of(Metrics, folder) if "loss" in m.values]
    a_step = max(b.values["num_tokens"] - a.values["num_tokens"] for a, b in pairs(trained[:8]))
    assert 0 < tokens[0] - trained[-len(tokens) - 1].values["num_tokens"] <= a_step * 2
    with pytest.raises(BadInput, match="nothing to resume"):
        resume(folder)

    # stop: a checkpoint, the adapter, cancelled; and from there it can go on again.
    assert answer("stop").ok
    state = ended(folder)
    assert state.state == "cancelled"
    last = jobs.status(folder).step
    assert state.message.startswith(f"stopped at step {last} of 100000")
    assert last_checkpoint(folder) == folder / f"checkpoints/checkpoint-{last}"
    assert (folder / "adapter" / "lineage.json").is_file()
    assert state.artifacts[-1].kind == "adapter"
    history = json.loads((folder / "checkpoints" / "trainer_state.json").read_bytes())
    assert told(folder) == history["log_history"], "once and in order, whatever happened between"

    # Stop now: it ends without saving, and can be resumed from what was saved before.
    adapter_before = (folder / "adapter" / "lineage.json").read_bytes()
    resume(folder)
    wait_for(lambda: jobs.status(folder).step > last, folder)
    state = jobs.stop_now(folder, patience=LIMIT)
    assert state.state == "cancelled"
    assert state.message.startswith("stopped now at step ")
    assert state.message.endswith(f"checkpoint-{last} can be resumed")
    assert last_checkpoint(folder) == folder / f"checkpoints/checkpoint-{last}"
    assert (folder / "adapter" / "lineage.json").read_bytes() == adapter_before

    # SIGTERM is a stop. What has changed since the run began is said.
    first_adapter = state.artifacts[-1].sha256
    base, data = project.root / "models/tiny", project.root / "data/train.jsonl"
    (base / "generation_config.json").write_text('{"max_new_tokens": 7}')
    with data.open("a") as file:
        file.write(json.dumps(chat("one", "more")) + "\n")
    resume(folder, queue=True)  # the line is empty: at once
    wait_for(lambda: jobs.status(folder).step > last, folder)
    warned = [
        log.message for log in of(Log, folder) if "is not what the run began with" in log.message
    ]
    assert [words.partition(" is not")[0] for words in warned] == [
        f"the base model {base}",
        str(data),
    ]
    identity = process.read(folder)
    assert identity is not None
    os.kill(identity.pid, signal.SIGTERM)
    state = ended(folder)
    assert state.state == "cancelled"
    adapter = state.artifacts[-1]
    assert adapter.kind == "adapter"
    assert adapter.sha256 != first_adapter
    assert fingerprint(folder / "adapter" / "adapter_model.safetensors") == adapter.sha256
    assert not list(folder.glob(".adapter*"))


def test_a_full_disk_in_mid_run_fails_with_a_sentence_and_loses_nothing(project: Project) -> None:
    project.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(project.runs)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    try:
        keep_all = "save_steps: 1\n  save_total_limit: null"
        path = configured(
            project, **{"max_steps: 12": "max_steps: 3000", "save_steps: 4": keep_all}
        )
        folder = start(project, path)
        state = ended(folder)
        assert state.state == "failed"
        assert "is full" in state.message
        last = last_checkpoint(folder)
        assert last is not None
        assert f"checkpoints/{last.name} is whole" in state.message
        assert "tuiwb train --resume base-v1" in state.message
        assert all(is_whole(p) for p in checkpoints(folder))
        raw = (folder / "events.jsonl").read_bytes()
        assert raw.endswith(b"\n")
        assert len(events(folder)) == raw.count(b"\n"), "every line is whole"
        # With room again it goes on.
        for old in checkpoints(folder)[:-1]:
            subprocess.run(["rm", "-r", str(old)], check=True)
        before = state.step
        resume(folder)
        wait_for(lambda: jobs.status(folder).step > before, folder)
        jobs.send(folder, "stop")
        assert ended(folder).state == "cancelled"
    finally:
        reap(project)
        subprocess.run(["umount", "-l", str(project.runs)], check=True)


def test_the_lineage_names_the_best_checkpoints_step_where_that_one_is_saved(
    project: Project, here: None
) -> None:
    # A learning rate that ruins the model again: the best evaluation is not the last.
    path = configured(
        project,
        **{
            "learning_rate: 1.0e-3": "learning_rate: 3.0\n  load_best_model_at_end: true\n"
            "  lr_scheduler_type: constant",
            "eval_steps: 6": "eval_steps: 1",
            "save_steps: 4": "save_steps: 1",
        },
    )
    folder = start(project, path)
    state = jobs.status(folder)
    assert state.state == "finished", state.message
    evaluations = {
        m.step: m.values["eval_loss"] for m in of(Metrics, folder) if "eval_loss" in m.values
    }
    best = min(evaluations, key=lambda step: evaluations[step])
    assert best < 12
    lineage = json.loads((folder / "adapter" / "lineage.json").read_bytes())
    assert (lineage["step"], lineage["trained_to"]) == (best, 12)
    assert lineage["metrics"]["eval_loss"] == evaluations[best]
    assert of(Artifact, folder)[-1].step == best
    weights = "adapter_model.safetensors"
    saved = fingerprint(folder / "adapter" / weights)
    assert saved == fingerprint(folder / f"checkpoints/checkpoint-{best}" / weights)


def test_a_loss_that_is_nan_is_logged_as_nan_with_an_alert(project: Project, here: None) -> None:
    path = configured(
        project,
        **{"learning_rate: 1.0e-3": "learning_rate: 1.0e+30\n  max_grad_norm: 0\n  optim: sgd"},
    )
    folder = start(project, path)
    state = jobs.status(folder)
    losses = [m.values["loss"] for m in of(Metrics, folder) if "loss" in m.values]
    assert any(math.isnan(loss) for loss in losses)
    assert 0.0 not in losses
    alerts = [alert for alert in of(Alert, folder) if alert.rule == "not_finite"]
    assert alerts[0].severity == "critical"
    assert "loss is nan at step" in "\n".join(a.evidence for a in alerts)
    assert len({(a.rule, a.evidence.split()[0]) for a in alerts}) == len(alerts)
    (adapter,) = [made for made in of(Artifact, folder) if made.kind == "adapter"]
    assert adapter.finite is False
    assert f"the adapter of {folder.name} holds numbers that are not finite (its loss was NaN" in (
        "\n".join(said.message for said in of(Log, folder))
    )
    # What the run leaves is still readable JSON everywhere.
    json.dumps(state.as_json(), allow_nan=False)
    lineage = (folder / "adapter" / "lineage.json").read_text()
    json.loads(lineage, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def real_data() -> Path | None:
    checkout = Path(__file__).parents[2]
    folder = Path(os.environ.get("TUIWB_REAL_DATA") or checkout.parent / "shared" / "data")
    file = folder / "alpaca_en_demo.json"
    return file if file.is_file() else None


def test_twenty_steps_on_a_real_alpaca_file(project: Project, here: None) -> None:
    file = real_data()
    if file is None:
        pytest.skip("no alpaca_en_demo.json in TUIWB_REAL_DATA or beside the checkout")
    path = configured(project, **{"data/train.jsonl": str(file), "max_steps: 12": "max_steps: 20"})
    folder = start(project, path)
    state = jobs.status(folder)
    assert state.state == "finished", state.message
    assert (state.step, state.total_steps) == (20, 20)
    assert jobs.load(folder).spec["rows"]["train"] > 900
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()


def test_the_trainer_gets_each_row_as_it_is_in_the_file() -> None:
    from tuiwb.train.sft import ROW, to_dataset

    rows: list[dict[str, Any]] = [
        chat("a", "b"),
        {
            "messages": [
                {"role": "user", "content": "c"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
                },
                {"role": "tool", "content": "1", "name": "f"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"y": 2}}}],
        },
        {
            "messages": chat("d", "e")["messages"],
            "tools": [{"type": "function", "function": {"name": "g", "parameters": {"z": []}}}],
        },
    ]
    dataset = to_dataset(rows)
    for n, row in enumerate(rows):
        # No other row's keys appear as None: a chat template would see them.
        assert dataset[n]["messages"] == row["messages"]
        tools = dataset[n]["tools"]
        assert (json.loads(tools) if tools else None) == row.get("tools")
        assert dataset[n][ROW] == n
