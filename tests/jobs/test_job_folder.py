"""Job folders: made once, read back, named safely, fingerprinted."""

import hashlib
import os
from pathlib import Path

import pytest

from tuiwb.errors import BadInput
from tuiwb.jobs import control
from tuiwb.jobs.folder import check_name, create, fingerprint, load, write_atomically


def test_a_job_is_read_back_as_it_was_asked(tmp_path: Path) -> None:
    spec = {"model": {"base": "/m"}, "rate": 1e-4, "on": True, "text": "a: b\n\x1b[31m", "no": None}
    made = create(tmp_path / "runs" / "a", "train", spec, fingerprints={"/d": "sha256:1"})
    assert load(tmp_path / "runs" / "a") == made
    assert made.spec == spec
    assert made.name == "a"


def test_a_second_job_of_the_same_name_is_refused_and_the_first_untouched(tmp_path: Path) -> None:
    create(tmp_path / "a", "train", {"n": 1})
    with pytest.raises(BadInput, match="exists already"):
        create(tmp_path / "a", "train", {"n": 2})
    assert load(tmp_path / "a").spec == {"n": 1}


@pytest.mark.parametrize(
    "name", ["", "..", "../up", "a/b", "a\0b", ".hidden", "-x", "a" * 65, "a..b", "naïve", "a\n"]
)
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="can't be a run's name"):
        check_name(name)


def test_a_folder_without_a_job_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no job\.yaml"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: {a\nb: [", ":2, the file is damaged there and no YAML any more; put it back"),
        ("kind: a\nname: \x00\n", "yaml, the file is damaged there"),
        (
            "kind: train\n",
            "it is not what a job was asked .*missing required field `name`.*; put it",
        ),
        ("", "it is not what a job was asked"),
    ],
)
def test_a_damaged_job_is_one_sentence_of_what_where_and_what_to_do(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(BadInput, match=said) as refused:
        load(tmp_path)
    told = str(refused.value)
    assert told.startswith(f"can't read {tmp_path / 'job.yaml'}")
    assert "'tuiwb runs remove'" in told
    assert "\n" not in told


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "keep").write_text("old")
    with pytest.raises(OSError):  # noqa: PT011 (a folder can't be replaced by a file)
        write_atomically(target, b"new")
    assert os.listdir(tmp_path) == ["folder"]
    assert (target / "keep").read_text() == "old"


def test_a_fingerprint_changes_with_contents_and_names_and_nothing_else(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "a").write_bytes(b"1")
    assert fingerprint(one) == fingerprint(two)
    (two / "in" / "a").rename(two / "in" / "b")
    assert fingerprint(one) != fingerprint(two)
    file = one / "in" / "a"
    assert fingerprint(file) == "sha256:" + hashlib.sha256(b"1").hexdigest()


def test_commands_reach_the_worker_once_and_in_order(tmp_path: Path) -> None:
    reader = control.ControlReader(tmp_path)
    assert reader.read() == []
    sent = [control.send(tmp_path, c).id for c in ("checkpoint", "pause", "stop")]
    with (tmp_path / "control.jsonl").open("ab") as file:
        file.write(b"garbage\n" + b'{"command":"st')
    assert [c.id for c in reader.read()] == sent
    assert reader.read() == []


def test_an_unknown_command_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown command 'explode'"):
        control.send(tmp_path, "explode")
    assert not (tmp_path / "control.jsonl").exists()
