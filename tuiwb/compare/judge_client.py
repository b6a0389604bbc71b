"""One question to the judge over the anthropic SDK: deadlines, retries, pace, redaction.

The SDK's own retries are off: it honours retry-after without a cap and knows nothing of the other
calls, while here an overloaded endpoint slows all of them.
"""

import asyncio
import os
import time
from typing import Any

import anthropic
import msgspec

from tuiwb.compare.judge import SCHEMA, Question, Verdict, parse_verdict
from tuiwb.compare.prices import Usage
from tuiwb.errors import BadInput, JobFailed, MissingHere

# How a verdict is asked for, best first; an endpoint that refuses one gets the next.
MODES = ("schema+effort", "schema", "tool")
OVERLOAD_TRIES = 6
OTHER_TRIES = 3
LONGEST_PAUSE = 30.0
# Anything shorter is a placeholder that a keyless endpoint wants ("none", "x"), not a secret.
SHORTEST_KEY = 8
MOST_RAW = 20_000
TOOL = {
    "name": "verdict",
    "description": "Give the verdict on the two responses.",
    "input_schema": SCHEMA,
}


class Reply(msgspec.Struct, kw_only=True):
    """A verdict with its raw text and cost, or the reason why there is none."""

    verdict: Verdict | None = None
    reason: str = ""
    raw: str = ""
    mode: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)


