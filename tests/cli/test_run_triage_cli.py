"""`tuiwb runs triage|fix|tick` on a recorded run."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Tuiwb
from tests.monitor.recording import recorded
from tests.monitor.test_recovery import unpack

CONFIG = """\
model: {base: models/tiny-chat}
data: {train: data/support.jsonl, heldout: data/few.jsonl}
training: {learning_rate: 0.08, max_steps: 30}  # too high
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with a sound run and one whose learning rate is too high."""
    (tmp_path / "tuiwb.yaml").write_text("name: t\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "high.yaml").write_text(CONFIG)
    runs = {run.name: run for run in recorded()}
    bad = runs["learning_rate_high-31"]
    bad.job.spec["config_file"] = str(tmp_path / "configs" / "high.yaml")
    unpack(bad, tmp_path / "runs" / "high")
    unpack(runs["healthy-01"], tmp_path / "runs" / "sound")
    return tmp_path


def test_triage_says_what_is_wrong_and_exits_1_and_0_for_a_sound_run(tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "triage", "high")
    assert done.returncode == 1
    assert "critical  learning_rate_high: loss rose to" in done.stdout
    assert "change: training.learning_rate: 0.002" in done.stdout
    assert "looks wrong  learning_rate: " in done.stdout
    sound = tuiwb("runs", "triage", "sound", "--json")
    assert sound.returncode == 0, sound.stdout
    said = json.loads(sound.stdout)
    assert said["alerts"] == []
    assert len(said["recovery"]) == 6


def test_fix_writes_a_config_of_its_own_and_tick_is_kept(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "fix", "high", "learning_rate_high")
    assert done.returncode == 0, done.stderr
    assert "training.learning_rate: 0.08 -> 0.002" in done.stdout
    made = home / "configs" / "high-fix-1.yaml"
    assert "learning_rate: 0.002" in made.read_text()
    assert (home / "configs" / "high.yaml").read_text() == CONFIG
    none = tuiwb("runs", "fix", "high", "overfitting")
    assert none.returncode == 2
    assert "has no fix for 'overfitting': there are" in none.stderr
    assert tuiwb("runs", "tick", "high", "data").returncode == 0
    assert "(ticked by you)" in tuiwb("runs", "triage", "high").stdout
    assert tuiwb("runs", "tick", "high", "data", "--undo").returncode == 0
    assert "ticked by you" not in tuiwb("runs", "triage", "high").stdout
    assert tuiwb("runs", "tick", "high", "soul").returncode == 2
