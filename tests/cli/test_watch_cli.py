"""`tuiwb watch`: printed where there is no terminal, on a screen where there is one."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.cli.conftest import Done, Tuiwb
from tests.monitor.some_runs import job
from tuiwb.cli import run
from tuiwb.jobs.events import Metrics, State

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}


@pytest.fixture
def tuiwb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tuiwb:
    """The command line in this process, in a folder, where there is no terminal."""

    def call(*arguments: str, cwd: Path) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        code = run(list(arguments))
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    events = [
        State(state="running", phase="training", t=1000.0),
        Metrics(step=3, total_steps=6, t=1001.0, values={"loss": float("nan"), "eval_loss": 0.5}),
        State(state="failed", message="the disk is full", t=1010.0),
    ]
    return job(tmp_path / "runs" / "a", events)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What a TRL run left."""
    out = tmp_path / "their output"
    (out / "checkpoint-2").mkdir(parents=True)
    history = [{"step": 1, "loss": 2.0, "epoch": 0.5}, {"step": 2, "loss": 1.5, "epoch": 1.0}]
    (out / "checkpoint-2" / "trainer_state.json").write_text(
        json.dumps({"global_step": 2, "max_steps": 8, "log_history": history})
    )
    return out


def test_a_job_folder_is_printed_with_the_exit_code_of_its_end(folder: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("watch", str(folder), "--once", cwd=folder)
    assert done.returncode == 4
    assert "failed: the disk is full" in done.stdout
    assert "3 of 6" in done.stdout
    by_name = tuiwb("watch", "a", cwd=folder.parents[1])
    assert by_name.stdout.splitlines()[:4] == done.stdout.splitlines()[:4]


def test_json_gives_the_state_and_the_last_value_of_each_metric(folder: Path, tuiwb: Tuiwb) -> None:
    found = json.loads(tuiwb("watch", str(folder), "--json", cwd=folder).stdout)
    assert found["last"]["loss"] == {"step": 3, "value": "NaN", "points": 1}
    assert found["last"]["eval_loss"]["value"] == 0.5
    assert found["state"] == "failed"


def test_another_trainers_folder_is_printed_outside_any_project(output: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("watch", output.name, cwd=output.parent)
    assert done.returncode == 0, done.stderr
    assert "running (training): last written less than a minute ago" in done.stdout
    assert "step 2/8  loss 1.5" in done.stdout
    found = json.loads(tuiwb("watch", output.name, "--json", cwd=output.parent).stdout)
    assert (found["commands"], found["total_steps"]) == ([], 8)


def test_curves_of_another_trainers_folder_are_exported(output: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "export", str(output), "--curves", "x.csv", cwd=output.parent)
    assert done.stdout == "wrote 2 rows of 1 metrics to x.csv\n"


@pytest.mark.parametrize("path", ["nothing", "."])
def test_a_path_without_a_run_is_one_sentence_and_exit_2(
    tmp_path: Path, path: str, tuiwb: Tuiwb
) -> None:
    done = tuiwb("watch", path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_whose_only_file_is_broken_is_one_sentence_and_exit_2(
    tmp_path: Path, tuiwb: Tuiwb
) -> None:
    (tmp_path / "trainer_state.json").write_text('{"global_step": 5, "log_hist')
    done = tuiwb("watch", str(tmp_path), "--once", cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert f"{tmp_path / 'trainer_state.json'} can't be read" in done.stderr


def test_printing_loads_neither_textual_nor_torch(output: Path, folder: Path) -> None:
    for arguments in (["watch", str(output)], ["runs", "compare", "a", "b"]):
        code = (
            f"import sys; from tuiwb.cli import run; run({arguments!r}); "
            "print(sorted({n.partition('.')[0] for n in sys.modules}), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder.parents[1], env=ENVIRONMENT,
            capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        loaded = done.stderr.splitlines()[-1]
        assert "'tuiwb'" in loaded
        assert not [
            n for n in ("textual", "torch", "transformers", "datasets") if f"'{n}'" in loaded
        ]


@pytest.mark.slow
def test_in_a_terminal_it_opens_a_screen_that_q_leaves(output: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    screen = pexpect.spawn(
        sys.executable, ["-m", "tuiwb", "watch", str(output)],
        cwd=str(output.parent), env={**os.environ, **ENVIRONMENT}, dimensions=(36, 120),
        encoding="utf-8", timeout=180,
    )  # fmt: skip
    screen.expect("their output")
    screen.expect("loss")
    screen.send("q")
    screen.expect(pexpect.EOF)
    screen.wait()
    assert screen.exitstatus == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
