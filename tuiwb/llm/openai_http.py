"""What every OpenAI-compatible endpoint shares: its HTTP client, its errors, a body's limit."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import httpx2
import msgspec

from tuiwb.llm.address import direct
from tuiwb.llm.client import Cut, NoAnswer

MOST_BYTES = 16 << 20
# A choice's finish_reason in an Answer's words; one that is not here is a whole answer's.
STOPS = {"length": "max_tokens", "content_filter": "refusal"}


def http_client(base_url: str, key: str | None, deadline: float) -> httpx2.AsyncClient:
    """A client that sends the key to this host alone; `deadline` in seconds."""
    return httpx2.AsyncClient(
        timeout=deadline,
        headers={"authorization": f"Bearer {key}"} if key else {},
        # A redirect must not carry the key to another host.
        follow_redirects=False,
        mounts=direct(base_url),
    )


def posted(
    client: httpx2.AsyncClient, url: str, body: dict[str, Any]
) -> AbstractAsyncContextManager[httpx2.Response]:
    """The answer to a JSON body, its own body still to be read."""
    return client.stream(
        "POST",
        url,
        content=msgspec.json.encode(body),
        headers={"content-type": "application/json"},
    )


async def chunks(response: httpx2.Response) -> AsyncIterator[bytes]:
    """A body as it comes; NoAnswer for an endless one."""
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MOST_BYTES:
            raise NoAnswer(f"the answer is longer than {MOST_BYTES >> 20} MiB")
        yield chunk


@contextmanager
def http_errors_in_our_words() -> Iterator[None]:
    """The HTTP library's errors as Cut or TimeoutError."""
    try:
        yield
    except httpx2.TimeoutException:
        raise TimeoutError from None
    except httpx2.HTTPError as error:
        raise Cut(str(error) or type(error).__name__) from None