class Pace:
    """How many calls may run at once: halved, and all paused, when the endpoint is overloaded."""

    def __init__(self, limit: int) -> None:
        self.limit = self._most = limit
        self._active = 0
        self._good = 0
        self._until = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._active < self.limit)
            self._active += 1
        while (wait := self._until - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._active -= 1
            self._changed.notify_all()

    def overloaded(self, pause: float) -> None:
        """Halve and pause everyone for `pause` seconds."""
        self.limit = max(1, self.limit // 2)
        self._good = 0
        self._until = max(self._until, time.monotonic() + pause)

    def answered(self) -> None:
        """Ten answers in a row earn one more call at once, up to where we began."""
        self._good += 1
        if self._good >= 10 and self.limit < self._most:
            self.limit, self._good = self.limit + 1, 0


class JudgeClient:
    """Asks one endpoint; the key comes from the environment and appears in no message."""

    def __init__(self, spec: dict[str, Any], system: str, worked: str = "") -> None:
        """`worked` is the mode of an earlier verdict from this endpoint: it need prove nothing."""
        self._spec = spec
        self._proven = worked in MODES
        self._mode = MODES.index(worked) if self._proven else 0
        self.pace = Pace(spec["concurrency"])
        self._system = [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]
        key = os.environ.get("ANTHROPIC_API_KEY") or None
        token = os.environ.get("ANTHROPIC_AUTH_TOKEN") or None
        self._secrets = [s for s in (key, token) if s and len(s) >= SHORTEST_KEY]
        self._client = anthropic.AsyncAnthropic(
            api_key=key or (None if token else "none"),
            auth_token=None if key else token,
            base_url=spec["base_url"],
            max_retries=0,
            timeout=spec["deadline"],
            # Some compatible servers read x-api-key only.
            default_headers={"x-api-key": key} if key else None,
            # A redirect must not carry the key to another host.
            http_client=anthropic.DefaultAsyncHttpxClient(follow_redirects=False),
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def ask(self, question: Question) -> Reply:
        """A reply, after retries; MissingHere, BadInput or JobFailed when going on is no use."""
        max_tokens = self._spec["max_tokens"]
        overloads = others = 0
        spent = Usage()
        while True:
            mode = self._mode
            try:
                async with self.pace:
                    message = await asyncio.wait_for(
                        self._send(question, mode, max_tokens), self._spec["deadline"]
                    )
            except anthropic.APIStatusError as error:
                if error.status_code in (429, 503, 529):
                    overloads += 1
                    if overloads >= OVERLOAD_TRIES:
                        raise JobFailed(
                            f"the judge at {self._url} stays overloaded ({error.status_code}): "
                            "run the same again later, nothing is asked twice"
                        ) from None
                    self.pace.overloaded(_retry_after(error, overloads))
                    continue
                if error.status_code in (400, 422) and self._next_mode(mode):
                    continue
                # 413 is about this question alone, the others too once the endpoint has worked.
                if error.status_code == 413 or (error.status_code in (400, 422) and self._proven):
                    reason = f"refused ({error.status_code}): {self._sentence(error)}"
                    return Reply(reason=reason, usage=spent, mode=MODES[mode])
                self._abort_if_hopeless(error)
                reason = f"the endpoint answered {error.status_code}"
            except (anthropic.APITimeoutError, TimeoutError):
                reason = f"no answer within {self._spec['deadline']:g} s"
            except anthropic.APIConnectionError as error:
                if others + 1 >= OTHER_TRIES:
                    raise JobFailed(
                        f"the connection to the judge at {self._url} is lost "
                        f"({self._sentence(error.__cause__ or error)}): run the same again, "
                        "nothing is asked twice"
                    ) from None
                reason = "the connection was cut"
            except (anthropic.AnthropicError, ValueError, TypeError, AttributeError) as error:
                reason = f"a body that is no answer ({self._sentence(error)})"
            else:
                reply = self._read(message, mode)
                spent = reply.usage = _add(spent, reply.usage)
                if reply.verdict is not None:
                    self._proven = True
                    self.pace.answered()
                    return reply
                if reply.reason == "refusal":
                    return reply
                if reply.reason == "max_tokens":
                    if max_tokens > self._spec["max_tokens"]:
                        return reply
                    max_tokens *= 2
                    continue
                reason = reply.reason
                if others + 1 >= OTHER_TRIES:
                    return reply
                if not self._proven and mode < len(MODES) - 1:
                    # Prose under a schema: an endpoint that ignores what it does not know.
                    self._mode = max(self._mode, len(MODES) - 1)
            others += 1
            if others >= OTHER_TRIES:
                return Reply(reason=reason, usage=spent, mode=MODES[mode])
            await asyncio.sleep(min(4.0, 0.1 * 4**others))

    @property
    def _url(self) -> str:
        return str(self._spec["base_url"])

    async def _send(self, question: Question, mode: int, max_tokens: int) -> Any:
        asked: dict[str, Any] = {
            "model": self._spec["model"],
            "max_tokens": max_tokens,
            "system": self._system,
            "messages": [{"role": "user", "content": question.text}],
        }
        if MODES[mode] == "tool":
            asked |= {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "verdict"}}
        else:
            asked["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
            if MODES[mode] == "schema+effort":
                asked["output_config"]["effort"] = "low"
        return await self._client.messages.create(**asked)

    def _read(self, message: Any, mode: int) -> Reply:
        reply = Reply(mode=MODES[mode], usage=_usage(getattr(message, "usage", None)))
        stop = getattr(message, "stop_reason", None)
        blocks = getattr(message, "content", None) or []
        texts = [b.text for b in blocks if getattr(b, "type", "") == "text" and b.text]
        tools = [b.input for b in blocks if getattr(b, "type", "") == "tool_use"]
        raw = msgspec.json.encode(tools[0]).decode() if tools else "".join(texts)
        reply.raw = self._redact(raw)[:MOST_RAW]
        if stop in ("refusal", "max_tokens"):
            reply.reason = stop
            return reply
        try:
            reply.verdict = parse_verdict(raw)
        except ValueError as error:
            reply.reason = self._sentence(error) if raw else "no content"
        else:
            reply.verdict.reasoning = self._redact(reply.verdict.reasoning)
        return reply

    def _next_mode(self, refused: int) -> bool:
        """Whether there is another way to ask, as long as this one never worked."""
        if self._proven or refused >= len(MODES) - 1:
            return False
        self._mode = max(self._mode, refused + 1)
        return True

    def _abort_if_hopeless(self, error: anthropic.APIStatusError) -> None:
        said = self._sentence(error)
        match error.status_code:
            case 401 | 403:
                raise MissingHere(
                    f"{self._url} refused the key ({error.status_code}): check ANTHROPIC_API_KEY"
                ) from None
            case 404:
                raise BadInput(
                    f"{self._url} knows no model {self._spec['model']!r} (404): name another with "
                    "--model, or check --base-url"
                ) from None
            case 400 | 402 | 422:
                raise BadInput(
                    f"{self._url} refused the request ({error.status_code}): {said}"
                ) from None
            case 301 | 302 | 303 | 307 | 308:
                raise BadInput(
                    f"{self._url} redirects elsewhere ({error.status_code}): give the final "
                    "address with --base-url"
                ) from None

    def _redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def _sentence(self, error: BaseException, most: int = 300) -> str:
        """An error's words on one line, without the key."""
        return self._redact(" ".join(str(error).split()))[:most]


def _retry_after(error: anthropic.APIStatusError, tries: int) -> float:
    """Seconds the endpoint asks for, never more than the longest pause; else 1, 2, 4, ..."""
    try:
        asked = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        asked = float(2 ** (tries - 1))
    return min(LONGEST_PAUSE, max(0.0, asked))


def _usage(usage: Any) -> Usage:
    def count(name: str) -> int:
        value = getattr(usage, name, None)
        return value if isinstance(value, int) and value > 0 else 0

    return Usage(
        input=count("input_tokens"),
        output=count("output_tokens"),
        cache_write=count("cache_creation_input_tokens"),
        cache_read=count("cache_read_input_tokens"),
    )


def _add(one: Usage, two: Usage) -> Usage:
    return Usage(
        input=one.input + two.input,
        output=one.output + two.output,
        cache_write=one.cache_write + two.cache_write,
        cache_read=one.cache_read + two.cache_read,
    )
