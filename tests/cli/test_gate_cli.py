"""`tuiwb eval` and `tuiwb gate` as a user calls them: exit codes, words, one JSON document."""

import json
import shutil
from pathlib import Path

import pytest

from tests.compare.builders import HELD_OUT, chat, make_adapter, make_base, make_run, write_rows
from tuiwb.cli import run
from tuiwb.compare.evaluation.results import read_items
from tuiwb.project import Project


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "project"
    write_rows(root / "data" / "heldout.jsonl", HELD_OUT)
    (root / "tuiwb.yaml").write_text("name: test\n")
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def trained(project: Project, base: Path) -> Path:
    folder = make_run(project, "support-v1", str(base), project.root / "data" / "heldout.jsonl")
    make_adapter(base, folder / "adapter")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gate", "nothing"], "no run named 'nothing'"),
        (["gate", "untrained"], "has no adapter"),
        (["eval", "nothing"], "no run named 'nothing'"),
        (["eval", "untrained"], "has no adapter"),
        (["eval", "bare", "--canary", "none.jsonl"], "no file"),
        (["eval", "bare", "--limit", "0"], "limit is 0"),
        (["eval", "bare", "--batch-size", "0"], "batch-size is 0"),
        (["eval", "bare", "--tasks", "../x"], "can't be a run's name"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_2(project, capsys, arguments, words):
    make_run(project, "untrained", "some/base", None)
    bare = make_run(project, "bare", "some/base", None)
    (bare / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (bare / "adapter" / name).write_text("{}")
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_wrong_setting_is_refused_with_its_name(project, trained, capsys):
    (project.root / "tuiwb.yaml").write_text("gate: {optional: [canaries]}\n")
    assert run(["gate", "support-v1"]) == 2
    assert "canaries" in capsys.readouterr().err


def test_a_run_of_which_nothing_is_known_does_not_ship_and_says_what_to_run(
    project, trained, capsys, tmp_path
):
    assert run(["gate", "support-v1", "--report", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().out
    assert told.startswith("NO-SHIP: ")
    assert "tuiwb compare support-v1" in told
    assert "tuiwb eval support-v1 --tasks canary" in told
    assert (tmp_path / "out" / "gate.html").is_file()
    assert (tmp_path / "out" / "gate.md").read_text().startswith("# Gate of support-v1: NO-SHIP")
    assert json.loads((trained / "gate.json").read_bytes())["verdict"] == "NO-SHIP"
    assert run(["gate", "support-v1", "--report", str(tmp_path / "none" / "out")]) == 2
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_json_is_one_document(project, trained, capsys):
    assert run(["gate", "support-v1", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "NO-SHIP"
    assert {"name", "ok", "figure", "threshold", "change"} <= set(told["lines"][0])


def test_run_missing_without_held_out_prompts_goes_on_with_the_evaluation(project, capsys):
    bare = make_run(project, "bare", "some/base", None)
    # Whoever looks at it begins the evaluation.
    (project.root / "data" / "canary.jsonl").write_text("no row\n")
    (bare / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (bare / "adapter" / name).write_text("{}")
    assert run(["gate", "bare", "--run-missing"]) == 2
    told = capsys.readouterr().err
    assert "compare: left out, run bare has no held-out file" in told
    assert "eval: the run has not been evaluated" in told
    assert "canary.jsonl" in told.splitlines()[-1]


@pytest.mark.slow
def test_run_missing_goes_on_with_the_evaluation_where_the_comparison_fails(
    project, trained, base, capsys
):
    (project.root / "data" / "canary.jsonl").write_text("no row\n")
    broken = project.root / "broken"
    shutil.copytree(base, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    bare = make_run(project, "bare", str(broken), project.root / "data" / "heldout.jsonl")
    shutil.copytree(trained / "adapter", bare / "adapter")
    assert run(["gate", "bare", "--run-missing"]) == 2
    told = capsys.readouterr().err
    assert "compare: failed, " in told
    assert "eval: the run has not been evaluated" in told
    assert "canary.jsonl" in told.splitlines()[-1]


@pytest.mark.slow
def test_run_missing_compares_and_evaluates_and_more_tasks_join_what_was_done(
    project, trained, capsys
):
    write_rows(project.root / "data" / "canary.jsonl", [chat(f"say {n}", "x") for n in range(6)])
    # Random weights: nothing is right, and the gate must say so without falling over.
    asked = ["--tasks", "canary,hellaswag", "--max-new-tokens", "8"]
    assert run(["eval", "support-v1", *asked]) == 0
    told = capsys.readouterr().out
    assert "canary: the base answered twice, 0 of 6 flip" in told
    assert "hellaswag not run: " in told
    before = read_items(trained / "eval")
    assert len(before) == 12

    assert run(["gate", "support-v1", "--run-missing"]) == 1
    told = capsys.readouterr().out
    assert "6 questions can't show 5%" in told
    assert "no out-of-distribution prompts: write" in told
    assert "0 of 5 in 0 training rows" in told
    assert "to know more" not in told
    assert (trained / "compare" / "summary.json").is_file()
    # The canary's answers were kept: the same job now has the other tasks too.
    kept = [item for item in read_items(trained / "eval") if item.suite == "canary"]
    assert kept == before
    assert not list(trained.glob("eval-*"))
