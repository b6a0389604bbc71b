"""Tags, note and archive of a run."""

import os
import subprocess
import sys
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


# Each waits until all are there, so that they do write at once.
TAGS = """
import sys
from pathlib import Path
from tuiwb.jobs.labels import add_tags
print(flush=True)
sys.stdin.readline()
for n in range(20):
    add_tags(Path(sys.argv[1]), [f"{sys.argv[2]}{n}"])
"""


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", TAGS, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in "abc"
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(read_labels(tmp_path).tags) == 60
