"""An alert's fix becomes a config of its own, checked, comments kept."""

from pathlib import Path

import pytest

from tests.train.tiny import build_project
from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.project import Project
from tuiwb.train.config import load_config
from tuiwb.train.fixes import apply_change, told
from tuiwb.train.plan import plan
from tuiwb.train.rerun import config_again

CONFIG = """\
# What this run is for.
name: first
model: {base: models/tiny}
data: {train: data/train.jsonl, heldout: data/heldout.jsonl}
training:
  learning_rate: 2.0e-3  # tuned by hand
  save_strategy: epoch
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(CONFIG)
    return path


def test_a_fix_is_a_new_file_with_comments_kept_and_the_users_untouched(config: Path) -> None:
    made = apply_change(config, {"training.learning_rate": 4e-4, "lora.lora_alpha": 32})
    assert made == config.with_name("base-fix-1.yaml")
    assert config.read_text() == CONFIG
    text = made.read_text()
    assert "# What this run is for." in text
    assert "# tuned by hand" in text
    fixed, problems = load_config(made)
    assert fixed is not None, problems
    assert (fixed.training.learning_rate, fixed.lora.lora_alpha) == (4e-4, 32)
    assert fixed.name is None, "two runs can't have one name"


def test_a_fix_of_a_fix_counts_on(config: Path) -> None:
    first = apply_change(config, {"training.learning_rate": 1e-3})
    second = apply_change(first, {"training.learning_rate": 5e-4})
    assert [first.name, second.name] == ["base-fix-1.yaml", "base-fix-2.yaml"]
    assert apply_change(config, {"training.max_steps": 10}).name == "base-fix-3.yaml"


def test_a_fix_that_breaks_the_config_is_refused_and_writes_nothing(config: Path) -> None:
    for change in (
        {"training.learning_rate": -1.0},
        {"training.no_such_key": 1},
        {"training.load_best_model_at_end": True, "training.save_strategy": "no"},
        {},
    ):
        with pytest.raises(BadInput):
            apply_change(config, change)
    assert list(config.parent.glob("*fix*")) == []


def test_a_missing_or_unreadable_config_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is gone"):
        apply_change(tmp_path / "none.yaml", {"training.max_steps": 5})
    broken = tmp_path / "broken.yaml"
    broken.write_text("training: [")
    with pytest.raises(BadInput):
        apply_change(broken, {"training.max_steps": 5})


def test_the_change_is_told_with_the_old_value(config: Path) -> None:
    assert told(config, {"training.learning_rate": 4e-4, "training.packing": True}) == [
        "training.learning_rate: 0.002 -> 0.0004",
        "training.packing: default -> true",
    ]


def test_a_started_runs_config_comes_again_with_its_comments_while_it_is_unchanged(
    tmp_path: Path,
) -> None:
    project = Project(build_project(tmp_path / "project"))
    config = project.root / "configs" / "base.yaml"
    config.write_text("# What this run is for.\n" + config.read_text())
    folder, spec = plan(project, config)
    jobs.create(folder, "train", spec)

    fixed = config_again(project, folder, {"training.learning_rate": 2e-4})
    assert fixed == config.with_name("base-fix-1.yaml")
    assert fixed.read_text() == config.read_text().replace("1.0e-3", "0.0002")
    assert config_again(project, folder).read_text() == config.read_text()

    config.write_text(config.read_text().replace("max_steps: 12", "max_steps: 13"))
    anew = config_again(project, folder).read_text()
    assert "# What this run is for." not in anew
    assert "max_steps: 12\n" in anew
    assert "eval_steps: 6\n" in anew, "a whole number is written as one"
