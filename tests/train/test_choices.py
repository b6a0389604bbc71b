"""What a new config proposes: never what must not be trained on, the newest version first."""

import json
import os
from pathlib import Path

import pytest

from tuiwb.errors import BadInput
from tuiwb.project import Project
from tuiwb.train.choices import bases, datasets, free_place, heldout_for, is_held_out, place_of
from tuiwb.train.config import load_config
from tuiwb.train.template import new_config

CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}


def fill(path: Path, rows: int, row: dict[str, object] = CHAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{json.dumps(row)}\n" * rows)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Datasets whose names sort the wrong way: canary first, the large one is held out."""
    for name, rows in (("canary", 9), ("heldout", 20), ("ood", 9), ("chats", 3), ("replay", 5)):
        fill(tmp_path / "data" / f"{name}.jsonl", rows)
    fill(tmp_path / "data" / "preference.jsonl", 30, PAIR)
    fill(tmp_path / "data" / "odd.jsonl", 50)
    (tmp_path / "tuiwb.yaml").write_text("base_model: models/m\ngate: {ood: data/odd.jsonl}\n")
    return Project(tmp_path)


def names(project: Project) -> list[str]:
    return [path.stem for path in datasets(project)]


def test_what_one_trains_on_comes_first_and_what_must_not_be_trained_on_last(
    project: Project,
) -> None:
    fill(project.root / "data" / "chats_raw.jsonl", 60)
    assert names(project)[:4] == ["replay", "chats", "chats_raw", "preference"]
    assert set(names(project)[4:]) == {"canary", "heldout", "ood", "odd"}
    config = project.root / "configs" / "a.yaml"
    config.parent.mkdir()
    config.write_text("model: {base: own/base}\ndata: {train: [data/chats.jsonl]}\n")
    assert names(project)[:2] == ["chats", "replay"], "what a config trains on is meant again"
    assert bases(project) == ["models/m", "own/base"]


def test_a_split_is_trained_on_with_its_own_held_out_rows_and_not_with_anothers(
    project: Project,
) -> None:
    first = project.root / "data" / "versions" / "chats-v1"
    for folder in (first, first.with_name("chats-v2")):
        fill(folder / "train.jsonl", 2)
        fill(folder / "heldout.jsonl", 1)
    os.utime(first / "train.jsonl", (1, 1))
    newest = first.with_name("chats-v2") / "train.jsonl"
    assert datasets(project)[0] == newest
    assert heldout_for(project, newest) == newest.with_name("heldout.jsonl")
    source = project.root / "data" / "chats.jsonl"
    assert heldout_for(project, source) == project.root / "data" / "heldout.jsonl"
    assert free_place(project, newest).name == "chats-v2-lora.yaml"
    (project.root / "data" / "heldout.jsonl").unlink()
    assert heldout_for(project, source) is None, "a version's held-out rows came from this file"


def test_a_new_config_is_refused_for_files_that_are_not_there(project: Project) -> None:
    with pytest.raises(BadInput, match=r"no file data/chat\.jsonl: did you mean data/chats\.jsonl"):
        new_config(project, data="data/chat.jsonl")
    with pytest.raises(BadInput, match=r"no file data/held\.jsonl"):
        new_config(project, heldout="data/held.jsonl")
    assert not project.configs()
    for path in project.datasets():
        if path.stem in ("chats", "replay", "preference"):
            path.unlink()
    with pytest.raises(BadInput, match="none of the 4 datasets"):
        new_config(project)


def test_a_name_goes_into_configs_and_a_path_is_taken_as_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place_of(project, "mine") == project.root / "configs" / "mine.yaml"
    assert place_of(project, "mine.v2") == project.root / "configs" / "mine.v2.yaml"
    for path in ("configs/a.yaml", "a.yml", "./a"):
        assert place_of(project, path) == Path(path)
    with pytest.raises(BadInput, match="can't be a config's name"):
        place_of(project, "my run")
    with pytest.raises(BadInput, match="no home folder for ~no-such-user"):
        place_of(project, "~no-such-user/a.yaml")
    monkeypatch.chdir(project.root)
    config, _ = load_config(new_config(project, "mine"))
    assert config is not None
    assert (config.data.train, config.data.heldout) == ("data/replay.jsonl", "data/heldout.jsonl")


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("held-out", True), ("my_heldout", True), ("test", True), ("chats.test", True),
        ("latest", False), ("contest", False), ("retrieval", False), ("development", False),
    ],
)  # fmt: skip
def test_held_out_is_told_by_whole_words(name: str, held: bool) -> None:
    assert is_held_out(Path(f"{name}.jsonl")) is held
