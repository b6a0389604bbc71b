"""The middleware inside vLLM, around a small application that answers as vLLM does."""

import asyncio
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tuiwb.serve
from tuiwb.serve.traffic import read_traffic

Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as vLLM's Python imports it: copied, beside its counters."""
    here = Path(tuiwb.serve.__file__).parent
    shutil.copyfile(here / "vllm_guard.py", tmp_path / "tuiwb_guard.py")
    shutil.copyfile(here / "builtin" / "metrics.py", tmp_path / "tuiwb_counters.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("tuiwb_guard", "tuiwb_counters"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.find_spec("tuiwb_guard")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Loads fail for the name "bad"; completions stream one token and tell their usage."""
    body = (await receive())["body"]
    status, kind, parts = 200, b"application/json", [b"{}"]
    if scope["path"] == "/metrics":
        parts = [b"vllm:num_requests_running 1\n"]
    elif scope["path"] == "/v1/load_lora_adapter":
        status = 400 if b"bad" in body else 200
    elif b'"stream":true' in body.replace(b" ", b""):
        kind = b"text/event-stream; charset=utf-8"
        usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}
        parts = [
            b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
            b"data: " + json.dumps(usage).encode() + b"\n\n",
            b"data: [DONE]\n\n",
        ]
    elif scope["path"] == "/v1/completions":
        parts = [b'{"usage": {"prompt_tokens": 5, "completion_tokens": 2}}']
    headers = [(b"content-type", kind), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for part in parts:
        last = part is parts[-1]
        await send({"type": "http.response.body", "body": part, "more_body": not last})


@pytest.fixture
def ask(guard: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("TUIWB_MAX_LORAS", "3")
    wrapped: list[Any] = []

    def call(
        path: str, body: bytes = b"", key: str = "", *, own: bool = False
    ) -> tuple[int, bytes]:
        if not wrapped:
            wrapped.append(guard.Guard(app))
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
        headers += [(b"x-tuiwb-own", b"1")] if own else []
        scope = {"type": "http", "path": path, "headers": headers}
        asyncio.run(wrapped[0](scope, receive, send))
        if path == "/metrics" and sent[0]["status"] == 200:
            length = dict(sent[0]["headers"])[b"content-length"]
            assert int(length) == len(sent[1]["body"])
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])

    return call


def test_without_its_key_only_health_is_answered(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    assert ask("/health")[0] == 200
    for path in ("/invocations", "/tokenize", "/metrics", "/v1/models"):
        assert ask(path)[0] == 401
        assert ask(path, key="wrong")[0] == 401
        assert ask(path, key="secret")[0] == 200


def test_the_last_slot_is_never_given_away_and_a_failed_load_costs_none(ask: Ask) -> None:
    statuses = [
        ask("/v1/load_lora_adapter", b'{"lora_name": "%s"}' % name)[0]
        for name in (b"one", b"bad", b"two", b"three")
    ]
    assert statuses == [200, 400, 200, 400]
    assert read_traffic(ask("/metrics")[1].decode()).adapter_loads == 2


def test_traffic_is_counted_by_model_whole_and_streamed(ask: Ask) -> None:
    ask("/v1/completions", b'{"model": "first"}')
    ask("/v1/chat/completions", b'{"model": "second", "stream": true}')
    traffic = read_traffic(ask("/metrics")[1].decode())
    assert traffic.running == 1
    first, second = traffic.models["first"], traffic.models["second"]
    assert (first.requests, first.prompt_tokens, first.generated_tokens) == (1, 5, 2)
    assert (second.requests, second.prompt_tokens, second.generated_tokens) == (1, 7, 1)
    assert second.first_token_p50 is not None


def test_what_the_server_job_itself_asks_is_nobodys_traffic(ask: Ask) -> None:
    assert ask("/v1/completions", b'{"model": "first"}', own=True)[0] == 200
    assert read_traffic(ask("/metrics")[1].decode()).models == {}
