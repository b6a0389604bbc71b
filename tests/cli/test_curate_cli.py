"""`tuiwb data clean, split, mix, mark, marks, edit, review, versions`: one dataset's way."""

import contextlib
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.cli.row_editor import edited_by_hand
from tuiwb.data.manifest import verify
from tuiwb.data.marks import Marks
from tuiwb.data.read import open_dataset
from tuiwb.errors import MissingHere

SAMPLE = Path(__file__).parents[2] / "sample_data" / "data"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the sample's raw and general data; the current folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "tuiwb.yaml").write_text("name: test\n")
    for name in ("support_raw.jsonl", "support.jsonl", "general.jsonl"):
        (tmp_path / "data" / name).write_bytes((SAMPLE / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def out(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    code, text, err = out(capsys, *arguments, "--json")
    # How far it is, now and then, where it takes long.
    said = [
        line for line in err.splitlines() if not re.fullmatch(r"[\w ]+: [\d,]+ of [\d,]+", line)
    ]
    assert (code, said) == (0, [])
    return json.loads(text)


@pytest.fixture
def piped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command whose stdin is a pipe that holds `answers`."""

    def call(*arguments: object, answers: str) -> tuple[int, str, str]:
        end, start = os.pipe()
        os.write(start, answers.encode())
        os.close(start)
        with open(end, encoding="utf-8") as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            return out(capsys, *arguments)

    return call


Piped = Callable[..., tuple[int, str, str]]


def test_clean_says_what_it_does_first_and_then_what_came_of_it(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    code, text, _ = out(capsys, "clean", "data/support_raw.jsonl")
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == (
        "operations: apply marks, fix invisible, fix line_ends, fix trailing_space, "
        "fix empty_system, drop exact and near duplicates"
    )
    assert lines[1] == "read: 1,282 in, 1,276 out, 6 broken dropped"
    folder = project / "data" / "versions" / "support_raw-v1"
    assert lines[-1].startswith(f"{folder}: ")
    assert verify(folder) == []


def test_each_option_of_clean_is_an_operation(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    outcome = as_json(
        capsys, "clean", "data/support_raw.jsonl", "--redact", "--kinds", "email,phone",
        "--fix", "merge_turns,line_ends", "--fix", "surrogates", "--drop", "role_order",
        "--drop-severity", "error", "--drop-exact", "--repeat", "hard:2", "--out", "mine",
        "--against", "data/general.jsonl",
    )  # fmt: skip
    assert [o["op"] for o in outcome["operations"]] == [
        "read", "fix_line_ends", "fix_surrogates", "fix_merge_turns", "redact", "drop_findings",
        "drop_exact_duplicates", "repeat",
    ]  # fmt: skip
    assert Path(outcome["folder"]).name == "mine-v1"
    assert outcome["operations"][4]["parameters"] == {"kinds": ["email", "phone"]}
    parameters = outcome["operations"][5]["parameters"]
    assert parameters["checks"] == ["role_order", "leakage"]


@pytest.mark.parametrize("inside", [True, False], ids=["below the project", "elsewhere"])
def test_a_file_that_is_not_here_is_looked_for_in_the_project(
    capsys: pytest.CaptureFixture[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    inside: bool,
) -> None:
    below = project / "notes"
    below.mkdir()
    monkeypatch.chdir(below if inside else tmp_path_factory.mktemp("elsewhere"))
    where: list[object] = [] if inside else ["-C", project]
    file, general = "data/few.jsonl", "data/general.jsonl"
    (project / file).write_bytes(b"".join((project / general).open("rb").readlines()[:40]))
    (project / "row.json").write_text('{"text": "new"}')
    for arguments in (
        ["mark", file, 3, "hard"],
        ["marks", file],
        ["edit", file, 2, "--from", "row.json"],
        ["review", file, "--report"],
        ["clean", file, "--against", "data/support.jsonl", "--dry-run"],
        ["split", file],
        ["mix", file, "--with", general, "--dry-run"],
        ["versions", "verify", "data/versions/few-v1"],
    ):
        code, _, err = out(capsys, *arguments, *where)
        assert (code, err) == (0, ""), arguments
    assert Marks(project / file, open_dataset(project / file)).counts() == {"hard": 1, "edited": 1}
    assert [v["name"] for v in as_json(capsys, "versions", *where)] == ["few-v1"]


def test_of_two_files_of_one_name_the_one_taken_is_said(
    capsys: pytest.CaptureFixture[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = project / "notes" / "data"
    here.mkdir(parents=True)
    (here / "support.jsonl").write_text('{"text": "a"}\n')
    monkeypatch.chdir(here.parent)
    code, text, err = out(capsys, "mark", "data/support.jsonl", 0, "hard", "-C", project)
    assert (code, text) == (0, "1 row marked hard; now 1 hard\n")
    theirs = project / "data" / "support.jsonl"
    assert err == f"taken is {here / 'support.jsonl'}, not {theirs}\n"
    assert Marks(theirs, open_dataset(theirs)).counts() == {"edited": 0}


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    for arguments in (
        ["clean", "data/support_raw.jsonl"],
        ["split", "data/support.jsonl"],
        ["mix", "data/support.jsonl", "--with", "data/general.jsonl"],
    ):
        code, text, _ = out(capsys, *arguments, "--dry-run")
        assert code == 0
        assert text.endswith("dry run: nothing was written\n")
        assert as_json(capsys, *arguments, "--dry-run")["folder"] is None
    assert not (project / "data" / "versions").exists()


def test_split_then_check_finds_no_leak(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    code, text, _ = out(capsys, "split", "data/support.jsonl", "--heldout", "0.1", "--seed", 3)
    assert code == 0
    assert "1,080 train, 120 heldout, share 10.0%" in text
    folder = project / "data" / "versions" / "support-v1"
    code, checked, _ = out(
        capsys, "check", folder / "train.jsonl", "--against", folder / "heldout.jsonl", "--json"
    )
    assert [f for f in json.loads(checked)["findings"] if f["check"] == "leakage"] == []


def test_mix_takes_general_rows(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    outcome = as_json(
        capsys, "mix", "data/support.jsonl", "--with", "data/general.jsonl", "--share", "0.1"
    )
    assert outcome["operations"][1]["counts"]["general"] == 133
    rows = open_dataset(f"{outcome['folder']}/data.jsonl")
    assert sum(row.tags.get("source") == "general.jsonl" for row in rows) == 133


def test_marks_are_set_listed_undone_and_applied(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    file = "data/support.jsonl"
    code, text, _ = out(capsys, "mark", file, "3,7-9", "hard", "--note", "slang")
    assert (code, text) == (0, "4 rows marked hard; now 4 hard\n")
    as_json(capsys, "mark", file, 5, "drop")
    listed = as_json(capsys, "marks", file)
    assert [(m["row"], m["mark"]) for m in listed["marks"]] == [
        (3, "hard"), (5, "drop"), (7, "hard"), (8, "hard"), (9, "hard")
    ]  # fmt: skip
    assert listed["marks"][0]["note"] == "slang"
    assert as_json(capsys, "marks", file, "--undo")["counts"] == {"hard": 4, "edited": 0}
    assert as_json(capsys, "marks", file, "--redo")["counts"]["drop"] == 1
    outcome = as_json(capsys, "clean", file, "--apply-marks", "--repeat", "hard:2")
    assert outcome["operations"][-1]["counts"]["out"] == 1200 - 1 + 4
    assert out(capsys, "marks", file, "--redo")[0] == 2


def test_marks_whose_row_is_gone_are_said_to_be_stale(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    file = project / "data" / "support.jsonl"
    as_json(capsys, "mark", file, 0, "drop")
    file.write_bytes(file.read_bytes().split(b"\n", 1)[1])
    listed = as_json(capsys, "marks", file)
    assert (listed["marks"], listed["stale"][0]["row"]) == ([], 0)
    outcome = as_json(capsys, "clean", file, "--apply-marks")
    assert outcome["notes"] == ["1 marks match no row any more, made for rows 0"]


def test_edit_takes_a_record_from_stdin_or_a_file_and_gives_it_back(
    capsys: pytest.CaptureFixture[str], project: Path, piped: Piped
) -> None:
    file = "data/support.jsonl"
    code, text, _ = piped("edit", file, 2, "--from", "-", answers='{"text": "new"}')
    assert code == 0
    assert '+  "text": "new"' in text
    code, _, err = piped("edit", file, 2, "--from", "-", answers='{"text": 1}')
    assert (code, err.count("\n")) == (2, 1)
    assert "text is a number, not text" in err
    assert as_json(capsys, "marks", file)["counts"] == {"edited": 1}
    assert as_json(capsys, "edit", file, 2, "--revert")["changed"] is True
    assert as_json(capsys, "marks", file)["marks"] == []


def test_review_takes_answers_from_a_pipe_and_goes_on_where_it_was_left(
    project: Path, piped: Piped
) -> None:
    file = "data/support.jsonl"
    code, text, _ = piped("review", file, "--sample", 4, answers="a\nr\nperhaps\nu\ns\n")
    assert code == 0
    assert "'p' is no answer" in text
    assert "── 1 of 4: " in text
    assert "1 of 1,200 rows reviewed (0.1%)" in text
    _, text, err = piped("review", file, "--sample", 4, "--json", answers="a\na\nr\na\n")
    assert "── 1 of 3: " in err
    report = json.loads(text)
    assert (report["reviewed"], report["accepted"], report["rejected"]) == (4, 3, 1)
    _, text, _ = piped("review", file, "--report", answers="")
    assert "3 accepted (0 after an edit), 1 rejected: 75.0% acceptance" in text
    code, _, err = piped("review", file, "--only-synthetic", answers="")
    assert (code, "no row whose provenance" in err) == (2, True)


def test_an_edit_in_review_that_is_no_row_asks_again(
    project: Path, piped: Piped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "sed -i s/messages/mess/")
    monkeypatch.delenv("VISUAL", raising=False)
    _, text, _ = piped("review", "data/support.jsonl", "--sample", 1, answers="e\nq\n")
    assert "error: the edited row has mess, but no fields" in text
    assert "0 of 1,200 rows reviewed" in text
    monkeypatch.setenv("EDITOR", "sed -i s/support/SUPPORT/")
    _, text, _ = piped("review", "data/support.jsonl", "--sample", 1, answers="e\n")
    assert "1 accepted (1 after an edit)" in text


def test_an_edit_that_can_not_be_saved_is_kept_and_goes_on_from_there(
    capsys: pytest.CaptureFixture[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(project))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i '2s/:/ =/; s/role/role of mine/'")
    code, _, err = out(capsys, "edit", "data/support.jsonl", 3)
    assert code == 2
    assert "the edit is not JSON: line 2, column 14" in err
    said = re.search(r"what you typed is kept: mend (.+), then (tuiwb .*)$", err.strip())
    assert said is not None
    kept = Path(said[1])
    assert "role of mine" in kept.read_text()
    kept.write_text(kept.read_text().replace(" =", ":", 1).replace("role of mine", "role"))
    command = shlex.split(said[2])
    assert command[:3] == ["tuiwb", "data", "edit"]
    assert out(capsys, *command[2:])[0] == 0
    monkeypatch.setenv("EDITOR", "true")
    assert out(capsys, "edit", "data/support.jsonl", 3)[1].strip() == "nothing changed"
    assert list(project.glob("tuiwb-edit-*")) == [kept.parent], "only what was typed is kept"


def test_an_edit_that_can_not_be_written_is_saved_later_as_it_was_asked(
    project: Path, piped: Piped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(project))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("VISUAL", raising=False)
    file = project / "data" / "support.jsonl"
    journal = Marks(file, open_dataset(file)).path
    editor = project / "editor"
    editor.write_text(f"sed -i s/support/SUPPORT/ \"$1\"; mkdir '{journal}'\n")
    monkeypatch.setenv("EDITOR", f"sh '{editor}'")

    def once_mended(said: str) -> list[str]:
        """The command that is told, once the journal can be written again."""
        found = re.search(r"what you typed is kept in .+: once that is mended, (tuiwb .*)$", said)
        assert found is not None, said
        journal.rmdir()
        return shlex.split(found[1])[2:]

    code, _, err = piped("edit", file, 3, "--note", "too coy", answers="")
    assert (code, "mend " in err) == (2, False)
    assert piped(*once_mended(err.strip()), answers="")[0] == 0
    marks = Marks(file, open_dataset(file))
    assert [marks.state(row).note for row in open_dataset(file)][3] == "too coy"
    journal.unlink()
    _, text, _ = piped("review", file, "--sample", 1, answers="e\n")
    said = next(line for line in text.splitlines() if line.startswith("error: "))
    assert piped(*once_mended(said), answers="")[0] == 0
    _, text, _ = piped("review", file, "--report", answers="")
    assert "1 accepted (1 after an edit)" in text


def test_why_an_edit_can_not_be_saved_decides_the_exit_code(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(project))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/support/SUPPORT/")
    file = project / "data" / "support.jsonl"

    def save(record: dict[str, Any]) -> None:
        raise MissingHere("there is no disk")

    with pytest.raises(MissingHere, match="there is no disk; what you typed is kept in "):
        edited_by_hand(file, open_dataset(file).row(3), save)


def test_in_a_terminal_the_editor_opens_again_with_what_was_typed(project: Path) -> None:
    editor = project / "editor"
    editor.write_text(
        "if mkdir seen; then sed -i '2s/:/ =/; s/assistant/system/' \"$1\"\n"
        "else sed -i '2s/ =/:/' \"$1\"; fi 2> /dev/null\n"
    )
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tuiwb", "data", "edit", "data/support.jsonl", "3"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**os.environ, "VISUAL": "", "EDITOR": f"sh {shlex.quote(str(editor))}"},
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"y\n")
    seen = bytearray()
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            seen += chunk
    os.close(master)
    assert process.wait(180) == 0
    assert b"line 2, column 14" in seen
    assert b"Edit on?" in seen
    dataset = open_dataset(project / "data" / "support.jsonl")
    edited = Marks(dataset.path, dataset).state(dataset.row(3)).record
    assert edited is not None
    assert "system" in {turn["role"] for turn in edited["messages"]}


def test_review_in_a_terminal_takes_single_keys(project: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tuiwb", "data", "review", "data/support.jsonl", "--sample", "3"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(master, 4096):
                seen.extend(chunk)
        except OSError:
            return

    reader = threading.Thread(target=read)
    reader.start()

    def until(words: bytes) -> None:
        deadline = time.monotonic() + 180
        while words not in seen and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        assert words in seen

    for place, key in ((b"1 of 3", b"a"), (b"2 of 3", b"R"), (b"3 of 3", b"\x1b")):
        until(place)
        os.write(master, key)
    until(b"2 of 1,200 rows reviewed")
    assert process.wait(180) == 0
    reader.join()
    os.close(master)


def test_versions_are_listed_and_verified(
    capsys: pytest.CaptureFixture[str], project: Path
) -> None:
    assert out(capsys, "versions")[1].startswith("no versions in ")
    as_json(capsys, "split", "data/support.jsonl")
    as_json(capsys, "clean", "data/support.jsonl", "--drop-exact")
    listed = as_json(capsys, "versions")
    assert [v["name"] for v in listed] == ["support-v1", "support-v2"]
    assert listed[0]["rows"] == {"train.jsonl": 1140, "heldout.jsonl": 60}
    assert [v["problems"] for v in as_json(capsys, "versions", "verify")] == [[], []]
    with (project / "data" / "versions" / "support-v2" / "data.jsonl").open("ab") as file:
        file.write(b"{}\n")
    code, text, _ = out(capsys, "versions", "verify")
    assert code == 1
    assert "support-v2: changed\n  ! " in text
    assert out(capsys, "versions", "verify", "data/versions/support-v1")[0] == 0
    assert out(capsys, "versions", "verify", "data")[0] == 1
    assert out(capsys, "versions", "burn")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["clean", "data/none.jsonl"], "there is no file"),
        (["clean", "data/support.jsonl", "--repeat", "hard"], "not a mark and a number"),
        (["clean", "data/support.jsonl", "--fix", "bogus"], "'bogus' is no fix"),
        (["clean", "data/support.jsonl", "--out", "../x"], "can't be a version's name"),
        (["split", "data/support.jsonl", "--by", "colour"], "has no column 'colour'"),
        (["mix", "data/support.jsonl", "--with", "data/none.jsonl"], "there is no file"),
        (["mark", "data/support.jsonl", "x", "drop"], "names no rows"),
        (["mark", "data/support.jsonl", "3,7-2", "drop"], "7-2 counts backwards: write 2-7"),
        (["mark", "data/support.jsonl", "1200", "drop"], "no row 1200"),
        (["mark", "data/support.jsonl", "1", "maybe"], "is no mark"),
        (["edit", "data/support.jsonl", "1", "--from", "none.json"], "there is no file none.json"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], project: Path, arguments: list[str], sentence: str
) -> None:
    code, said, err = out(capsys, *arguments)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert "bogus" not in said


def test_hostile_text_is_shown_inert(project: Path, piped: Piped) -> None:
    path = project / "data" / "hostile.jsonl"
    path.write_text(json.dumps({"text": "a\x1b[31m\ud800\u202e"}) + "\n")
    code, text, _ = piped("review", path, "--sample", 1, answers="a\n")
    assert code == 0
    assert "a␛[31m\\ud800\\u202e" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        ({"operation": "clean", "parameters": {"cleaning": {"drop_near": True}}},
         ["data.jsonl", "dropped.jsonl", "manifest.json"]),
        ({"operation": "split", "parameters": {"share": 0.1, "seed": 2}},
         ["dropped.jsonl", "heldout.jsonl", "manifest.json", "train.jsonl"]),
        ({"operation": "mix", "parameters": {"general": "data/general.jsonl"}},
         ["data.jsonl", "dropped.jsonl", "manifest.json"]),
    ],
)  # fmt: skip
def test_a_job_makes_the_same_version(
    project: Path, spec: dict[str, Any], files: list[str]
) -> None:
    if "general" in spec["parameters"]:
        spec["parameters"]["general"] = str(project / "data" / "general.jsonl")
    folder = project / "runs" / "work"
    jobs.create(folder, "version", {**spec, "path": str(project / "data" / "support_raw.jsonl")})
    from tuiwb.jobs.run import main

    assert main(folder) == 0
    assert jobs.status(folder).state == "finished"
    result = json.loads((folder / "version.json").read_text())
    made = Path(result["folder"])
    assert made == project / "data" / "versions" / "support_raw-v1"
    assert sorted(p.name for p in made.iterdir()) == files
    assert verify(made) == []


def test_a_job_with_a_wrong_spec_fails_with_one_sentence(project: Path) -> None:
    folder = project / "runs" / "work"
    spec = {"path": str(project / "data" / "support.jsonl"), "operation": "split",
            "parameters": {"portion": 1}}  # fmt: skip
    jobs.create(folder, "version", spec)
    from tuiwb.jobs.run import main

    assert main(folder) == 2
    assert "not those of split" in jobs.status(folder).message
