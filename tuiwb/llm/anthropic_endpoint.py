"""The Messages API through the anthropic SDK: a schema for the answer, else a forced tool."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import msgspec

from tuiwb.llm.address import ANTHROPIC_KEYS, direct, read_key
from tuiwb.llm.client import MOST_TOKENS, Answer, Cut, NoAnswer, Refused, secrets_of
from tuiwb.llm.prices import Usage, tokens_of

# How an answer is asked for, best first; an endpoint that refuses one gets the next.
MODES = ("schema+effort", "schema", "tool")


class AnthropicEndpoint:
    """One model at one address; the key comes from the environment.

    `tool` is what the answer is asked as: {"name", "description", "input_schema"}; `effort` asks
    for less or more thought where the endpoint knows the word.
    """

    key_variable = "ANTHROPIC_API_KEY"

    def __init__(
        self,
        *,
        model: str,
        base_url: str,
        system: str,
        tool: dict[str, Any],
        deadline: float,
        effort: str | None = None,
    ) -> None:
        self.url = base_url
        self.modes: tuple[str, ...] = MODES if effort else MODES[1:]
        self._model, self._tool, self._effort = model, tool, effort
        self._system: list[dict[str, Any]] = [
            {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}
        ]
        key, token = (read_key(name) for name in ANTHROPIC_KEYS)
        self.secrets = secrets_of(key, token)
        self.client = anthropic.AsyncAnthropic(
            api_key=key or (None if token else "none"),
            auth_token=None if key else token,
            base_url=base_url,
            max_retries=0,
            timeout=deadline,
            # Some compatible servers read x-api-key only.
            default_headers={"x-api-key": key} if key else None,
            # A redirect must not carry the key to another host.
            http_client=anthropic.DefaultAsyncHttpxClient(
                follow_redirects=False, mounts=direct(base_url)
            ),
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self.client.close()

    def request(self, text: str, mode: str, max_tokens: int) -> dict[str, Any]:
        """What `messages.create` is given, and a batch's request holds."""
        asked: dict[str, Any] = {
            "model": self._model,
            "max_tokens": max_tokens,
            "system": self._system,
            "messages": [{"role": "user", "content": text}],
        }
        if mode == "tool":
            choice = {"type": "tool", "name": self._tool["name"]}
            asked |= {"tools": [self._tool], "tool_choice": choice}
        else:
            schema = self._tool["input_schema"]
            asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
            if mode == "schema+effort":
                asked["output_config"]["effort"] = self._effort
        return asked

    async def send(self, text: str, mode: str, max_tokens: int) -> Answer:
        """Ask once; raises Refused, Cut, NoAnswer or TimeoutError."""
        with errors_in_our_words():
            asked = self.request(text, mode, max_tokens)
            answer = answer_of(await self.client.messages.create(**asked))
        if not answer.usage.tokens:
            # Some compatible servers count nothing: a budget must hold there too.
            read_in = tokens_of(self._system[0]["text"] + text)
            answer.usage = Usage(input=read_in, output=tokens_of(answer.text) if answer.text else 0)
        return answer


@contextmanager
def errors_in_our_words() -> Iterator[None]:
    """The SDK's errors as Refused, Cut, NoAnswer or TimeoutError."""
    try:
        yield
    except anthropic.APIStatusError as error:
        after = error.response.headers.get("retry-after", "")
        told = error.response.text if isinstance(error.body, dict) else str(error)
        raise Refused(error.status_code, told, after) from None
    except anthropic.APITimeoutError:
        raise TimeoutError from None
    except anthropic.APIConnectionError as error:
        raise Cut(str(error.__cause__ or error)) from None
    except (anthropic.AnthropicError, ValueError, TypeError, AttributeError) as error:
        raise NoAnswer(str(error)) from None


def answer_of(message: Any) -> Answer:
    """What a message says; a body that is no message says nothing."""
    # A malformed 200 can leave anything here, a bare string too.
    stop = getattr(message, "stop_reason", None)
    blocks = getattr(message, "content", None) or []
    texts = [b.text for b in blocks if getattr(b, "type", "") == "text" and b.text]
    tools = [b.input for b in blocks if getattr(b, "type", "") == "tool_use"]
    return Answer(
        text=msgspec.json.encode(tools[0]).decode() if tools else "".join(texts),
        stop=stop if stop in ("refusal", "max_tokens") else "",
        usage=_usage(getattr(message, "usage", None)),
    )


def _usage(usage: Any) -> Usage:
    def count(name: str) -> int:
        value = getattr(usage, name, None)
        return min(value, MOST_TOKENS) if isinstance(value, int) and value > 0 else 0

    return Usage(
        input=count("input_tokens"),
        output=count("output_tokens"),
        cache_write=count("cache_creation_input_tokens"),
        cache_read=count("cache_read_input_tokens"),
    )
