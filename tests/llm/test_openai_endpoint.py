"""The OpenAI-compatible client against tuiwb's own server, with a real model behind it."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.serve.loopback import running_engine
from tests.serve.tiny import TINY_CHAT
from tuiwb.llm.client import Client, Reply
from tuiwb.llm.openai_endpoint import OpenAIEndpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_engine(TINY_CHAT) as (_, address):
        yield address


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
