"""The OpenAI-compatible client against tuiwb's own server, with a real model behind it."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.tiny import TINY_CHAT
from tests.serve.waiting import until
from tuiwb.llm.client import Client, Reply
from tuiwb.llm.openai_endpoint import OpenAIEndpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    from tuiwb.serve.builtin.in_process import BuiltinEngine
    from tuiwb.serve.client import Client as ServerClient
    from tuiwb.serve.spec import ServeSpec

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    spec = ServeSpec(engine="builtin", base=str(TINY_CHAT), base_name="tiny-chat", port=port)
    running = BuiltinEngine(spec, Path("unused"), None)
    running.start()
    until(lambda: running.ready(ServerClient(spec.url)), 60)
    yield spec.url
    running.stop()


def ask(url: str, model: str, text: str, max_tokens: int) -> Reply[str]:
    async def once() -> Reply[str]:
        endpoint = OpenAIEndpoint(
            model=model, base_url=url, system="Be brief.", schema={"type": "object"}, deadline=60.0
        )
        client = Client(endpoint, model=model, deadline=60.0, concurrency=1, who="the model")
        try:
            return await client.ask(text, str, max_tokens, insist=False)
        finally:
            await client.close()

    return asyncio.run(once())


def test_our_own_server_knows_no_schemas_and_is_asked_in_plain_words(url: str) -> None:
    reply = ask(url, "tiny-chat", "What is the capital of France?", 64)
    assert reply.mode == "plain"
    assert reply.value or reply.reason == "max_tokens"
    assert reply.raw
    assert reply.usage.input > 5
    assert reply.usage.output > 0


def test_an_answer_cut_by_our_own_server_says_so(url: str) -> None:
    reply = ask(url, "tiny-chat", "What is the capital of France?", 1)
    assert (reply.reason, reply.value) == ("max_tokens", None)
    assert reply.usage.output == 1


def test_a_model_that_our_own_server_does_not_hold_is_one_sentence(url: str) -> None:
    from tuiwb.errors import BadInput

    with pytest.raises(BadInput, match=r"knows no model 'nothing' \(404\)"):
        ask(url, "nothing", "Hi", 8)
