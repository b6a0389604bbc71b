"""A command line that is wrong is told in one sentence, and what to read."""

import os
import shlex
from pathlib import Path

import pytest

from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.cli.common import say_started
from tuiwb.cli.train import what_next
from tuiwb.cli.workbench import stderr_file
from tuiwb.project import Project


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "r", "--limit", "x"], "invalid value for '--limit'"),
        (["eval", "r", "--limt", "3"], "no such option: --limt (Possible options: --limit)"),
        (["eval"], "missing argument"),
        (["runs", "nosuch"], "no such command 'nosuch'"),
        (["compare", "export"], "'tuiwb compare export --help' says more"),
        (["runs", "\x1b[31m"], "no such command"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch", "~no-such-user/run"],
        ["runs", "export", "~no-such-user/run", "--curves", "a.csv"],
        ["score", "--answers", "~no-such-user/a.jsonl", "--references", "b.jsonl"],
    ],
)
def test_the_home_of_nobody_is_no_place(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert "~no-such-user" in err
    assert err.count("\n") == 1


def test_help_that_was_asked_for_is_fine_and_a_group_alone_shows_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["eval", "--help"]) == 0
    assert "Usage: tuiwb eval" in capsys.readouterr().out
    assert run(["data"]) == 2
    assert "Usage: tuiwb data" in capsys.readouterr().err


def test_a_folder_that_is_no_project_gets_no_log_in_it(tmp_path: Path) -> None:
    assert stderr_file(Project(tmp_path)) == Path(os.devnull)
    (tmp_path / "tuiwb.yaml").touch()
    assert stderr_file(Project(tmp_path)) == tmp_path.resolve() / ".tuiwb" / "stderr.log"


def test_what_is_told_of_a_job_of_another_project_can_be_typed_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "my project"
    root.mkdir()
    (root / "tuiwb.yaml").touch()
    run_folder = root / "runs" / "a"
    jobs.create(run_folder, "train", {})
    jobs.create(run_folder / "compare", "compare", {})

    def told() -> list[list[str]]:
        """The commands that are told, as words."""
        say_started("a/compare", run_folder / "compare", json=False)
        said = capsys.readouterr().out.partition("'")[2].rpartition("'")[0]
        lines = [line.partition("  ")[2].strip() for line in what_next(run_folder, queue=True)]
        return [shlex.split(line.partition("   ")[0]) for line in (*lines, said)]

    for here in (tmp_path, root, root / "runs"):
        monkeypatch.chdir(here)
        commands = told()
        where = ["-C", str(root)] if here == tmp_path else []
        assert commands == [
            ["tuiwb", "runs", *words, *where]
            for words in (["follow", "a"], ["stop", "a"], ["queue"], ["follow", "a/compare"])
        ]
        for command in (commands[0], commands[-1]):
            assert run(["runs", "show", *command[3:]]) == 0
        capsys.readouterr()
