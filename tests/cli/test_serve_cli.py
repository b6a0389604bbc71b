"""`tuiwb serve` as a user calls it: exit codes, sentences, one JSON document."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.tiny import TINY_CHAT, random_adapter
from tests.serve.waiting import until
from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.jobs.events import EventWriter, State
from tuiwb.project import Project
from tuiwb.serve import servers


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    (tmp_path / "tuiwb.yaml").write_text(f"name: test\nbase_model: {TINY_CHAT}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUIWB_VLLM_PYTHON", raising=False)
    monkeypatch.delenv("TUIWB_API_KEY", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = Project(tmp_path)
    yield found
    for server in servers.servers(found):
        if server.state.running and server.state.pid:
            os.kill(server.state.pid, 15)
            until(lambda server=server: not jobs.status(server.folder).running, 180)


def cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["serve", *arguments])
    seen = capsys.readouterr()
    return code, seen.out, seen.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing"], 2, "no run named 'nothing'"),
        (["start", "--base", "/nowhere/model"], 2, "no base model /nowhere/model"),
        (["start", "--base", "org/none"], 3, "no hub model org/none in the cache"),
        (["start", "--engine", "magic"], 2, "no engine 'magic'"),
        (["start", "--engine", "vllm"], 3, "vLLM is not installed"),
        (["start", "--host", "0.0.0.0"], 2, "TUIWB_API_KEY"),
        (["start", "--port", "99999"], 2, "99999"),
        (["stop"], 2, "no server is up"),
        (["stop", "serve-9"], 2, "'serve-9' is no server of this project: tuiwb serve start"),
        (["chat", "hello"], 2, "no server is up"),
        (["chat", "a", "b", "c"], 2, "quotes"),
        (["load", "x"], 2, "no server is up"),
    ],
)
def test_what_can_not_be_done_is_one_sentence_and_a_code(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    got, out, err = cli(capsys, *arguments)
    assert (got, out) == (code, "")
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1
    assert project.job_folders() == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve-1"], "serve-1 is a server, and nothing is said to it"),
        (["one"], "one is a run, not a server or a text: 'tuiwb serve chat --model one TEXT'"),
        (["one", "Hello"], "one is a run, not a server or a text"),
        (["serve-1", "Hello"], "serve-1 is not up (failed)"),
        (["Hello"], "no server is up"),
        ([""], "no server is up"),
        (["../runs/one"], "no server is up"),
    ],
)
def test_a_name_where_a_text_is_wanted_is_asked_about_and_not_sent(
    project: Project, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    jobs.create(project.runs / "one", "train", {"model": {"base": str(TINY_CHAT)}, "data": {}})
    spec = {"engine": "builtin", "base": str(TINY_CHAT), "base_name": "tiny-chat"}
    jobs.create(project.runs / "serve-1", "serve", spec)
    writer = EventWriter(project.runs / "serve-1" / "events.jsonl")
    writer.emit(State(state="failed", message="it fell over"))
    writer.close()
    code, out, err = cli(capsys, "chat", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err
    for name in ("one", "serve-9"):
        code, out, err = cli(capsys, "stop", name)
        assert (code, out) == (2, "")
        assert err == f"error: {name!r} is no server of this project: there is serve-1\n"


def test_a_list_without_servers_is_empty_json(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(capsys, "list", "--json")[:2] == (0, "[]\n")


def test_the_command_imports_neither_torch_nor_textual(project: Project) -> None:
    code = (
        "import sys; from tuiwb.cli import run; run(['serve', 'list']); "
        "run(['serve', 'start', '--port', '99999']); "
        "print(sorted({'torch', 'transformers', 'textual'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("[]")


@pytest.mark.slow
def test_the_short_form_starts_a_server_that_chats_loads_unloads_and_stops(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("one", "two")):
        jobs.create(project.runs / name, "train", {"model": {"base": str(TINY_CHAT)}, "data": {}})
        random_adapter(TINY_CHAT, project.runs / name / "adapter", seed)
    capsys.readouterr()

    def said(*arguments: str) -> Any:
        code, out, _ = cli(capsys, *arguments, "--json")
        assert code == 0
        return json.loads(out)

    started = said("one", "--engine", "builtin")
    assert started["state"] == "running"
    assert [m["id"].partition("@")[0] for m in started["models"]] == ["tiny-chat", "one"]
    code, out, _ = cli(capsys, "list")
    assert code == 0
    assert "ready" in out

    hello = said("chat", "Hi", "--model", "base", "--max-tokens", "20")
    assert hello["model"] == "tiny-chat"
    assert hello["completion_tokens"] <= 20
    code, out, _ = cli(capsys, "chat", started["name"], "Hi", "--model", "base")
    assert (code, out) == (0, hello["text"] + "\n")

    loaded = said("load", "two")["id"]
    assert said("chat", "Hi", "--model", "two", "--max-tokens", "4")["model"] == loaded
    assert said("unload", "two") == {"unloaded": loaded}
    code, _, err = cli(capsys, "chat", "Hi", "--model", "two")
    assert code == 2
    assert "no model 'two'" in err
    assert cli(capsys, "unload", "base")[0] == 2

    assert said("stop") == {"name": started["name"], "state": "finished", "was_up": True}
    assert said("stop", started["name"])["was_up"] is False
