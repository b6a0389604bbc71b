"""Marks: a journal beside the file whose fold is the state, through kills and changes."""

import json
import multiprocessing
import os
import pty
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.data.editing import EditorFailed, diff, edit_in_editor, edit_text, parse_edit
from tuiwb.data.formats import to_row
from tuiwb.data.marks import Entry, Fold, Marks, State, marks_path
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.records import encode_line, record_of
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, MissingHere


def dataset_of(path: Path, *texts: str) -> Dataset:
    path.write_bytes(b"".join(encode_line({"text": text}) for text in texts))
    return open_dataset(path)


def states(marks: Marks, dataset: Dataset) -> list[str | None]:
    return [marks.state(row).mark for row in dataset]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return dataset_of(tmp_path / "d.jsonl", "a", "b", "c")


def test_a_mark_stands_beside_the_file_and_is_there_the_next_time(dataset: Dataset) -> None:
    before = dataset.path.read_bytes()
    Marks(dataset.path).mark(dataset.row(1), "drop", note="off topic", by="ann")
    state = Marks(dataset.path).state(dataset.row(1))
    assert (state.mark, state.note, state.by) == ("drop", "off topic", "ann")
    assert dataset.path.read_bytes() == before
    line = json.loads(marks_path(dataset.path).read_text())
    assert {"v", "t", "seq", "by", "row", "key", "mark", "note"} == set(line)


def test_a_verdict_and_a_flag_do_not_take_each_others_place(dataset: Dataset) -> None:
    marks, row = Marks(dataset.path), dataset.row(0)
    for mark in ("hard", "accept", "keep", "reject"):
        marks.mark(row, mark)
    state = marks.state(row)
    assert (state.flag, state.verdict, state.mark) == ("keep", "reject", "keep")
    assert marks.counts() == {"keep": 1, "reject": 1, "edited": 0}
    marks.mark(row, None)
    assert (marks.state(row), len(marks)) == (State(), 0)


def test_a_flag_can_be_taken_away_without_the_verdict(dataset: Dataset) -> None:
    marks, row = Marks(dataset.path), dataset.row(0)
    marks.mark(row, "accept")
    marks.mark(row, "hard")
    marks.unflag(row)
    assert (marks.state(row).flag, marks.state(row).verdict) == (None, "accept")
    assert Marks(dataset.path).state(row).verdict == "accept"
    marks.undo()
    assert (marks.state(row).flag, marks.state(row).verdict) == ("hard", "accept")


def test_several_threads_ask_at_once(tmp_path: Path) -> None:
    """A marked row's copies, asked for in turns: each question looks the marked place up anew."""
    dataset = dataset_of(tmp_path / "d.jsonl", "a", "a", "a", "a")
    marks = Marks(dataset.path, dataset)
    marks.mark(dataset.row(0), "drop")
    failures: list[BaseException] = []

    def ask(row: Row) -> None:
        try:
            for _ in range(2_000):
                assert marks.state(row).flag is None
        except BaseException as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ask, args=(dataset.row(1),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert failures == []


def test_undo_and_redo_go_step_by_step_and_over_restarts(dataset: Dataset) -> None:
    Marks(dataset.path).mark(dataset.row(0), "hard")
    Marks(dataset.path).mark(list(dataset), "drop")
    marks = Marks(dataset.path)
    assert [entry.row for entry in marks.undo()] == [0, 1, 2]
    assert states(marks, dataset) == ["hard", None, None]
    assert [entry.row for entry in Marks(dataset.path).undo()] == [0]
    marks.refresh()
    assert states(marks, dataset) == [None, None, None]
    assert marks.undo() == []
    marks.redo()
    marks.redo()
    assert states(marks, dataset) == ["drop", "drop", "drop"]
    marks.undo()
    marks.mark(dataset.row(2), "keep")
    assert marks.redo() == []
    assert states(marks, dataset) == ["hard", None, "keep"]


STEP = st.tuples(st.integers(0, 3), st.sampled_from(["keep", "drop", "accept", None]))


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP | st.sampled_from(["undo", "redo"]), max_size=20))
def test_the_fold_is_what_a_stack_of_states_says(steps: list[Any]) -> None:
    """Against a model: the states after each step kept whole, undo and redo moving over them."""
    history: list[dict[int, tuple[str | None, str | None]]] = [{}]
    at = 0
    fold = Fold()
    for seq, step in enumerate(steps, 1):
        if step in ("undo", "redo"):
            named = fold.undoable if step == "undo" else fold.redoable
            assert (named is None) == (at == 0 if step == "undo" else at == len(history) - 1)
            if named is not None:
                fold.add(Entry(t=0, seq=seq, **{step: named}))
                at += -1 if step == "undo" else 1
        else:
            row, mark = step
            fold.add(Entry(t=0, seq=seq, row=row, key=f"k{row}", mark=mark))
            flag, verdict = history[at].get(row, (None, None))
            if mark is None:
                flag = verdict = None
            elif mark == "accept":
                verdict = mark
            else:
                flag = mark
            new = {**history[at], row: (flag, verdict)}
            history = [*history[: at + 1], new]
            at += 1
        seen = {row: (s.flag, s.verdict) for _key, row, s in fold.places()}
        assert seen == {row: pair for row, pair in history[at].items() if pair != (None, None)}


