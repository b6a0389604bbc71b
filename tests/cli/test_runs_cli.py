"""`tuiwb runs`: reads job folders as they lie on disk."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Tuiwb
from tuiwb.jobs import create, process
from tuiwb.jobs.events import Alert, Artifact, EventWriter, Log, Metrics, State


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished, a failed and a queued run, and a compare inside the first."""
    root = tmp_path_factory.mktemp("runs_cli")
    for name, end in (("good", "finished"), ("bad", "failed")):
        folder = root / "runs" / name
        create(folder, "train", {})
        writer = EventWriter(folder / "events.jsonl")
        writer.emit(State(state="running", phase="training", t=1000.0))
        writer.emit(Metrics(step=3, epoch=0.5, total_steps=6, values={"loss": math.nan}, t=1001.0))
        writer.emit(Artifact(kind="checkpoint", path="checkpoints/checkpoint-3", step=3, t=1002.0))
        writer.emit(Log(level="warn", message="died at step 9: killed by SIGKILL", t=1002.5))
        writer.emit(Log(message="by the way", t=1002.6))
        writer.emit(Alert(rule="r", severity="warning", evidence="\x1b[31mred", fix="f", t=1003.0))
        writer.emit(
            State(state=end, message="the disk is full" if end == "failed" else "", t=1010.0)
        )
        writer.close()
    create(root / "runs" / "good" / "compare", "compare", {})
    create(root / "runs" / "waiting", "train", {})
    return root


def test_show_gives_every_promised_field_as_json(tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "show", "good", "--json")
    assert done.returncode == 0
    shown = json.loads(done.stdout)
    assert {"name", "kind", "state", "step", "total_steps", "metrics", "started", "ended"} <= set(
        shown
    )
    assert (shown["name"], shown["kind"], shown["state"]) == ("good", "train", "finished")
    assert (shown["step"], shown["total_steps"]) == (3, 6)
    assert shown["metrics"] == {"loss": "NaN"}
    assert (shown["started"], shown["ended"]) == (1000.0, 1010.0)
    assert shown["alerts"][0]["evidence"] == "\x1b[31mred"
    assert shown["artifacts"][0]["path"] == "checkpoints/checkpoint-3"


def test_show_tells_of_a_death_before_a_resume(tuiwb: Tuiwb) -> None:
    lines = tuiwb("runs", "show", "good").stdout.splitlines()
    assert f"{'warned':<12} died at step 9: killed by SIGKILL" in lines
    assert "by the way" not in "".join(lines)


@pytest.mark.parametrize("arguments", [("runs",), ("runs", "list")])
def test_the_list_has_a_row_for_every_job_oldest_first(
    tuiwb: Tuiwb, arguments: tuple[str, ...]
) -> None:
    done = tuiwb(*arguments)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["NAME", "KIND", "STATE", "STEP"]
    assert [line.split()[0] for line in lines[1:]] == ["good", "bad", "good/compare", "waiting"]
    listed = json.loads(tuiwb(*arguments, "--json").stdout)
    assert [job["state"] for job in listed] == ["finished", "failed", "queued", "queued"]


def test_show_says_it_in_words_with_hostile_text_made_visible(tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "show", "bad")
    assert done.returncode == 0
    assert "the disk is full" in done.stdout
    assert "checkpoints/checkpoint-3  (removed since)" in done.stdout
    assert "\x1b" not in done.stdout
    assert "␛[31mred" in done.stdout


def test_following_a_failed_run_prints_its_history_and_exits_4(tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "follow", "bad")
    assert done.returncode == 4
    assert "step 3/6  loss nan" in done.stdout
    assert "ALERT warning" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "10s  failed: the disk is full"


def test_following_as_json_leaves_stdout_to_one_document(tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "follow", "good", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["state"] == "finished"
    assert "step 3/6" in done.stderr


def test_a_run_whose_process_was_killed_is_shown_as_died_and_follow_exits_4(
    home: Path, tuiwb: Tuiwb
) -> None:
    folder = home / "runs" / "killed"
    create(folder, "train", {})
    child = subprocess.Popen(["sleep", "60"])
    process.write(folder, process.identify(child.pid))
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="running", phase="training"))
    writer.close()
    child.kill()
    child.wait()
    try:
        assert json.loads(tuiwb("runs", "show", "killed", "--json").stdout)["state"] == "died"
        done = tuiwb("runs", "follow", "killed")
        assert done.returncode == 4
        assert "error: killed died: the process is gone without a word at step 0" in done.stderr
    finally:
        for file in folder.iterdir():
            os.unlink(file)
        folder.rmdir()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("runs", "show", "goood"), "did you mean 'good'?"),
        (("runs", "show", "../x"), "no run named '../x'"),
        (("runs", "stop", "good"), "good is not running: it has finished"),
        (("runs", "checkpoint", "bad"), "bad is not running: it has failed"),
        (("train", "--resume", "good"), "good has finished"),
        (("train", "--resume", "bad"), "left no whole checkpoint"),
        (("train",), "give either a config to start a run, or --resume NAME"),
        (("train", "--resume", "bad", "--name", "x"), "--name goes with a config"),
    ],
)
def test_what_can_not_be_done_is_one_sentence_and_exit_2(
    tuiwb: Tuiwb, arguments: tuple[str, ...], sentence: str
) -> None:
    done = tuiwb(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_project_says_how_to_start(
    tmp_path: Path, tuiwb: Tuiwb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = tuiwb("runs")
    assert done.returncode == 0
    assert f"{tmp_path} is no project" in done.stdout
    assert "`tuiwb init` makes it one" in done.stdout
    (tmp_path / "tuiwb.yaml").touch()
    assert "tuiwb train CONFIG starts one" in tuiwb("runs").stdout
    assert json.loads(tuiwb("runs", "--json").stdout) == []
