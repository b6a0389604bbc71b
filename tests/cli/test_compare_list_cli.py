"""`tuiwb compare list, use`: which comparisons there are, and an earlier one in its place again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compare.builders import HELD_OUT, chat, make_run, write_rows
from tuiwb.app.screens.compare_look import look_at
from tuiwb.cli import run
from tuiwb.compare.completions import COMPLETIONS, Completion
from tuiwb.compare.plan import ADAPTER_FILES, plan, prepare
from tuiwb.compare.vote.records import MAIN_PAIR, VOTES, Vote
from tuiwb.jobs import process
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose run was compared twice: with a vote, then on other prompts."""
    root = tmp_path / "project"
    heldout = write_rows(root / "data" / "heldout.jsonl", HELD_OUT)
    other = write_rows(root / "data" / "other.jsonl", [chat("Where is it?", "Here.")])
    (root / "base").mkdir()
    (root / "base" / "model.safetensors").write_bytes(b"weights")
    (root / "tuiwb.yaml").write_text("name: test\n")
    project = Project(root)
    folder = make_run(project, "support-v1", str(root / "base"), heldout)
    (folder / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (folder / "adapter" / name).write_bytes(b"{}")
    first = prepare(plan(project, "support-v1"))
    one = Completion(id="a", index=0, line=1, prompt=[], base="x", adapter="y", reference=None)
    append_lines(first / COMPLETIONS, [one])
    append_lines(first / VOTES, [Vote(pair="a", choice="left", rater="ann")])
    ended(first, "finished")
    ended(prepare(plan(project, "support-v1", prompts=other)), "finished")
    monkeypatch.chdir(root)
    return project


def ended(folder: Path, state: str) -> None:
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state=state))
    writer.close()


def listed(capsys: Capture) -> list[dict[str, Any]]:
    assert run(["compare", "list", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_every_comparison_is_listed_with_what_tells_it_from_the_others(
    project: Project, capsys: Capture
) -> None:
    now, before = listed(capsys)
    assert (now["name"], now["shown"], now["votes"]) == ("support-v1/compare", True, 0)
    assert now["prompts"] == "data/other.jsonl"
    assert (before["name"], before["shown"], before["votes"]) == ("support-v1/compare-1", False, 1)
    assert (before["prompts"], before["done"]) == ("data/heldout.jsonl", 1)
    assert before["sides"] == ["base", "fine-tune"]
    assert run(["compare", "list"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["*", "support-v1/compare"]
    assert second.split()[0] == "support-v1/compare-1"
    assert "base / fine-tune" in second


def test_one_that_is_used_is_what_the_screen_shows_and_the_other_is_kept(
    project: Project, capsys: Capture
) -> None:
    assert run(["compare", "use", "support-v1/compare-1"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == "support-v1/compare is support-v1/compare-1 now"
    (kept,) = [one for one in listed(capsys) if not one["shown"]]
    assert said.err.strip() == f"what stood there is {kept['name']} now"
    assert kept["prompts"] == "data/other.jsonl"
    seen = look_at(project, project.run("support-v1"), MAIN_PAIR, None)
    assert [c.id for c in seen.seen.completions] == ["a"]
    assert [one["votes"] for one in listed(capsys) if one["shown"]] == [1]
    assert run(["compare", "use", "support-v1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "support-v1", "moved": False}


def test_a_name_that_is_none_and_a_comparison_at_work_are_told(
    project: Project, capsys: Capture
) -> None:
    assert run(["compare", "use", "support-v1/compare-7"]) == 2
    assert "did you mean support-v1/compare" in capsys.readouterr().err
    folder = project.run("support-v1") / "compare"
    ended(folder, "running")
    process.write(folder, process.identify(os.getpid()))
    assert run(["compare", "use", "support-v1/compare-1"]) == 2
    assert "is running already" in capsys.readouterr().err
    assert len(listed(capsys)) == 2


def test_a_project_without_comparisons_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tuiwb.yaml").write_text("name: empty\n")
    assert run(["compare", "list"]) == 0
    assert "nothing has been compared yet: 'tuiwb compare RUN'" in capsys.readouterr().out
    assert listed(capsys) == []


@pytest.mark.parametrize(
    "odd",
    [
        {"limit": "abc"},
        {"sides": "hello"},
        {"sides": {"base": "x"}},
        {"sides": ["base"]},
        {"sides": [{"kind": "base"}]},
        {"prompts": 3},
    ],
)
def test_a_job_file_that_asks_for_no_comparison_is_passed_over(
    project: Project, capsys: Capture, odd: dict[str, Any]
) -> None:
    path = project.run("support-v1") / "compare" / "job.yaml"
    job = yaml.safe_load(path.read_text())
    job["spec"] |= odd
    path.write_text(yaml.safe_dump(job))
    assert [one["name"] for one in listed(capsys)] == ["support-v1/compare-1"]
