"""Tags, note and archive of a run."""

import multiprocessing
import os
from pathlib import Path

import pytest

from tuiwb.errors import BadInput
from tuiwb.jobs.labels import (
    LABELS,
    Labels,
    add_tags,
    archive,
    read_labels,
    remove_tags,
    set_note,
)


def test_a_run_without_labels_has_none_and_asking_writes_nothing(tmp_path: Path) -> None:
    assert read_labels(tmp_path) == Labels()
    assert os.listdir(tmp_path) == []


def test_labels_are_kept_and_each_change_leaves_the_others(tmp_path: Path) -> None:
    add_tags(tmp_path, ["b", "a", "b"])
    set_note(tmp_path, "two\nlines \x1b[31m \ud800")
    archive(tmp_path)
    remove_tags(tmp_path, ["b", "never there"])
    labels = read_labels(tmp_path)
    assert (labels.tags, labels.archived) == (("a",), True)
    assert labels.note == "two\nlines \x1b[31m ?"
    assert archive(tmp_path, False).archived is False
    assert os.listdir(tmp_path) == [LABELS]


@pytest.mark.parametrize("tag", ["", "two words", "a,b", "-x", "x" * 41, "a:b", "\x1b[31m"])
def test_what_is_no_tag_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(BadInput, match="can't be a tag"):
        add_tags(tmp_path, ["good", tag])
    assert read_labels(tmp_path).tags == ()


@pytest.mark.parametrize("data", [b"", b"{", b'{"tags": 3}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_file_is_told_and_never_written_over(tmp_path: Path, data: bytes) -> None:
    (tmp_path / LABELS).write_bytes(data)
    with pytest.raises(BadInput, match="mend it, or delete it"):
        add_tags(tmp_path, ["a"])
    assert (tmp_path / LABELS).read_bytes() == data


def _tag(folder: Path, name: str) -> None:
    for n in range(20):
        add_tags(folder, [f"{name}{n}"])


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_tag, args=(tmp_path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_labels(tmp_path).tags) == 60
