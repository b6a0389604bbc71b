"""`tuiwb data generate` as a user calls it: cost first, exit codes, one JSON document, resume."""

import json
from pathlib import Path

import pytest

from tests.data.row_writer import chat, new_rows, words, write, writes
from tests.llm.endpoint_server import EndpointServer, completion, message
from tuiwb.cli import run
from tuiwb.data.generate.results import GENERATED
from tuiwb.project import Project


@pytest.fixture
def server():
    serving = EndpointServer(writes)
    yield serving
    serving.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "project"
    seeds = [chat(words(f"s{i}"), words(f"t{i}")) for i in range(30)]
    write(root / "data" / "seeds.jsonl", seeds)
    (root / "tuiwb.yaml").write_text("name: test\n")
    monkeypatch.chdir(root)
    names = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    return Project(root)


TASK = "Answer customers of a parcel service in one line of JSON."
BASIC = ["data", "generate", "data/seeds.jsonl", "--task", TASK]
LOCAL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "generate"], "tuiwb data generate FILE, or --resume RUN"),
        (["data", "generate", "data/seeds.jsonl", "--seeds", "data/seeds.jsonl"], "name the same"),
        (["data", "generate", "data/seeds.jsonl"], "--task TEXT or --task-file FILE"),
        ([*BASIC, "--task-file", "x"], "--task TEXT or --task-file FILE"),
        (["data", "generate", "--seeds", "none.jsonl", "--task", "x"], "none.jsonl"),
        ([*BASIC, "--endpoint", LOCAL], "name the model"),
        ([*BASIC, "--endpoint", LOCAL, "--base-url", LOCAL, "--model", "m"], "give --endpoint"),
        ([*BASIC, "--base-url", LOCAL, "--rows", "0"], "rows is 0"),
        ([*BASIC, "--base-url", LOCAL, "--max-usd", "0.00001"], "one request may cost"),
        ([*BASIC, "--base-url", LOCAL], "give --yes to go ahead"),
        (["data", "generate", "--resume", "none"], "no run named 'none'"),
        (["data", "generate", "--resume", "none", "--task", "x"], "leave out the seeds"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(
    project, capsys, monkeypatch, arguments, said
):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")
    assert not project.runs.exists()


def test_without_a_key_nothing_is_asked_and_the_exit_code_is_3(project, capsys):
    assert run([*BASIC, "--yes"]) == 3
    assert "set ANTHROPIC_API_KEY" in capsys.readouterr().err


def test_the_cost_is_shown_before_anything_is_spent(project, server, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115
    assert run([*BASIC, "--base-url", server.url, "--rows", "40"]) == 2
    err = capsys.readouterr().err
    assert "40 rows: 9 calls to claude-sonnet-5-5" in err
    assert "at most 25 requests and $5" in err
    assert server.asked == []


@pytest.mark.slow
def test_rows_are_generated_detached_resumed_and_said_as_one_json_document(
    project, server, capsys, monkeypatch
):
    server.answer = lambda a: (
        message({"topic": ["late parcels"]}) if "request" in a.data else
        message({"rows": new_rows(a)}, tokens=(2000, 2000))
    )  # fmt: skip
    arguments = [*BASIC, "--base-url", server.url, "--rows", "20", "--out", "made", "--yes"]
    assert run([*arguments, "--max-usd", "0.07", "--concurrency", "1", "--json"]) == 1
    out, err = capsys.readouterr()
    first = json.loads(out)
    assert (first["ended"], first["name"], first["kept"]) == ("budget", "made", 10)
    assert first["usd"] <= 0.07
    assert first["axes"] == {"topic": ["late parcels"]}
    assert "ALERT warning" in err
    asked = {a.text for a in server.asked}
    server.asked = []

    assert run(["data", "generate", "--resume", "made", "--max-usd", "1", "--yes"]) == 0
    out = capsys.readouterr().out
    assert "made: 20 of 20 rows by claude-sonnet-5-5, in data/versions/made-v2/data.jsonl" in out
    assert "varied by topic: late parcels" in out
    assert "60% of 50 rows are people's" in out
    assert asked.isdisjoint({a.text for a in server.asked})
    assert len(server.asked) == 2

    data = str(project.root / "data" / "versions" / "made-v2" / "data.jsonl")
    assert run(["data", "check", data, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    found = [f for f in report["findings"] if f["check"] == "synthetic_share"]
    assert [(f["severity"], f["row"]) for f in found] == [("error", 0)]
    assert report["audit"]["human_share"]["synthetic"] == 20


@pytest.mark.slow
def test_a_local_endpoint_needs_no_key_and_hostile_rows_stay_off_the_terminal(
    project, server, capsys
):
    def answer(asked):
        if "request" in asked.data:
            return completion({"persona": ["\x1b]0;pwned\x07 someone"]})
        rows = new_rows(asked)
        rows[0]["messages"][0]["content"] += "\x1b[2J"
        return completion({"rows": rows})

    server.answer = answer
    arguments = [*BASIC, "--endpoint", server.url, "--model", "tiny", "--rows", "5"]
    assert run([*arguments, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "cost unknown: no price for tiny" in err
    assert "seeds-synthetic: 5 of 5 rows by tiny" in out
    assert "\\u001b[2J" in (project.runs / "seeds-synthetic" / GENERATED).read_text()
