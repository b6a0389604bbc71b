"""Free-form chat with the two APIs, as endpoints that `tuiwb.llm.client` can pace and retry.

A question is a JSON text ({"messages" or "prompt", "tools", "temperature", "seed"}), an answer a
`Said` as JSON: cut and refused answers are answers here, not failures.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec

from tuiwb.llm.address import ANTHROPIC_KEYS, direct, read_key
from tuiwb.llm.client import Answer, Cut, NoAnswer, Refused, secrets_of
from tuiwb.llm.openai_http import STOPS, chunks, http_client, http_errors_in_our_words, posted
from tuiwb.llm.prices import Usage, tokens_of

# With temperature and seed; else without, for models that refuse the one or the other.
MODES = ("drawn", "plain")
MOST_WORDS = 2000  # of an error


class Said(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer's text, why it stopped ('', 'max_tokens', 'refusal'), seconds to its first token
    (0: not measured)."""

    text: str = ""
    stop: str = ""
    first_seconds: float = 0.0


class OpenAIChat:
    """One model of an OpenAI-compatible server; answers are streamed, so that the time to the
    first token is measured. `key_variable` names the environment's variable with the key."""

    def __init__(self, *, model: str, base_url: str, deadline: float, key_variable: str) -> None:
        self.url, self.key_variable = base_url, key_variable
        self.modes: tuple[str, ...] = MODES
        self._model = model
        key = read_key(key_variable)
        self.secrets = secrets_of(key)
        self._client = http_client(base_url, key, deadline)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def send(self, text: str, mode: str, max_tokens: int) -> Answer:
        """Ask once; raises Refused, Cut, NoAnswer or TimeoutError."""
        asked = msgspec.json.decode(text)
        drawn = {key: asked.pop(key) for key in ("temperature", "seed")}
        body = {
            "model": self._model,
            "max_tokens": max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **asked,
            **(drawn if mode == "drawn" else {}),
        }
        path = "/v1/completions" if "prompt" in asked else "/v1/chat/completions"
        with http_errors_in_our_words():
            return await self._stream(path, body, text)

    async def _stream(self, path: str, body: dict[str, Any], asked: str) -> Answer:
        begun = time.perf_counter()
        said, usage, finish = Said(), None, None
        async with posted(self._client, self.url + path, body) as response:
            if response.status_code != 200:
                words = ""
                async for line in _lines(response):
                    words += line
                    if len(words) > MOST_WORDS:
                        break
                words = words[:MOST_WORDS]
                raise Refused(response.status_code, words, response.headers.get("retry-after", ""))
            async for line in _lines(response):
                data = line.removeprefix("data:").strip()
                if not line.startswith("data:") or data == "[DONE]":
                    continue
                piece, ended, counted = _piece(data)
                if piece and not said.text:
                    said.first_seconds = time.perf_counter() - begun
                said.text += piece
                finish, usage = ended or finish, counted or usage
        if finish is None:
            raise Cut("the stream ended before the answer did")
        said.stop = STOPS.get(finish, "")
        return Answer(text=msgspec.json.encode(said).decode(), usage=_usage(usage, asked, said))


class AnthropicChat:
    """One model of the Messages API; the key comes from the environment."""

    key_variable = ANTHROPIC_KEYS[0]

    def __init__(self, *, model: str, base_url: str, deadline: float) -> None:
        import anthropic

        self.url = base_url
        self.modes: tuple[str, ...] = MODES
        self._model = model
        key, token = (read_key(name) for name in ANTHROPIC_KEYS)
        self.secrets = secrets_of(key, token)
        self._client = anthropic.AsyncAnthropic(
            api_key=key or (None if token else "none"),
            auth_token=None if key else token,
            base_url=base_url,
            max_retries=0,
            timeout=deadline,
            http_client=anthropic.DefaultAsyncHttpxClient(
                follow_redirects=False, mounts=direct(base_url)
            ),
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def send(self, text: str, mode: str, max_tokens: int) -> Answer:
        """Ask once; raises Refused, Cut, NoAnswer or TimeoutError."""
        from tuiwb.llm.anthropic_endpoint import answer_of, errors_in_our_words

        asked = msgspec.json.decode(text)
        system, messages = _turns(asked)
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": max_tokens,
            "messages": messages,
        }
        if system:
            body["system"] = system
        if mode == "drawn":
            # Not a word of the SDK any more, but of models that are older than it.
            body["extra_body"] = {"temperature": min(1.0, asked["temperature"])}
        with errors_in_our_words():
            answer = answer_of(await self._client.messages.create(**body))
        said = Said(text=answer.text, stop=answer.stop)
        return Answer(text=msgspec.json.encode(said).decode(), usage=answer.usage)


def _turns(asked: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
    """The system text and the user's and assistant's turns; tools' turns become the user's."""
    if "prompt" in asked:
        return "", [{"role": "user", "content": asked["prompt"]}]
    system: list[str] = []
    turns: list[dict[str, str]] = []
    for message in asked["messages"]:
        role, content = message["role"], str(message.get("content") or "")
        if role in ("system", "developer"):
            system.append(content)
        else:
            turns.append({"role": role if role == "assistant" else "user", "content": content})
    return "\n\n".join(system), turns


async def _lines(response: httpx2.Response) -> AsyncIterator[str]:
    """The lines of a body; NoAnswer for an endless one, or an endless line."""
    pending = bytearray()
    async for chunk in chunks(response):
        pending += chunk
        if b"\n" in chunk:
            *whole, rest = pending.split(b"\n")
            pending = bytearray(rest)
            for line in whole:
                yield line.decode("utf-8", "replace").rstrip("\r")
    if pending:
        yield pending.decode("utf-8", "replace")


def _piece(data: str) -> tuple[str, str | None, Any]:
    """Text, finish reason and usage of one event of a stream."""
    try:
        plain = msgspec.json.decode(data)
        if error := plain.get("error"):
            words = error.get("message", "") if isinstance(error, dict) else str(error)
            raise NoAnswer(f"the server gave up: {words}")
        text, finish = "", None
        for choice in plain.get("choices") or []:
            delta = choice.get("delta")
            piece = choice.get("text") if delta is None else delta.get("content")
            if piece is not None and not isinstance(piece, str):
                raise NoAnswer("the content is not text")
            text += piece or ""
            finish = choice.get("finish_reason") or finish
        return text, finish, plain.get("usage")
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from None


def _usage(usage: Any, asked: str, said: Said) -> Usage:
    usage = usage if isinstance(usage, dict) else {}

    def count(name: str, guess: int) -> int:
        value = usage.get(name)
        return value if isinstance(value, int) and value >= 0 else guess

    return Usage(
        input=count("prompt_tokens", tokens_of(asked)),
        output=count("completion_tokens", tokens_of(said.text) if said.text else 0),
    )
