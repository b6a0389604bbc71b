"""A run whose training diverged: every command that would ask its adapter says so in a sentence."""

import math
from pathlib import Path

import pytest

from tests.serve.tiny import TINY_CHAT
from tests.train.adapters import write_adapter
from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.compare.gate.verdict import read_gate
from tuiwb.errors import BadInput
from tuiwb.project import Project
from tuiwb.serve.plan import content_version
from tuiwb.serve.servers import check_sound
from tuiwb.serve.spec import Served

SENTENCE = "the adapter of diverged holds numbers that are not finite: train again at a lower"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "tuiwb.yaml").write_text("name: test\n")
    rows = '{"messages": [{"role": "user", "content": "Hi"}, '
    rows += '{"role": "assistant", "content": "Hello."}]}\n'
    (tmp_path / "heldout.jsonl").write_text(rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUIWB_VLLM_PYTHON", raising=False)
    spec = {
        "model": {"base": str(TINY_CHAT)},
        "method": "sft",
        "data": {"train": [], "heldout": "heldout.jsonl"},
    }
    for name, bad in (("diverged", math.nan), ("sound", None)):
        jobs.create(tmp_path / "runs" / name, "train", spec)
        write_adapter(tmp_path / "runs" / name / "adapter", bad)
    return Project(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "diverged"],
        ["compare", "sound", "--against", "diverged"],
        ["eval", "diverged"],
        ["serve", "diverged", "--engine", "builtin"],
        ["serve", "runs/diverged/adapter", "--engine", "builtin"],
    ],
)
def test_nothing_is_started_and_one_sentence_says_why(
    project: Project, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {SENTENCE}")
    assert err.count("\n") == 1
    assert {f.name for f in project.job_folders()} == {"diverged", "sound"}


@pytest.mark.parametrize("more", [[], ["--run-missing"]])
def test_the_gate_says_no_with_that_reason_and_names_no_command_that_would_fail(
    project: Project, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert run(["gate", "diverged", *more]) == 1
    told = capsys.readouterr().out
    assert told.startswith("NO-SHIP: does not hold: adapter applied")
    assert "tuiwb compare" not in told
    assert "tuiwb eval" not in told
    found = read_gate(project.runs / "diverged")
    assert found is not None
    line = found.line("adapter")
    assert line is not None
    assert (line.ok, f"{line.figure}: {line.change}") == (False, f"{SENTENCE} learning_rate")
    assert found.missing == []
    assert all(other.ok is None or other.name in ("adapter", "base", "template")
               for other in found.lines)  # fmt: skip


def test_what_a_server_has_loaded_is_looked_at_before_it_is_asked(project: Project) -> None:
    adapter = project.runs / "diverged" / "adapter"
    name = f"diverged@{content_version(adapter)}"
    with pytest.raises(BadInput, match="the adapter of diverged holds numbers that are not finite"):
        check_sound(Served(id=name, root=str(adapter), parent="tiny-chat"))
    # The folder was written anew after the server had loaded the adapter.
    check_sound(Served(id="diverged@00000000", root=str(adapter), parent="tiny-chat"))
    check_sound(Served(id="tiny-chat", root=str(TINY_CHAT)))
