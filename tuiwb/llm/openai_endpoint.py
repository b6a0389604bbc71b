"""An OpenAI-compatible chat endpoint over plain HTTP: a vLLM, tuiwb's own server, a provider's."""

from typing import Any

import msgspec

from tuiwb.llm.address import read_key
from tuiwb.llm.client import MOST_TOKENS, Answer, NoAnswer, Refused, secrets_of
from tuiwb.llm.openai_http import STOPS, chunks, http_client, http_errors_in_our_words, posted
from tuiwb.llm.prices import Usage, tokens_of

# With the schema enforced; else the system prompt alone says what to answer.
MODES = ("schema", "plain")
OTHER_LIMIT = "max_completion_tokens"


class OpenAIEndpoint:
    """One model at one address. `key_variable` names the environment's variable with the key; an
    endpoint without one gets no key."""

    def __init__(
        self,
        *,
        model: str,
        base_url: str,
        system: str,
        schema: dict[str, Any],
        deadline: float,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        self.url, self.key_variable = base_url, key_variable
        self.modes: tuple[str, ...] = MODES
        self._model, self._system, self._schema = model, system, schema
        self._limit = "max_tokens"
        key = read_key(key_variable)
        self.secrets = secrets_of(key)
        self._client = http_client(base_url, key, deadline)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def send(self, text: str, mode: str, max_tokens: int) -> Answer:
        """Ask once; raises Refused, Cut, NoAnswer or TimeoutError."""
        limit = self._limit
        try:
            return await self._send(text, mode, limit, max_tokens)
        except Refused as error:
            # Some models of OpenAI's know the limit by its other name only.
            if error.status != 400 or OTHER_LIMIT not in str(error) or limit == OTHER_LIMIT:
                raise
            self._limit = OTHER_LIMIT
            return await self._send(text, mode, OTHER_LIMIT, max_tokens)

    async def _send(self, text: str, mode: str, limit: str, max_tokens: int) -> Answer:
        asked: dict[str, Any] = {
            "model": self._model,
            limit: max_tokens,
            "messages": [
                {"role": "system", "content": self._system},
                {"role": "user", "content": text},
            ],
        }
        if mode == "schema":
            named = {"name": "answer", "strict": True, "schema": self._schema}
            asked["response_format"] = {"type": "json_schema", "json_schema": named}
        with http_errors_in_our_words():
            status, after, body = await self._post(asked)
        if status != 200:
            raise Refused(status, body.decode("utf-8", "replace"), after)
        return _answer(body, self._system + text)

    async def _post(self, asked: dict[str, Any]) -> tuple[int, str, bytes]:
        """Status, retry-after and body of an answer that is not endless."""
        async with posted(self._client, f"{self.url}/v1/chat/completions", asked) as response:
            body = bytearray()
            async for chunk in chunks(response):
                body += chunk
            return response.status_code, response.headers.get("retry-after", ""), bytes(body)


def _answer(body: bytes, asked: str) -> Answer:
    try:
        plain = msgspec.json.decode(body)
        choice = plain["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        stop = STOPS.get(choice.get("finish_reason"), "")
        refusal = message.get("refusal")
    except (
        msgspec.MsgspecError, UnicodeDecodeError, RecursionError,
        LookupError, TypeError, AttributeError,
    ) as error:  # fmt: skip
        raise NoAnswer(f"{type(error).__name__}: {error}") from None
    if not isinstance(text, str):
        raise NoAnswer("the content is not text")
    return Answer(
        text=text,
        stop="refusal" if refusal and not text else stop,
        usage=_usage(plain.get("usage"), asked, text),
    )


def _usage(usage: Any, asked: str, said: str) -> Usage:
    """Tokens as the endpoint counts them, guessed from the texts where it does not."""
    usage = usage if isinstance(usage, dict) else {}

    def count(name: str, guess: int) -> int:
        value = usage.get(name)
        return min(value, MOST_TOKENS) if isinstance(value, int) and value >= 0 else guess

    read_in = count("prompt_tokens", tokens_of(asked))
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    cached = min(cached, read_in) if isinstance(cached, int) and cached > 0 else 0
    return Usage(
        input=read_in - cached,
        output=count("completion_tokens", tokens_of(said) if said else 0),
        cache_read=cached,
    )
