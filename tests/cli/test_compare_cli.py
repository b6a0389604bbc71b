"""`tuiwb compare` and `tuiwb judge` as a user calls them: exit codes, tables, one JSON document."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compare.builders import HELD_OUT, make_adapter, make_base, make_run, write_rows
from tests.compare.judge_server import JudgeServer, error, honest, is_control, message, verdict
from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.cli.compare import watch
from tuiwb.compare.completions import COMPLETIONS, Completion
from tuiwb.compare.vote.records import VOTES, Vote
from tuiwb.jobs import create
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import main
from tuiwb.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "project"
    write_rows(root / "data" / "heldout.jsonl", HELD_OUT)
    (root / "tuiwb.yaml").write_text("name: test\n")
    monkeypatch.chdir(root)
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Project(root)


@pytest.fixture
def answered(project: Project) -> Path:
    """A finished comparison of four pairs, one of them identical."""
    folder = make_run(project, "support-v1", "some/base", None) / "compare"
    create(folder, "compare", {}, name="support-v1-compare")
    append_lines(
        folder / COMPLETIONS,
        [
            Completion(
                id=f"id{i}",
                index=i,
                line=i + 1,
                prompt=[{"role": "user", "content": f"question {i}"}],
                base=f"words {i}" if i else "{}",
                adapter="{}",
            )
            for i in range(4)
        ],
    )
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="finished", exit_code=0))
    writer.close()
    return folder


@pytest.fixture
def server():
    serving = JudgeServer()
    yield serving
    serving.close()


@pytest.fixture
def here() -> Iterator[Callable[..., None]]:
    """Runs a job's own main in this process, where torch and the SDK are loaded once."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield lambda folder, **_: main(folder)
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "nothing"], "no run named 'nothing'"),
        (["compare", "bare"], "no held-out file"),
        (["compare", "bare", "--prompts", "data/none.jsonl"], "no prompts file"),
        (["compare", "bare", "--limit", "0"], "limit is 0"),
        (["compare", "bare", "--dtype", "int3"], "dtype 'int3' is not known"),
        (["compare", "untrained"], "has no adapter"),
        (["compare", "bare", "--against", "bore"], "did you mean 'bare'"),
        (["compare", "bare", "--against", "bare"], "are the same model"),
        (["compare", "bare", "--temperature", "3"], "temperature is 3"),
        (["compare", "bare", "--engine", "none"], "no engine 'none'"),
        (["judge", "bare"], "has not been compared yet"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_2(project, capsys, arguments, words):
    bare = make_run(project, "bare", "some/base", None)
    (bare / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (bare / "adapter" / name).write_text("{}")
    make_run(project, "untrained", "some/base", project.root / "data" / "heldout.jsonl")
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (bare / "compare").exists()


def test_a_base_that_is_gone_is_said_before_anything_starts(project, capsys):
    make_run(project, "orphan", str(project.root / "models" / "gone"), None)
    assert run(["compare", "orphan"]) == 2
    assert "is gone from" in capsys.readouterr().err


def test_judging_without_a_key_is_one_sentence_and_exit_3(project, answered, capsys):
    assert run(["judge", "support-v1", "--yes"]) == 3
    err = capsys.readouterr().err
    assert "set ANTHROPIC_API_KEY" in err
    assert len(err.splitlines()) == 1
    assert not (answered.parent / "judge").exists()


def test_judging_without_a_person_needs_yes_and_shows_the_cost_first(
    project, answered, server, capsys, monkeypatch
):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert run(["judge", "support-v1", "--base-url", server.url]) == 2
    err = capsys.readouterr().err
    assert "10 calls to claude-sonnet-5-5" in err
    assert "give --yes" in err
    assert server.asked == []


@pytest.mark.slow
def test_judge_prints_one_json_document_and_then_costs_nothing(project, answered, server, capsys):
    arguments = ["judge", "support-v1", "--base-url", server.url + "/v1", "--yes", "--json"]
    assert run(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["preference"]["counts"] == {"wins": 3, "losses": 0, "ties": 1}
    assert (said["calls"], said["trusted"], said["name"]) == (10, True, "support-v1")
    assert run(arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["calls"], again["cached"]) == (0, 10)
    assert len(server.asked) == 10


@pytest.mark.slow
def test_what_an_endpoint_refuses_is_told_once_and_in_its_own_words(
    project, answered, server, capsys, monkeypatch, here
):
    monkeypatch.setattr(jobs, "launch", here)
    server.answer = lambda asked: error(400, said="this model wants a longer context")
    for judge in ([], ["--judge", f"openai:{server.url}#tiny"]):
        assert run(["judge", "support-v1", "--base-url", server.url, "--yes", *judge]) == 2
        err = capsys.readouterr().err
        assert err.count("this model wants a longer context") == 1
        assert f"{server.url} refused the request (400): this model wants" in err
        assert "{" not in err


@pytest.mark.slow
def test_an_untrusted_judge_is_exit_1_and_says_why(
    project, answered, server, capsys, monkeypatch, here
):
    monkeypatch.setattr(jobs, "launch", here)
    server.answer = lambda asked: message(verdict("1")) if is_control(asked) else honest(asked)
    assert run(["judge", "support-v1", "--base-url", server.url, "--yes"]) == 1
    out = capsys.readouterr().out
    assert "fine-tune won 3, lost 0, tied 1 (1 identical)" in out
    assert "NOT TRUSTED: control 'identical'" in out


def test_an_api_side_shows_its_cost_first_and_asks_nothing_without_a_yes(
    project, capsys, monkeypatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    run_folder = make_run(project, "bare", "some/base", project.root / "data" / "heldout.jsonl")
    (run_folder / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (run_folder / "adapter" / name).write_text("{}")
    side = "anthropic:claude-sonnet-5-5"
    assert run(["compare", "bare", "--against", "base", "--against", side]) == 2
    err = capsys.readouterr().err
    assert "5 calls to claude-sonnet-5-5" in err
    assert "1,280 out, at most about $0.0" in err
    assert "give --yes" in err
    assert "sk-very-secret" not in err
    assert not (run_folder / "compare").exists()


@pytest.mark.slow
def test_compare_prints_the_table_and_the_second_time_at_once(
    project, tmp_path, capsys, monkeypatch, here
):
    base = make_base(tmp_path / "base")
    folder = make_run(project, "support-v1", str(base), project.root / "data" / "heldout.jsonl")
    make_adapter(base, folder / "adapter")
    arguments = ["compare", "support-v1", "--max-new-tokens", "6"]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "5 of 5 prompts from data/heldout.jsonl" in out
    assert "exact match" in out
    assert "adapter applied: " in out
    events = (folder / "compare" / "events.jsonl").read_bytes()
    assert run([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["done"], said["adapter_applied"]) == ("support-v1", 5, True)
    assert (folder / "compare" / "events.jsonl").read_bytes() == events

    monkeypatch.setattr(jobs, "launch", here)
    append_lines(folder / "compare" / VOTES, [Vote(pair="p", choice="left", rater="ann")])
    assert run([*arguments, "--limit", "2"]) == 0
    assert "with 1 vote, is set aside as support-v1/compare-1: " in capsys.readouterr().err
    assert run([*arguments, "--json"]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == said
    assert "support-v1/compare-1 asked the same: it is taken back, with 1 vote" in again.err
    assert (folder / "compare" / "events.jsonl").read_bytes() == events

    shutil.rmtree(folder / "adapter")
    make_adapter(base, folder / "adapter", scale=0.0)
    assert run(arguments) == 1
    assert "adapter NOT APPLIED: 5 of 5 answers identical" in capsys.readouterr().out

    wrong = make_base(tmp_path / "wrong", hidden=32)
    shutil.rmtree(base)
    shutil.copytree(wrong, base)
    (folder / "adapter" / "README.md").write_text("changed")
    assert run([*arguments, "--limit", "2"]) == 2
    assert "it was trained on another base" in capsys.readouterr().err


def test_the_commands_import_neither_torch_nor_textual_nor_the_sdk():
    code = (
        "import sys, tuiwb.cli.compare, tuiwb.cli.judge, tuiwb.compare.plan, "
        "tuiwb.compare.judge.plan, tuiwb.compare.judge.summary, tuiwb.compare.vote.ballot; "
        "heavy = {'torch', 'transformers', 'peft', 'textual', 'anthropic', 'scipy', 'numpy', "
        "'pyarrow', 'datasets'}; "
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_job_that_goes_on_is_told_from_its_new_start(project, capsys):
    folder = project.runs / "r" / "compare"
    create(folder, "compare", {})
    writer = EventWriter(folder / "events.jsonl")
    for phase, states in (("first", ["running", "finished"]), ("again", ["queued", "finished"])):
        for state in states:
            writer.emit(State(state=state, phase=phase, exit_code=0))
    writer.close()
    watch(folder)
    told = capsys.readouterr().err
    assert told.count("finished") == 1
    assert "again" in told
    assert "first" not in told
