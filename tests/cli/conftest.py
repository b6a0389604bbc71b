"""The command line called in the test's own process, where a process of its own isn't the point."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tuiwb.cli import run


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Tuiwb = Callable[..., Done]


@pytest.fixture
def tuiwb(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tuiwb:
    """The command line in this process, in the project's folder: a Python each costs a second."""
    monkeypatch.chdir(home)

    def call(*arguments: str, said: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call
