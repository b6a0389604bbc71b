"""A command line that is wrong is told in one sentence, and what to read."""

import os
from pathlib import Path

import pytest

from tuiwb.cli import run
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