def test_a_torn_last_line_and_a_foreign_one_are_passed_over(dataset: Dataset) -> None:
    marks = Marks(dataset.path)
    marks.mark(dataset.row(0), "drop")
    with marks.path.open("ab") as file:
        file.write(b'{"v":9,"type":"of a later version"}\n\xff\n[]\n{"v":1,"t":1,"se')
    again = Marks(dataset.path)
    assert states(again, dataset) == ["drop", None, None]
    again.mark(dataset.row(2), "keep")
    assert states(Marks(dataset.path), dataset) == ["drop", None, "keep"]
    assert marks.refresh()
    assert states(marks, dataset) == ["drop", None, "keep"]


def _mark_many(path: Path, row: int) -> None:
    dataset = open_dataset(path)
    marks = Marks(path, dataset)
    for n in range(40):
        marks.mark(dataset.row(row), "keep" if n % 2 else "drop")


def test_writers_at_once_lose_nothing(dataset: Dataset) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_mark_many, args=(dataset.path, row)) for row in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    lines = [json.loads(line) for line in marks_path(dataset.path).read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 121))
    assert states(Marks(dataset.path), dataset) == ["keep"] * 3


def test_a_full_disk_leaves_no_half_line(dataset: Dataset) -> None:
    marks = Marks(dataset.path)
    marks.mark(dataset.row(0), "drop")
    before = marks.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        with pytest.raises(BadInput, match="can't write"):
            marks.mark(dataset.row(1), "drop")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert marks.path.read_bytes() == before
    marks.mark(dataset.row(1), "keep")
    assert states(Marks(dataset.path), dataset) == ["drop", "keep", None]


def test_marks_follow_their_rows_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    old = dataset_of(path, "a", "b", "c", "gone")
    Marks(path, old).mark([old.row(1), old.row(3)], "drop")
    new = dataset_of(path, "new", "a", "b", "c")
    marks = Marks(path, new)
    assert states(marks, new) == [None, None, "drop", None]
    assert [(row, state.mark) for row, state in marks.stale(new)] == [(3, "drop")]


