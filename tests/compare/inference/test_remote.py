"""Sides asked over HTTP: faults of a loopback server, and tuiwb's own engine end to end."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compare.builders import make_run
from tests.llm.endpoint_server import Answer, Asked, EndpointServer, error, message
from tests.serve.loopback import running_engine
from tuiwb import jobs
from tuiwb.compare.completions import SideAnswer, read_completions, read_summary
from tuiwb.compare.plan import plan, prepare
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.errors import JobFailed, MissingHere
from tuiwb.jobs.run import main
from tuiwb.llm import client, openai_http
from tuiwb.project import Project

pytestmark = pytest.mark.slow

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that failed are made again soon."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Asked], Answer]], EndpointServer]]:
    running: list[EndpointServer] = []

    def start(answer: Callable[[Asked], Answer]) -> EndpointServer:
        running.append(EndpointServer(answer))
        return running[-1]

    yield start
    for server in running:
        server.close()


def prompts(count: int) -> list[HeldOutPrompt]:
    """Prompts whose words are JSON, as the loopback server reads them."""
    system = {"role": "system", "content": "be short"}
    return [
        HeldOutPrompt(
            id=f"id{i}", index=i, line=i + 1,
            messages=[system, {"role": "user", "content": json.dumps({"n": i})}],
        )
        for i in range(count)
    ]  # fmt: skip


def stream(*pieces: str, finish: str | None = "stop", tokens: int = 7) -> Answer:
    """A chat answer as server-sent events; without `finish` the server went away."""
    events: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in pieces
    ]
    if finish:
        events.append({"choices": [{"delta": {}, "finish_reason": finish}]})
        events.append({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}})
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return 200, {}, (data + ("data: [DONE]\n\n" if finish else "")).encode()


class Ended(JobFailed):
    """With the answers that had come by then."""

    def __init__(self, sentence, answers):
        super().__init__(sentence)
        self.answers = answers


def ask(
    kind: str,
    url: str,
    count: int,
    *,
    max_usd: float = 5.0,
    temperature: float = 0.0,
    refusals: list[tuple[str, str]] | None = None,
) -> list[SideAnswer]:
    """Every answer of a side; what ends it early carries those that came. Prompts that it refuses
    go to `refusals`."""
    from tuiwb.compare.inference.generation import Asking
    from tuiwb.compare.inference.remote import Budget, ask_all
    from tuiwb.llm.prices import read_prices

    side = {
        "name": "far", "kind": kind, "label": "the far side", "url": url,
        "model": "claude-sonnet-5-5", "key_variable": "OPENAI_API_KEY",
    }  # fmt: skip
    found: list[SideAnswer] = []
    refusals = [] if refusals is None else refusals
    try:
        ask_all(
            side,
            prompts(count),
            Asking(max_new_tokens=16, temperature=temperature, seed=7),
            budget=Budget("claude-sonnet-5-5", read_prices(), max_usd, 0.0)
            if kind == "api"
            else None,
            took=found.append,
            refused=lambda prompt, why: refusals.append((prompt.id, why)),
            tick=lambda: None,
        )
    except JobFailed as failed:
        raise Ended(str(failed), found) from None
    return sorted(found, key=lambda answer: int(answer.id[2:]))


def test_a_served_model_is_asked_greedily_and_its_tokens_and_times_are_kept(serve):
    server = serve(lambda asked: stream("say ", str(asked.data["n"])))
    found = ask("served", server.url, 3)
    assert [(a.id, a.side, a.text, a.tokens, a.stop) for a in found] == [
        (f"id{i}", "far", f"say {i}", 7, "eos") for i in range(3)
    ]
    assert all(0 < a.first_seconds <= a.latency for a in found)
    body = server.asked[0].body
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0.0, 7, 16)
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]


def test_a_server_that_is_busy_or_cuts_a_stream_is_asked_again(serve):
    def answer(asked: Asked) -> Answer:
        if asked.n == 0:
            return error(429, retry_after="0")
        return stream("half", finish=None) if asked.n == 1 else stream("whole", finish="length")

    found = ask("served", serve(answer).url, 1)
    assert [(a.text, a.stop) for a in found] == [("whole", "length")]


def test_a_model_that_knows_no_temperature_is_asked_without(serve):
    def answer(asked: Asked) -> Answer:
        return error(400, said="temperature") if "temperature" in asked.body else stream("fine")

    server = serve(answer)
    assert [a.text for a in ask("served", server.url, 2)] == ["fine", "fine"]
    assert "seed" not in server.asked[-1].body


@pytest.mark.parametrize("kind", ["served", "api"])
def test_a_first_prompt_that_is_too_long_changes_nothing_of_how_the_others_are_asked(
    serve, monkeypatch, kind
):
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    long, told = f"prompt is too long: 9000 tokens > 4096 maximum, says {KEY}", threading.Event()

    def answer(asked: Asked) -> Answer:
        if asked.data["n"] == 0:
            told.set()
            return error(400, said=long)
        told.wait(20)
        return stream("fine") if kind == "served" else message("fine")

    server, refusals = serve(answer), []
    found = ask(kind, server.url, 40, refusals=refusals)
    assert [a.id for a in found] == [f"id{i}" for i in range(1, 40)]
    said = "was refused by the far side (400): prompt is too long: 9000 tokens > 4096 maximum"
    assert [name for name, _why in refusals] == ["id0"]
    assert refusals[0][1].startswith(said)
    assert KEY not in refusals[0][1]
    assert len(server.asked) == 40
    assert all("temperature" in one.body for one in server.asked)


def test_a_refusal_that_is_of_no_prompt_is_no_prompt_left_out(serve):
    def answer(asked: Asked) -> Answer:
        spent = asked.n > 0
        return error(400, said="Your credit balance is too low") if spent else stream("fine")

    refusals: list[tuple[str, str]] = []
    with pytest.raises(JobFailed, match=r"without an answer .*credit balance"):
        ask("served", serve(answer).url, 2, refusals=refusals)
    assert refusals == []


def test_prompts_without_an_answer_are_counted_and_the_others_are_kept(serve):
    server = serve(lambda asked: error(500) if asked.data["n"] == 1 else stream("fine"))
    with pytest.raises(JobFailed, match=r"left 1 of 3 prompts without an answer \(line 2: ") as end:
        ask("served", server.url, 3)
    assert {answer.id for answer in end.value.answers} == {"id0", "id2"}


def test_a_refused_key_is_one_sentence_without_the_key(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = serve(lambda asked: error(401, said=f"bad key {KEY}"))
    with pytest.raises(MissingHere, match="check OPENAI_API_KEY") as refused:
        ask("served", server.url, 2)
    assert KEY not in str(refused.value)


def test_an_api_model_gets_the_system_turn_apart_and_its_refusals_are_answers(serve, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    stops = ("end_turn", "max_tokens", "refusal")
    server = serve(lambda asked: message("yes", stop=stops[asked.data["n"]]))
    found = ask("api", server.url, 3)
    assert [a.stop for a in found] == ["eos", "length", "refusal"]
    assert all(a.usd > 0 and a.tokens == 60 for a in found)
    body = server.asked[0].body
    assert (body["system"], [m["role"] for m in body["messages"]]) == ("be short", ["user"])


def test_a_spent_budget_ends_the_asking_and_keeps_what_was_paid(serve, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    server = serve(lambda asked: message("yes", tokens=(100_000, 100_000)))
    with pytest.raises(JobFailed, match="the budget of \\$1 is spent") as end:
        ask("api", server.url, 40, max_usd=1.0)
    assert 1 <= len(end.value.answers) <= len(server.asked) < 12


def test_calls_at_work_together_stay_within_the_budget(serve, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    server = serve(lambda asked: message("yes", tokens=(20, 16)))
    with pytest.raises(JobFailed, match=r"the budget of .* is spent") as end:
        ask("api", server.url, 12, max_usd=0.001)
    found = end.value.answers
    assert 1 <= len(found) == len(server.asked) < 12
    assert sum(answer.usd for answer in found) <= 0.001


def test_a_server_that_repeats_the_key_does_not_get_it_onto_the_disk(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (answer,) = ask("served", serve(lambda asked: stream("it is ", KEY[:9], KEY[9:])).url, 1)
    assert answer.text == "it is [key]"


@pytest.mark.parametrize("status", [200, 500])
def test_a_line_without_an_end_is_no_answer(serve, monkeypatch, status):
    monkeypatch.setattr(openai_http, "MOST_BYTES", 1 << 16)
    server = serve(lambda asked: (status, {}, b"data: " + b"x" * (1 << 18)))
    with pytest.raises(JobFailed, match=r"longer than|answered 500") as end:
        ask("served", server.url, 1)
    assert len(str(end.value)) < 1000


@pytest.fixture(scope="module")
def engine(tiny_base: Path) -> Iterator[str]:
    """tuiwb's own engine with the tiny base on loopback; its address."""
    with running_engine(tiny_base, "tiny") as (_, url):
        yield url


def test_a_served_model_joins_a_comparison_and_the_others_are_not_asked_again(
    project: Project, tiny_base: Path, tiny_adapter: Path, engine: str, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    heldout = project.root / "data" / "heldout.jsonl"
    run = make_run(project, "support-v1", str(tiny_base), heldout)
    shutil.copytree(tiny_adapter, run / "adapter")
    folder = prepare(plan(project, "support-v1", max_new_tokens=8))
    assert main(folder) == 0
    before = (folder / "completions.jsonl").read_bytes()
    wider = plan(project, "support-v1", max_new_tokens=8, against=["base", f"{engine}#tiny"])
    assert prepare(wider) == folder
    assert main(folder) == 0, jobs.status(folder).message
    assert (folder / "completions.jsonl").read_bytes() == before
    (name,) = read_summary(folder).others
    found = read_completions(folder)
    # The engine leaves special tokens out of its texts.
    assert [c.others[name].text for c in found] == [
        c.base.replace("<|im_start|>", "").replace("<|pad|>", "") for c in found
    ]
    assert all(c.base_reference_nll > 0 and c.reference_tokens > 0 for c in found)
    assert all(KEY.encode() not in p.read_bytes() for p in folder.iterdir() if p.is_file())
