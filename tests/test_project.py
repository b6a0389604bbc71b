"""What a project's folder holds is found, and what only stands beside rows is not."""

from pathlib import Path

from tuiwb.project import Project


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