def test_a_mark_on_one_of_two_copies_is_not_the_others(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    old = dataset_of(path, "a", "same", "same")
    Marks(path, old).mark(old.row(2), "drop")
    assert states(Marks(path, old), old) == [None, None, "drop"]
    assert states(Marks(path), old) == [None, "drop", "drop"]
    # One copy is gone: the mark goes to the one that is left, once.
    new = dataset_of(path, "same", "a")
    assert states(Marks(path, new), new) == ["drop", None]
    assert Marks(path, new).stale(new) == []
    two = dataset_of(path, "same", "same", "a", "b")
    assert states(Marks(path, two), two) == ["drop", None, None, None]


def test_an_edit_is_applied_checked_and_taken_back(dataset: Dataset) -> None:
    marks = Marks(dataset.path)
    marks.edit(dataset.row(0), {"text": "x\ud800", "n": 1})
    marks.edit(dataset.row(1), {"text": "y"}, mark="accept")
    with pytest.raises(BadInput, match="no fields that can be trained on"):
        marks.edit(dataset.row(2), {"txt": "z"})
    again = Marks(dataset.path)
    rows = list(again.applied(dataset))
    assert [(row.text, row.index, row.line, s.verdict) for row, s in rows] == [
        ("x\ud800", 0, 1, None), ("y", 1, 2, "accept"), ("c", 2, 3, None)
    ]  # fmt: skip
    assert again.counts() == {"accept": 1, "edited": 2}
    again.edit(dataset.row(0), None)
    again.undo()
    again.undo()
    assert [row.text for row, _state in again.applied(dataset)] == ["x\ud800", "b", "c"]


def test_a_broken_row_can_be_marked_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": \n')
    dataset = open_dataset(path)
    marks = Marks(path, dataset)
    assert edit_text(dataset.row(1)) == '{"text": \n'
    marks.edit(dataset.row(1), {"text": "mended"})
    assert [row.text for row, _state in Marks(path, dataset).applied(dataset)] == ["a", "mended"]


def test_an_unknown_mark_is_refused(dataset: Dataset) -> None:
    with pytest.raises(BadInput, match="'maybe' is no mark: one of keep, drop, hard"):
        Marks(dataset.path).mark(dataset.row(0), "maybe")
    assert not marks_path(dataset.path).exists()


# Editing

HOSTILE = ["a\ud800b", "\ufeff\u200b\u202e", "line\nline\u2028\x85", "\x1b[31m\0\x7f", '"\\', "é😀"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_edited_is_shown_whole_and_comes_back(text: str) -> None:
    row = to_row({"messages": [{"role": "user", "content": text}], "x": text}, "f", 0, 1)
    shown = edit_text(row)
    assert parse_edit(shown) == record_of(row)
    assert shown.encode("utf-8")
    assert all(c == "\n" or c.isprintable() for c in shown)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" \n", "the edit is empty"),
        ('{"text": "a",\n "b" 1}', "not JSON: line 2, column 6"),
        ('{"text": "a"} x', "line 1, column 15"),
        ("[]", "is a list, not an object"),
        ('{"messages": []}', "messages is an empty list"),
        ('{"text": "a", "text": "b"}', "'text' stands twice"),
        ("[" * 100_000, "can't be read"),
    ],
)
def test_an_edit_that_is_no_row_says_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        parse_edit(text)


def test_a_diff_shows_the_lines_that_changed() -> None:
    row = to_row({"text": "a", "n": 1}, "f", 0, 1)
    assert diff(row, {"text": "b", "n": 1})[3:] == [
        ' {', '-  "text": "a",', '+  "text": "b",', '   "n": 1'
    ]  # fmt: skip
    assert diff(row, {"text": "a", "n": 1}) == []


def test_the_users_editor_edits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/one/two/")
    assert edit_in_editor('{"text": "one é"}') == '{"text": "two é"}'
    monkeypatch.setenv("VISUAL", "false")
    with pytest.raises(BadInput, match="ended with code 1: nothing is saved"):
        edit_in_editor("x")
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    with pytest.raises(MissingHere, match="can't run the editor"):
        edit_in_editor("x")
    monkeypatch.delenv("VISUAL")
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingHere, match="set EDITOR"):
        edit_in_editor("x")


def test_an_editor_that_ends_badly_leaves_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    monkeypatch.setenv("VISUAL", f"sh {editor}")
    for script, left in (
        ("printf 'half a li' > $1; exit 3", "half a li"),
        ("printf 'half a li' > $1; kill -9 $$", "half a li"),
        (r"printf 'caf\351' > $1", r"caf\xe9"),
    ):
        editor.write_text(script)
        with pytest.raises(EditorFailed, match="nothing is saved") as failed:
            edit_in_editor("x")
        assert failed.value.text == left


def test_ctrl_c_in_an_editor_is_not_ours_to_end_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "editor").write_text("trap : INT; kill -INT $PPID; printf typed > $1")
    monkeypatch.setenv("VISUAL", f"sh {tmp_path / 'editor'}")
    assert edit_in_editor("x") == "typed"


def test_where_no_file_to_edit_can_be_written_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/none")
    with pytest.raises(MissingHere, match="can't write a file to edit"):
        edit_in_editor("x")


def test_a_journal_that_can_not_be_read_or_written_is_one_sentence(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "d.jsonl", "a")
    os.mkdir(marks_path(dataset.path))
    with pytest.raises(BadInput, match="can't read"):
        Marks(dataset.path)


def test_in_a_terminal_where_no_editor_is_set_vi_is_one(tmp_path: Path) -> None:
    editor = tmp_path / "vi"
    editor.write_text('#!/bin/sh\n/bin/sed -i s/before/after/ "$1"\n')
    editor.chmod(0o755)
    ours, theirs = pty.openpty()
    edited = "from tuiwb.data.editing import edit_in_editor as edit; print(edit('before'))"
    done = subprocess.run(
        [sys.executable, "-c", edited],
        stdin=theirs,
        env={**os.environ, "VISUAL": "", "EDITOR": "", "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert (done.stdout, done.stderr) == ("after\n", "")
