"""Triage in a real worker: alerts in the log while nobody watches, a spike's rows named, the loss
on general rows; and which rows a pack holds."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.train.here import workers_here
from tests.train.test_training import of
from tests.train.tiny import write_rows
from tuiwb import jobs
from tuiwb.jobs.events import Alert, Metrics, State
from tuiwb.monitor.recovery import steps
from tuiwb.monitor.triage import cleared
from tuiwb.monitor.triage.facts import read_facts
from tuiwb.project import Project, copy_sample
from tuiwb.train.start import start

pytestmark = pytest.mark.slow

CONFIG = """\
model: {base: models/tiny-chat}
data: {train: data/spiked.jsonl, heldout: data/few.jsonl, canary: data/few_general.jsonl}
lora: {r: 16, lora_alpha: 32}
training:
  max_steps: 26
  per_device_train_batch_size: 4
  learning_rate: 2.0e-3
  lr_scheduler_type: constant
  logging_steps: 2
  train_sampling_strategy: sequential
  eval_strategy: steps
  eval_steps: 13
  save_strategy: "no"
  max_length: 256
"""
GARBAGE = range(81, 85)  # lines of the file


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on data with four garbled rows, which nobody watched."""
    project: Project = copy_sample(tmp_path_factory.mktemp("live") / "project")
    data = project.root / "data"
    rows = rows_of(data / "support.jsonl")[:160]
    for line in GARBAGE:
        *asked, answer = rows[line - 1]["messages"]  # type: ignore[misc]
        garbled = {**answer, "content": "#@~^|QZXJ9" * 8}
        rows[line - 1] = {"messages": [*asked, garbled]}
    write_rows(data / "spiked.jsonl", rows)
    write_rows(data / "few.jsonl", rows_of(data / "heldout.jsonl")[:8])
    write_rows(data / "few_general.jsonl", rows_of(data / "canary.jsonl")[:16])
    config = project.root / "configs" / "spiked.yaml"
    config.write_text(CONFIG)
    with workers_here():
        run = start(project, config, "spiked")
    state = jobs.status(run)
    assert state.state == "finished", state.message
    return run


def test_a_spike_is_in_the_log_of_a_run_nobody_watched_with_the_very_rows(folder: Path) -> None:
    alerts = of(Alert, folder)
    spike = next(alert for alert in alerts if alert.rule == "loss_spike")
    # Eighty rows, four a step, come first: the garbage is step 21, logged with step 22.
    assert spike.step == 22
    assert "worst batch is in step 21" in spike.evidence
    assert [place.rpartition("/")[2] for place in spike.rows] == [
        f"spiked.jsonl:{line}" for line in GARBAGE
    ]
    assert any(cleared(alert) and alert.rule == "loss_spike" for alert in alerts)
    others = {a.rule for a in alerts if a.severity != "note" and a.rule != "loss_spike"}
    assert others <= {"forgetting"}, "garbage may well make it forget"
    assert of(State, folder)[-1].state == "finished", "nothing comes after the last word"


def test_the_loss_on_general_rows_stands_beside_the_bases_own(folder: Path) -> None:
    canary = [m for m in of(Metrics, folder) if "canary_loss" in m.values]
    assert [m.step for m in canary] == [13, 26]
    assert len({m.values["canary_base_loss"] for m in canary}) == 1
    assert all(m.values["canary_loss"] != m.values["canary_base_loss"] for m in canary)
    facts = read_facts(folder)
    assert facts is not None
    assert (facts.rows, facts.heldout_rows, facts.canary_rows, facts.unstopped) == (160, 8, 16, 0)


def test_recovery_of_it_begins_at_the_data_with_the_adapter_seen_to_be_applied(
    folder: Path,
) -> None:
    made = {step.key: step for step in steps(folder)}
    assert made["data"].verdict == "bad", "the spike is over, its rows still are in the data"
    assert any("spiked.jsonl:81" in line for line in made["data"].evidence)
    assert made["template"].verdict == "good"
    assert made["adapter"].verdict == "good"


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
def test_the_rows_in_each_pack_are_known_whatever_the_strategy(strategy: str) -> None:
    from datasets import Dataset
    from trl.data_utils import pack_dataset

    from tuiwb.train.batches import ROW
    from tuiwb.train.sft import _with_rows

    lengths = [5 + (7 * n) % 23 for n in range(50)]
    tokens = Dataset.from_dict(
        {
            "input_ids": [[1000 * n + i for i in range(k)] for n, k in enumerate(lengths)],
            "labels": [[1] * k for k in lengths],
            ROW: [2 * n for n in range(50)],
        }
    )
    args = SimpleNamespace(max_length=24, packing_strategy=strategy, dataset_num_proc=None)
    packed = pack_dataset(tokens.select_columns(["input_ids", "labels"]), 24, strategy, {})
    for pack in _with_rows(packed, tokens, args):
        rows = list(dict.fromkeys(2 * (t // 1000) for t in pack["input_ids"]))
        assert pack[ROW] == rows
