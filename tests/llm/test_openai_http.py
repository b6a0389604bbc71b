"""The HTTP client of OpenAI-compatible endpoints, against a loopback server."""

import asyncio
import threading
from collections.abc import Iterator

import httpx2
import pytest

from tests.llm.endpoint_server import EndpointServer, completion
from tuiwb.llm.client import Cut
from tuiwb.llm.openai_http import chunks, http_client, http_errors_in_our_words, posted

BODY = {"messages": [{"role": "user", "content": "{}"}]}
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    running = EndpointServer(lambda asked: completion("fine"))
    yield running
    running.close()


def post(server: EndpointServer, *, key: str | None = KEY, deadline: float = 300.0) -> int:
    """The status of an answer whose body came to its end."""

    async def asked() -> int:
        client = http_client(server.url, key, deadline)
        try:
            with http_errors_in_our_words():
                async with posted(client, f"{server.url}/v1/chat/completions", BODY) as response:
                    assert [piece async for piece in chunks(response)]
                    return response.status_code
        finally:
            await client.aclose()

    return asyncio.run(asked())


def sent(server: EndpointServer) -> list[httpx2.Headers]:
    return [httpx2.Headers(one.headers) for one in server.asked]


def test_the_key_is_sent_where_there_is_one(server: EndpointServer) -> None:
    assert post(server) == 200
    assert post(server, key=None) == 200
    assert [one.get("authorization") for one in sent(server)] == [f"Bearer {KEY}", None]


def test_a_redirect_takes_neither_the_key_nor_the_prompt_to_another_host(
    server: EndpointServer,
) -> None:
    elsewhere = EndpointServer(lambda asked: completion("got it"))
    where = {"location": f"{elsewhere.url}/v1/chat/completions"}
    server.answer = lambda asked: (307, where, {"moved": True})
    try:
        assert post(server) == 307
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


def test_a_server_that_is_silent_past_the_deadline_is_a_timeout(server: EndpointServer) -> None:
    given_up = threading.Event()

    def silent(asked: object) -> None:
        given_up.wait(600)

    server.answer = silent
    try:
        with pytest.raises(TimeoutError):
            post(server, deadline=0.2)
    finally:
        given_up.set()


def test_a_connection_that_is_cut_is_one_to_be_tried_again(server: EndpointServer) -> None:
    server.answer = lambda asked: None
    with pytest.raises(Cut):
        post(server)
