"""What runs were asked differently."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.monitor.some_runs import SPEC, job
from tuiwb.errors import BadInput
from tuiwb.jobs.environment import ENVIRONMENT, Environment
from tuiwb.monitor.diff import config_diff

FILE = "/data/support.jsonl"


def asked(tmp_path: Path, name: str, sha: str = "sha256:aa", **changes: Any) -> Path:
    spec = copy.deepcopy(SPEC)
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        spec[section][key] = value
    return job(tmp_path / "runs" / name, [], spec, {FILE: sha, "org/qwen-tiny": "sha256:base"})


def test_only_what_differs_is_told_with_dotted_keys(tmp_path: Path) -> None:
    a = asked(tmp_path, "a")
    b = asked(tmp_path, "b", training__learning_rate=1e-4)
    c = asked(tmp_path, "c", lora__r=64)
    diff = config_diff([a, b, c])
    assert diff.runs == ["a", "b", "c"]
    assert diff.table() == [
        ["lora.r", "16", "16", "64"],
        ["training.learning_rate", "0.002", "0.0001", "0.002"],
    ]
    assert config_diff([a, a]).differs == []


def test_a_key_that_one_of_them_has_not_is_told_apart_from_null(tmp_path: Path) -> None:
    a = asked(tmp_path, "a", training__warmup_steps=None)
    b = asked(tmp_path, "b")
    diff = config_diff([a, b])
    assert diff.table() == [["training.warmup_steps", "null", "–"]]
    assert diff.differs[0].values == {"a": None}


def test_numbers_are_told_as_one_writes_them_and_a_number_that_stands_for_none_says_so(
    tmp_path: Path,
) -> None:
    a = asked(tmp_path, "a", training__logging_steps=2.0, training__max_steps=-1)
    b = asked(tmp_path, "b", training__logging_steps=0.5, training__max_steps=40)
    told = {row[0]: row[1:] for row in config_diff([a, b]).table()}
    assert told == {
        "training.logging_steps": ["2", "0.5"],
        "training.max_steps": ["-1 (no limit)", "40"],
    }


def test_a_file_that_changed_under_its_name_differs_by_its_fingerprint(tmp_path: Path) -> None:
    diff = config_diff([asked(tmp_path, "a"), asked(tmp_path, "b", sha="sha256:bb")])
    assert diff.table() == [["data.train.sha256", "sha256:aa", "sha256:bb"]]


def test_another_file_of_the_same_rows_differs_only_by_its_path(tmp_path: Path) -> None:
    a = asked(tmp_path, "a")
    spec = {**copy.deepcopy(SPEC), "data": {"train": ["/x.jsonl"], "heldout": None}}
    b = job(
        tmp_path / "runs" / "b", [], spec,
        {"/x.jsonl": "sha256:aa", "org/qwen-tiny": "sha256:base"},
    )  # fmt: skip
    assert [d.key for d in config_diff([a, b]).differs] == ["data.train"]


def test_libraries_that_the_workers_ran_with_are_compared(tmp_path: Path) -> None:
    folders = []
    for name, torch in (("a", "2.13.0"), ("b", "2.12.1")):
        folder = asked(tmp_path, name)
        here = Environment(python="3.11.9", libraries={"torch": torch, "trl": "1.16.0"})
        (folder / ENVIRONMENT).write_bytes(msgspec.json.encode(here))
        folders.append(folder)
    assert config_diff(folders).table() == [["libraries.torch", "2.13.0", "2.12.1"]]


def test_one_run_makes_no_difference_and_a_folder_that_is_no_job_is_told(tmp_path: Path) -> None:
    a = asked(tmp_path, "a")
    with pytest.raises(BadInput, match="two runs or more"):
        config_diff([a])
    with pytest.raises(BadInput, match="not a job folder"):
        config_diff([a, tmp_path])
