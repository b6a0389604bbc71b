"""`tuiwb runs list --filter|compare|export|report|tag|note|archive|remove`, on folders on disk."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.cli.conftest import Tuiwb
from tests.monitor.some_runs import SPEC, job
from tuiwb.cli import run
from tuiwb.jobs import process
from tuiwb.jobs.events import Artifact, Metrics, State

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TERM": "xterm"}


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


def listed(tuiwb: Tuiwb, *arguments: str) -> list[str]:
    done = tuiwb("runs", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [run["name"] for run in json.loads(done.stdout)]


def test_runs_are_filtered_and_sorted(tuiwb: Tuiwb) -> None:
    assert listed(tuiwb, "--filter", "best<0.001") == ["slow"]
    assert listed(tuiwb, "--sort", "-best") == ["fast", "slow"]
    assert listed(tuiwb, "--sort", "best") == ["slow", "fast"]
    done = tuiwb("runs", "list", "--filter", "state:failed")
    assert done.stdout == "none of 2 jobs (2 train) is left by the filter\n"
    done = tuiwb("runs", "list", "--filter", "state:fialed")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean state:failed" in done.stderr


def test_tags_and_notes_are_kept_shown_and_found(tuiwb: Tuiwb) -> None:
    assert tuiwb("runs", "tag", "slow", "good", "v2").stdout == "good v2\n"
    assert tuiwb("runs", "tag", "slow", "--remove", "v2").stdout == "good\n"
    assert tuiwb("runs", "note", "slow", "-", said="line\n\x1b[31mred\n").returncode == 0
    shown = tuiwb("runs", "note", "slow").stdout
    assert shown == "line\n␛[31mred\n"
    assert listed(tuiwb, "--filter", "tag:good") == ["slow"]
    facts = json.loads(tuiwb("runs", "show", "slow", "--json").stdout)
    assert (facts["tags"], facts["note"]) == (["good"], "line\n\x1b[31mred")
    done = tuiwb("runs", "tag", "slow", "two words")
    assert done.returncode == 2
    assert "can't be a tag" in done.stderr


def test_an_archived_run_is_listed_only_when_asked_for(tuiwb: Tuiwb) -> None:
    assert tuiwb("runs", "archive", "slow").stdout == "archived: slow\n"
    assert listed(tuiwb) == ["fast"]
    assert listed(tuiwb, "--all") == ["slow", "fast"]
    assert listed(tuiwb, "--filter", "is:archived") == ["slow"]
    assert "1 archived" in tuiwb("runs").stderr
    tuiwb("runs", "archive", "--undo", "slow")
    assert listed(tuiwb) == ["slow", "fast"]


def test_compare_says_what_differs_where_each_stands_and_draws_both(tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "compare", "slow", "fast")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["DIFFERS", "slow", "fast"]
    assert lines[1].split() == ["training.learning_rate", "1e-05", "0.001"]
    assert [line.split()[0] for line in lines[4:6]] == ["slow", "fast"]
    assert "loss by step" in done.stdout
    assert "         a slow" in lines
    assert "\x1b" not in done.stdout
    found = json.loads(tuiwb("runs", "compare", "slow", "fast", "--json").stdout)
    assert found["differs"] == [
        {"key": "training.learning_rate", "values": {"slow": 1e-5, "fast": 1e-3}}
    ]
    assert found["curves"]["loss"]["fast"]["x"] == list(range(1, 21))
    assert [run["best_loss"] for run in found["runs"]] == [1e-4, 1e-2]


@pytest.mark.parametrize("by", ["time", "epoch", "tokens"])
def test_curves_are_drawn_along_any_axis_even_one_that_nobody_logged(tuiwb: Tuiwb, by: str) -> None:
    done = tuiwb("runs", "compare", "slow", "fast", "--by", by, "--log-y")
    assert done.returncode == 0, done.stderr
    assert f"loss by {by}" in done.stdout


def test_curves_are_exported_and_a_file_is_never_replaced_unasked(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "export", "slow", "--curves", "curves.csv")
    assert done.stdout == "wrote 20 rows of 2 metrics to curves.csv\n"
    with (home / "curves.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(n) for n in range(1, 21)]
    done = tuiwb("runs", "export", "slow", "--curves", "curves.csv")
    assert (done.returncode, "exists already" in done.stderr) == (2, True)
    done = tuiwb("runs", "export", "slow", "--curves", "curves.csv", "--long", "--force", "--json")
    assert json.loads(done.stdout)["rows"] == 21


@pytest.mark.parametrize("name", ["page.html", "page.md"])
def test_a_report_is_written(home: Path, tuiwb: Tuiwb, name: str) -> None:
    done = tuiwb("runs", "report", "slow", "--out", name)
    assert (done.returncode, done.stdout) == (0, f"wrote {name}\n")
    assert "1e-05" in (home / name).read_text()


def test_nothing_is_removed_without_a_yes(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("runs", "remove", "slow")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    asked = pexpect.spawn(
        sys.executable, ["-m", "tuiwb", "runs", "remove", "slow"],
        cwd=str(home), env={**os.environ, **ENVIRONMENT}, encoding="utf-8", timeout=180,
    )  # fmt: skip
    asked.expect("Move slow to runs/.trash?")
    asked.sendline("n")
    asked.expect("nothing was done")
    asked.wait()
    assert asked.exitstatus == 2
    assert listed(tuiwb) == ["slow", "fast"]


def test_a_removed_run_comes_back_or_goes_for_good(home: Path, tuiwb: Tuiwb) -> None:
    assert tuiwb("runs", "remove", "slow", "fast", "--yes").returncode == 0
    assert listed(tuiwb) == []
    assert tuiwb("runs", "remove", "--restore", "slow").returncode == 0
    assert listed(tuiwb) == ["slow"]
    done = tuiwb("runs", "remove", "--purge", "--yes", "--json")
    assert json.loads(done.stdout) == {"deleted": 1}
    assert not list((home / "runs" / ".trash").iterdir())


def test_a_run_named_twice_is_removed_once_and_none_goes_where_one_can_not(
    home: Path, tuiwb: Tuiwb
) -> None:
    done = tuiwb("runs", "remove", "slow", "slow", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"removed": ["slow"]})
    tuiwb("runs", "remove", "--restore", "slow")
    child = subprocess.Popen(["sleep", "600"])
    try:
        job(home / "runs" / "live", [State(state="running", phase="training")])
        process.write(home / "runs" / "live", process.identify(child.pid))
        done = tuiwb("runs", "remove", "slow", "live", "--yes")
    finally:
        child.kill()
        child.wait()
    assert (done.returncode, "live is running: stop it first" in done.stderr) == (2, True)
    assert "slow" in listed(tuiwb)
    assert tuiwb("runs", "archive", "fast", "fast").stdout == "archived: fast\n"


def test_show_names_the_checkpoints_that_are_there_and_counts_those_that_are_gone(
    home: Path, tuiwb: Tuiwb
) -> None:
    saved = [Artifact(kind="checkpoint", path=f"checkpoints/{n}", step=n) for n in range(1, 31)]
    folder = job(home / "runs" / "many", [*saved, State(state="finished")])
    (folder / "checkpoints" / "30").mkdir(parents=True)
    lines = tuiwb("runs", "show", "many").stdout.splitlines()
    assert [line.split(maxsplit=1) for line in lines if line.startswith("checkpoint")] == [
        ["checkpoint", "checkpoints/30"],
        ["checkpoint", "29 removed since"],
    ]


def test_the_help_says_each_command_in_a_whole_sentence(tuiwb: Tuiwb) -> None:
    said = tuiwb("runs", "--help").stdout
    listed = said.split("Commands:")[1].strip().splitlines()
    assert len(listed) >= 20
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_compare_leaves_out_what_no_run_has(tuiwb: Tuiwb) -> None:
    said = tuiwb("runs", "compare", "slow", "fast").stdout
    header = next(line for line in said.splitlines() if line.startswith("RUN "))
    assert "COST" not in header
    assert "HELD-OUT" in header


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("compare", "slow"), "two runs or more"),
        (("compare", "slow", "fsat"), "did you mean 'fast'"),
        (("compare", "slow", "fast", "--by", "hour"), "no axis 'hour'"),
        (("compare", "slow", "fast", "--metric", "x"), "none of the runs logged 'x'"),
        (("export", "slow", "--curves", "x.txt"), ".csv or .parquet"),
        (("export", "slow", "--curves", "/nosuch/x.csv"), "no folder /nosuch to write x.csv into"),
        (("report", "slow", "--out", "/nosuch/x.md"), "no folder /nosuch to write x.md into"),
        (("report", "slow", "--out", "x.txt"), ".html or .md"),
        (("remove",), "name runs to remove"),
        (("remove", "--restore", "x", "--yes"), "no run named 'x'"),
        (("remove", "../runs/slow", "--yes"), "no run named"),
        (("resume", "slow"), "slow has finished"),
        (("pause", "slow"), "slow is not running: it has finished"),
        (("set", "slow"), "--learning-rate or --logging-steps"),
        (("set", "slow", "--learning-rate", "1"), "slow is not running"),
        (("set", "slow", "--learning-rate", "nan"), "nan is not a number above 0"),
        (("set", "slow", "--learning-rate", "-1"), "-1 is not a number above 0"),
        (("set", "slow", "--logging-steps", "0"), "0 is not a number of at least 1"),
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
    assert not Path("/nosuch").exists()
