"""What a project's folder holds is found, and what only stands beside rows is not."""

import os
from pathlib import Path

import pytest

from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.project import Project, no_project


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def listed(root: Path) -> list[str]:
    return [str(path.relative_to(root / "data")) for path in Project(root).datasets()]


def test_files_are_datasets_by_name_compressed_ones_too(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.jsonl", "b.jsonl.gz", "c.csv.zst", "d.parquet", "e.txt", "f.gz",
          "a.jsonl.marks", ".hidden.jsonl", "deep/er/g.tsv")  # fmt: skip
    assert listed(tmp_path) == ["a.jsonl", "b.jsonl.gz", "c.csv.zst", "d.parquet", "deep/er/g.tsv"]


def test_a_version_shows_its_rows_and_not_what_stands_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "versions" / "support-v1"
    touch(folder, "train.jsonl", "heldout.jsonl", "manifest.json", "dropped.jsonl")
    touch(folder.parent, ".support-begun-0123456789ab/data.jsonl")
    assert listed(tmp_path) == [
        "versions/support-v1/heldout.jsonl", "versions/support-v1/train.jsonl"
    ]  # fmt: skip


def test_shards_and_a_saved_dataset_are_one_dataset_each(tmp_path: Path) -> None:
    touch(tmp_path / "data", "big/train-00000-of-00002.parquet", "big/train-00001-of-00002.parquet",
          "saved/state.json", "saved/dataset_info.json", "saved/data-00000-of-00001.arrow",
          "two/dataset_dict.json", "two/train/state.json", "two/train/dataset_info.json",
          "lonely-00000-of-00001.parquet")  # fmt: skip
    assert listed(tmp_path) == ["big", "lonely-00000-of-00001.parquet", "saved", "two/train"]


def test_a_link_that_leads_back_up_ends(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.jsonl")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert "a.jsonl" in listed(tmp_path)


def test_the_manifest_beside_exported_rows_is_no_dataset(tmp_path: Path) -> None:
    touch(tmp_path / "data", "dpo.jsonl", "dpo.manifest.json", "manifest.jsonl")
    assert listed(tmp_path) == ["dpo.jsonl", "manifest.jsonl"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\ngate:\n  cut: 0.1\n  canary_regresion: 0.1\n",
         ":4: unknown key 'canary_regresion' in gate: did you mean 'canary_regression'?"),
        ("nmae: x", ":1: unknown key 'nmae': did you mean 'name'?"),
        ("python: {zzzzz: x}", ":1: unknown key 'zzzzz' in python: the keys are train, vllm"),
        ("\ngate: {cut: many}", ":2: gate.cut must be a share, 0 to 1, not 'many'"),
        ("name: x\nrater mia\njudge: y\n", ":2 is not YAML: no ': ' after the key: 'rater mia'"),
        ("name: 'x\nrater: mia\n", ":1 is not YAML: a quote is opened here and not closed"),
        ("name: \0\n", " is not YAML: a control character, which YAML doesn't take"),
        ("gate: [1]", ":1: gate must be a section with keys below it, not [1]"),
        ("alerts:\n  from: warn", ":2: alerts.from must be note or warning or critical, not "
         "'warn': did you mean warning?"),
        ("gate:\n  optional:\n  - a\n  - 3", ":4: gate.optional.1 must be text, not 3"),
        ("- 1", ":1: the file must be a section with keys below it, not [1]"),
        ("gate: {1: x}", ": a key is no text: put it in quotes, or see that it is one"),
        ("rater: [a]", ":1: rater must be text or null, not ['a']"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_line_and_what_it_must_be(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "tuiwb.yaml").write_text(text)
    with pytest.raises(BadInput) as told:
        Project(tmp_path)
    assert str(told.value) == f"{tmp_path / 'tuiwb.yaml'}{said}"


def test_a_name_that_is_no_runs_is_answered_with_the_newest_runs_alone(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with pytest.raises(BadInput, match=r"there are none$"):
        project.run("nope")
    for number in range(10):
        jobs.create(project.runs / f"train-{number}", "train", {})
        os.utime(project.runs / f"train-{number}" / "job.yaml", (1000.0 + number, 1000.0 + number))
    jobs.create(project.runs / "serve-1", "serve", {})
    with pytest.raises(BadInput, match=r"there are train-9, train-8, .*, train-2 and 2 older"):
        project.run("nope")
    with pytest.raises(BadInput, match="did you mean 'serve-1'"):
        project.run("serve1")


def test_a_folder_that_is_no_project_is_called_so_and_the_one_below_it_named(
    tmp_path: Path,
) -> None:
    assert "`tuiwb init` makes it one, `tuiwb demo` opens" in no_project(Project(tmp_path))
    touch(tmp_path, "notes.txt", "sub/file.txt")
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "tuiwb.yaml").write_text("name: demo\n")
    assert "`tuiwb .demo` opens the project below it" in no_project(Project(tmp_path))
    assert no_project(Project(tmp_path / ".demo")) == ""
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert no_project(Project(tmp_path)) == "", "rows are enough to work with"
