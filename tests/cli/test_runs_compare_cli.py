"""`tuiwb runs list --filter|compare|export|report|tag|note|archive|remove`, on folders on disk."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.monitor.some_runs import SPEC, job
from tuiwb.cli import run
from tuiwb.jobs.events import Metrics, State

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TERM": "xterm"}


def tuiwb(*arguments: str, cwd: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """The real program, run in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "tuiwb", *arguments],
        cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, input=said,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two finished runs that differ in the learning rate."""
    for name, rate in (("slow", 1e-5), ("fast", 1e-3)):
        events = [State(state="running", phase="training", t=1000.0)]
        events += [
            Metrics(step=n, total_steps=20, t=1000.0 + n, values={"loss": (1 + rate) / n})
            for n in range(1, 21)
        ]
        events += [Metrics(step=20, t=1021.0, values={"eval_loss": 10 * rate})]
        spec = {**SPEC, "training": {**SPEC["training"], "learning_rate": rate}}
        job(tmp_path / "runs" / name, [*events, State(state="finished", t=1030.0)], spec)
    return tmp_path


def listed(home: Path, *arguments: str) -> list[str]:
    done = tuiwb("runs", "list", "--json", *arguments, cwd=home)
    assert done.returncode == 0, done.stderr
    return [run["name"] for run in json.loads(done.stdout)]


def test_runs_are_filtered_and_sorted(home: Path) -> None:
    assert listed(home, "--filter", "best<0.001") == ["slow"]
    assert listed(home, "--sort", "-best") == ["fast", "slow"]
    assert listed(home, "--sort", "best") == ["slow", "fast"]
    done = tuiwb("runs", "list", "--filter", "state:failed", cwd=home)
    assert done.stdout == "none of 2 runs is left by the filter\n"
    done = tuiwb("runs", "list", "--filter", "state:fialed", cwd=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean state:failed" in done.stderr


def test_tags_and_notes_are_kept_shown_and_found(home: Path) -> None:
    assert tuiwb("runs", "tag", "slow", "good", "v2", cwd=home).stdout == "good v2\n"
    assert tuiwb("runs", "tag", "slow", "--remove", "v2", cwd=home).stdout == "good\n"
    assert tuiwb("runs", "note", "slow", "-", cwd=home, said="line\n\x1b[31mred\n").returncode == 0
    shown = tuiwb("runs", "note", "slow", cwd=home).stdout
    assert shown == "line\n␛[31mred\n"
    assert listed(home, "--filter", "tag:good") == ["slow"]
    facts = json.loads(tuiwb("runs", "show", "slow", "--json", cwd=home).stdout)
    assert (facts["tags"], facts["note"]) == (["good"], "line\n\x1b[31mred")
    done = tuiwb("runs", "tag", "slow", "two words", cwd=home)
    assert done.returncode == 2
    assert "can't be a tag" in done.stderr


def test_an_archived_run_is_listed_only_when_asked_for(home: Path) -> None:
    assert tuiwb("runs", "archive", "slow", cwd=home).stdout == "archived: slow\n"
    assert listed(home) == ["fast"]
    assert listed(home, "--all") == ["slow", "fast"]
    assert listed(home, "--filter", "is:archived") == ["slow"]
    assert "1 archived" in tuiwb("runs", cwd=home).stderr
    tuiwb("runs", "archive", "--undo", "slow", cwd=home)
    assert listed(home) == ["slow", "fast"]


def test_compare_says_what_differs_where_each_stands_and_draws_both(home: Path) -> None:
    done = tuiwb("runs", "compare", "slow", "fast", cwd=home)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["DIFFERS", "slow", "fast"]
    assert lines[1].split() == ["training.learning_rate", "1e-05", "0.001"]
    assert [line.split()[0] for line in lines[4:6]] == ["slow", "fast"]
    assert "loss by step" in done.stdout
    assert "         a slow" in lines
    assert "\x1b" not in done.stdout
    found = json.loads(tuiwb("runs", "compare", "slow", "fast", "--json", cwd=home).stdout)
    assert found["differs"] == [
        {"key": "training.learning_rate", "values": {"slow": 1e-5, "fast": 1e-3}}
    ]
    assert found["curves"]["loss"]["fast"]["x"] == list(range(1, 21))
    assert [run["best_loss"] for run in found["runs"]] == [1e-4, 1e-2]


@pytest.mark.parametrize("by", ["time", "epoch", "tokens"])
def test_curves_are_drawn_along_any_axis_even_one_that_nobody_logged(home: Path, by: str) -> None:
    done = tuiwb("runs", "compare", "slow", "fast", "--by", by, "--log-y", cwd=home)
    assert done.returncode == 0, done.stderr
    assert f"loss by {by}" in done.stdout


def test_curves_are_exported_and_a_file_is_never_replaced_unasked(home: Path) -> None:
    done = tuiwb("runs", "export", "slow", "--curves", "curves.csv", cwd=home)
    assert done.stdout == "wrote 20 rows of 2 metrics to curves.csv\n"
    with (home / "curves.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(n) for n in range(1, 21)]
    done = tuiwb("runs", "export", "slow", "--curves", "curves.csv", cwd=home)
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    done = tuiwb(
        "runs", "export", "slow", "--curves", "curves.csv", "--long", "--force", "--json", cwd=home
    )
    assert json.loads(done.stdout)["rows"] == 21


@pytest.mark.parametrize("name", ["page.html", "page.md"])
def test_a_report_is_written(home: Path, name: str) -> None:
    done = tuiwb("runs", "report", "slow", "--out", name, cwd=home)
    assert (done.returncode, done.stdout) == (0, f"wrote {name}\n")
    assert "1e-05" in (home / name).read_text()


def test_nothing_is_removed_without_a_yes(home: Path) -> None:
    done = tuiwb("runs", "remove", "slow", cwd=home)
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    asked = pexpect.spawn(
        sys.executable, ["-m", "tuiwb", "runs", "remove", "slow"],
        cwd=str(home), env={**os.environ, **ENVIRONMENT}, encoding="utf-8", timeout=30,
    )  # fmt: skip
    asked.expect("Move slow to runs/.trash?")
    asked.sendline("n")
    asked.expect("nothing was done")
    asked.wait()
    assert asked.exitstatus == 2
    assert listed(home) == ["slow", "fast"]


def test_a_removed_run_comes_back_or_goes_for_good(home: Path) -> None:
    assert tuiwb("runs", "remove", "slow", "fast", "--yes", cwd=home).returncode == 0
    assert listed(home) == []
    assert tuiwb("runs", "remove", "--restore", "slow", cwd=home).returncode == 0
    assert listed(home) == ["slow"]
    done = tuiwb("runs", "remove", "--purge", "--yes", "--json", cwd=home)
    assert json.loads(done.stdout) == {"deleted": 1}
    assert not list((home / "runs" / ".trash").iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("compare", "slow"), "two runs or more"),
        (("compare", "slow", "fsat"), "did you mean 'fast'"),
        (("compare", "slow", "fast", "--by", "hour"), "no axis 'hour'"),
        (("compare", "slow", "fast", "--metric", "x"), "none of the runs logged 'x'"),
        (("export", "slow", "--curves", "x.txt"), ".csv or .parquet"),
        (("report", "slow", "--out", "x.txt"), ".html or .md"),
        (("remove",), "name runs to remove"),
        (("remove", "--restore", "x", "--yes"), "no run named 'x'"),
        (("remove", "../runs/slow", "--yes"), "no run named"),
        (("resume", "slow"), "slow has finished"),
        (("pause", "slow"), "slow is not running: it has finished"),
        (("set", "slow"), "--learning-rate or --logging-steps"),
        (("set", "slow", "--learning-rate", "1"), "slow is not running"),
        (("evaluate", "slow"), "slow is not running"),
        (("stop", "slow", "--now"), "slow is not running"),
        (("list", "--sort", "los"), "did you mean 'loss'"),
    ],
)
def test_what_can_not_be_done_is_one_sentence_and_exit_2(
    home: Path,
    arguments: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # In this process: it starts none, and a Python each would cost ten seconds.
    assert run(["runs", *arguments, "--project", str(home)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
