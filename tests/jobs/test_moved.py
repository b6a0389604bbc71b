"""A job of a project that was moved or copied: its paths are those of the present place."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import JOB


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A project with a base model, data, a config, a trained run and a job about it."""
    root = tmp_path / "old"
    for name in ("models/tiny/config.json", "data/train.jsonl", "configs/support.yaml"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("{}")
    base, outside = str(root / "models" / "tiny"), str(tmp_path / "elsewhere.jsonl")
    Path(outside).write_text("")
    asked = {
        "model": {"base": base},
        "data": {"train": [str(root / "data" / "train.jsonl"), outside]},
        "config_file": str(root / "configs" / "support.yaml"),
        "prices": f"{root}/prices.yaml",
    }
    run = root / "runs" / "support-v1"
    jobs.create(run, "train", asked, fingerprints={base: "sha256:1", "data": "sha256:2"})
    (run / "adapter").mkdir()
    jobs.create(run / "compare", "compare", {"run": str(run), "adapter": str(run / "adapter")})
    return root


def elsewhere(old: Path, how: str) -> Path:
    new = old.parent / "deeper" / "new"
    new.parent.mkdir()
    if how == "copied":
        return Path(shutil.copytree(old, new))
    return old.rename(new)


def without_its_folder(job: Path) -> None:
    """job.yaml as versions wrote it that did not say where the job was created."""
    kept: dict[str, Any] = msgspec.yaml.decode((job / JOB).read_bytes())
    del kept["folder"]
    (job / JOB).write_bytes(msgspec.yaml.encode(kept))


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_paths_inside_a_project_that_stands_elsewhere_are_those_of_its_new_place(old, how):
    was = jobs.load(old / "runs" / "support-v1").spec
    assert was["model"]["base"] == str(old / "models" / "tiny")
    new = elsewhere(old, how)
    run = new / "runs" / "support-v1"
    job = jobs.load(run)
    assert job.spec["model"]["base"] == str(new / "models" / "tiny")
    outside = was["data"]["train"][1]
    assert job.spec["data"]["train"] == [str(new / "data" / "train.jsonl"), outside]
    assert job.spec["config_file"] == str(new / "configs" / "support.yaml")
    assert job.spec["prices"] == str(new / "prices.yaml")  # in neither place; it may come
    assert job.fingerprints == {str(new / "models" / "tiny"): "sha256:1", "data": "sha256:2"}
    about = jobs.load(run / "compare").spec
    assert about == {"run": str(run), "adapter": str(run / "adapter")}


def test_a_moved_project_of_an_older_version_is_known_by_its_run_and_its_config(old):
    run = old / "runs" / "support-v1"
    for job in (run, run / "compare"):
        without_its_folder(job)
    new = elsewhere(old, "moved")
    (new / "support.yaml").write_text("{}")  # by it alone the old place could be configs/, too
    run = new / "runs" / "support-v1"
    assert jobs.load(run).spec["model"]["base"] == str(new / "models" / "tiny")
    assert jobs.load(run / "compare").spec["adapter"] == str(run / "adapter")


def test_a_config_outside_that_is_still_there_makes_no_other_place_of_an_older_run(old, tmp_path):
    run = old / "runs" / "support-v1"
    without_its_folder(run)
    mine = tmp_path / "mine"
    shutil.copytree(old / "configs", mine / "configs")
    shutil.copytree(old / "models", mine / "models")
    shutil.copytree(run, mine / "runs" / "support-v1")
    kept = jobs.load(mine / "runs" / "support-v1").spec
    assert kept["model"]["base"] == str(old / "models" / "tiny")


def test_a_run_under_another_name_finds_what_lies_in_it(old):
    run = old / "runs" / "support-v1"
    renamed = run.rename(run.with_name("kept"))
    about = {"run": str(renamed), "adapter": str(renamed / "adapter")}
    assert jobs.load(renamed / "compare").spec == about
    assert jobs.load(renamed).spec["model"]["base"] == str(old / "models" / "tiny")


def test_a_link_to_a_project_is_no_other_place(old, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(old)
    run = "runs/support-v1"
    assert jobs.load(link / run).spec == jobs.load(old / run).spec


def test_what_was_left_behind_in_the_old_place_is_taken_from_there(old):
    new = elsewhere(old, "copied")
    (new / "data" / "train.jsonl").unlink()
    kept = jobs.load(new / "runs" / "support-v1").spec["data"]["train"][0]
    assert kept == str(old / "data" / "train.jsonl")


@pytest.mark.parametrize("name", ["\0", "x" * 5000])
def test_a_text_that_can_be_no_path_breaks_nothing(old, name):
    jobs.create(old / "runs" / "odd", "train", {"thing": f"{old}/{name}", "other": f"{old}{name}"})
    new = elsewhere(old, "moved")
    kept = jobs.load(new / "runs" / "odd").spec
    assert kept == {"thing": f"{new}/{name}", "other": f"{old}{name}"}


@pytest.mark.parametrize("asked", ["&s {a: *s}", "{a: " + "[" * 500 + "]" * 500 + "}"])
def test_a_moved_job_without_an_end_is_refused_in_a_sentence(tmp_path, asked):
    text = f"kind: train\nname: odd\ncreated: 1\nfolder: /gone/odd\nspec: {asked}\n"
    (tmp_path / JOB).write_text(text)
    with pytest.raises(BadInput, match=r"job\.yaml, it is nested deeper than any job; put it back"):
        jobs.load(tmp_path)


@pytest.mark.parametrize("folder", ["", ".", "runs/support-v1"])
def test_a_folder_that_is_no_whole_path_says_nothing_of_the_place(old, folder):
    job = old / "runs" / "support-v1" / JOB
    kept = msgspec.yaml.decode(job.read_bytes())
    kept["folder"], kept["spec"]["thing"] = folder, "./data/train.jsonl"
    job.write_bytes(msgspec.yaml.encode(kept))
    assert jobs.load(job.parent).spec == kept["spec"]
