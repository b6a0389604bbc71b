"""The OpenAI HTTP subset: request bodies in, typed requests out; answers and errors as JSON. Pure.

What the engine can't do is refused by name, never ignored: a client must not believe in a
parameter that had no effect.
"""

import time
from typing import Any

import msgspec

MOST_STOPS = 16
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "top_logprobs": (0,),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "use_beam_search": (False,),
    "min_p": (0,),
    "min_tokens": (0,),
}


class RequestError(Exception):
    """A request that is not done: HTTP status, a sentence, OpenAI's error type and parameter."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        self.param = param

    def body(self) -> bytes:
        """The OpenAI error object."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": str(self),
                    "type": self.kind,
                    "param": self.param,
                    "code": self.status,
                }
            }
        )


class Sampling(msgspec.Struct, kw_only=True):
    """How to choose tokens. None means the model's own generation_config, else OpenAI's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    logprobs: bool = False
    ignore_eos: bool = False


class Request(msgspec.Struct, kw_only=True):
    """A checked completion request; a chat has `messages`, a completion `text` or `ids`.

    `counted`: whether it is somebody's, not the server job's own.
    """

    model: str
    sampling: Sampling
    messages: list[dict[str, Any]] | None = None
    text: str = ""
    ids: list[int] | None = None
    stream: bool = False
    usage_in_stream: bool = False
    counted: bool = True

    @property
    def chat(self) -> bool:
        """Whether it asked /v1/chat/completions."""
        return self.messages is not None


def read_body(data: bytes) -> dict[str, Any]:
    """A JSON object; RequestError 400 for anything else."""
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if not isinstance(plain, dict):
        raise RequestError(400, "the body must be a JSON object")
    return plain


def read_request(plain: dict[str, Any], *, chat: bool) -> Request:
    """Check a completion request; RequestError 400 names the parameter that is wrong."""
    for name, neutral in _NEUTRAL.items():
        if plain.get(name) is not None and plain[name] not in neutral:
            raise RequestError(
                400, f"the built-in engine can't do {name}: leave it out, or use vLLM", param=name
            )
    request = Request(
        model=_text(plain, "model"),
        sampling=_sampling(plain, chat),
        stream=_bool(plain, "stream"),
        usage_in_stream=bool((plain.get("stream_options") or {}).get("include_usage"))
        if isinstance(plain.get("stream_options") or {}, dict)
        else False,
    )
    if chat:
        request.messages = _messages(plain.get("messages"))
    else:
        request.text, request.ids = _prompt(plain.get("prompt"))
    return request


def _sampling(plain: dict[str, Any], chat: bool) -> Sampling:
    limit = plain.get("max_completion_tokens")
    name = "max_tokens" if limit is None else "max_completion_tokens"
    wants = plain.get("logprobs")
    return Sampling(
        temperature=_number(plain, "temperature", 0, 2),
        top_p=_number(plain, "top_p", 0, 1, above=True),
        top_k=_whole(plain, "top_k", -1),
        repetition_penalty=_number(plain, "repetition_penalty", 0, 10, above=True),
        seed=_whole(plain, "seed", -(2**63)),
        max_tokens=_whole(plain, name, 1) if chat else (_whole(plain, name, 1) or 16),
        stop=_stops(plain.get("stop")),
        logprobs=bool(wants) or (wants == 0 and wants is not False and not chat),
        ignore_eos=_bool(plain, "ignore_eos"),
    )


def _text(plain: dict[str, Any], name: str) -> str:
    value = plain.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(400, f"{name} must be a text", param=name)
    return value


def _bool(plain: dict[str, Any], name: str) -> bool:
    value = plain.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise RequestError(400, f"{name} must be true or false", param=name)


def _number(
    plain: dict[str, Any], name: str, low: float, high: float, *, above: bool = False
) -> float | None:
    value = plain.get(name)
    if value is None:
        return None
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not (low < value <= high if above else low <= value <= high):
        words = f"above {low:g} and at most {high:g}" if above else f"from {low:g} to {high:g}"
        raise RequestError(400, f"{name} must be a number {words}", param=name)
    return float(value)


def _whole(plain: dict[str, Any], name: str, low: int) -> int | None:
    value = plain.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < 2**63:
        raise RequestError(400, f"{name} must be a whole number, at least {low}", param=name)
    return value


def _stops(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else (value or [])
    good = isinstance(stops, list) and all(isinstance(s, str) and s for s in stops)
    if not good or len(stops) > MOST_STOPS:
        raise RequestError(
            400, f"stop must be a text or a list of at most {MOST_STOPS} texts", param="stop"
        )
    return list(stops)


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise RequestError(400, "messages must be a list with a message in it", param="messages")
    return [_message(index, message) for index, message in enumerate(value)]


def _message(index: int, message: Any) -> dict[str, Any]:
    where = f"messages[{index}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise RequestError(400, f"{where} must be an object with a role", param=where)
    content = message.get("content")
    if isinstance(content, list):
        parts = [p.get("text") if isinstance(p, dict) else None for p in content]
        if not all(isinstance(p, str) for p in parts):
            raise RequestError(400, f"{where}: only parts of type text can be read", param=where)
        content = "".join(str(p) for p in parts)
    if not isinstance(content, str) and not (content is None and message.get("tool_calls")):
        raise RequestError(400, f"{where} must have a text as content", param=where)
    return {**message, "content": content}


def _prompt(value: Any) -> tuple[str, list[int] | None]:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | list):
        value = value[0]
    if isinstance(value, str) and value:
        return value, None
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in value)
    ):
        return "", value
    raise RequestError(400, "prompt must be one text or one list of token ids", param="prompt")


class Answer:
    """Builds the JSON of one answer, whole or in chunks."""

    def __init__(self, request: Request, id: str) -> None:
        self._chat = request.chat
        self._head = {
            "id": f"{'chatcmpl' if request.chat else 'cmpl'}-{id}",
            "created": int(time.time()),
            "model": request.model,
        }

    def chunk(
        self, text: str, finish: str | None, logprobs: list[tuple[str, float]] | None, first: bool
    ) -> bytes:
        """One piece of a stream."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if self._chat:
            choice["delta"] = {"role": "assistant", "content": text} if first else {"content": text}
        else:
            choice["text"] = text
        choice["logprobs"] = self._logprobs(logprobs)
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return msgspec.json.encode({**self._head, "object": kind, "choices": [choice]})

    def usage(self, prompt: int, generated: int) -> bytes:
        """The last piece of a stream that asked for its usage."""
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        usage = _usage(prompt, generated)
        return msgspec.json.encode({**self._head, "object": kind, "choices": [], "usage": usage})

    def whole(
        self,
        text: str,
        finish: str,
        logprobs: list[tuple[str, float]] | None,
        prompt: int,
        generated: int,
    ) -> bytes:
        """The answer in one."""
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": finish,
            "logprobs": self._logprobs(logprobs),
        }
        if self._chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        kind = "chat.completion" if self._chat else "text_completion"
        usage = _usage(prompt, generated)
        return msgspec.json.encode(
            {**self._head, "object": kind, "choices": [choice], "usage": usage}
        )

    def _logprobs(self, tokens: list[tuple[str, float]] | None) -> dict[str, Any] | None:
        if tokens is None:
            return None
        if self._chat:
            return {"content": [{"token": t, "logprob": p, "top_logprobs": []} for t, p in tokens]}
        return {"tokens": [t for t, _ in tokens], "token_logprobs": [p for _, p in tokens]}


def _usage(prompt: int, generated: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
    }
