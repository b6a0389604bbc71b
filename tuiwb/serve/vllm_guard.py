"""ASGI middleware around vLLM's server: the key on every path, per-model counters, full slots.

This file is copied into the job folder and runs inside vLLM's own Python, beside a copy of
builtin/metrics.py named tuiwb_counters: only the standard library, nothing of ours.

vLLM 0.32 checks its key under /v1 alone, names only the base in its metrics, and mixes up answers
once every LoRA slot has been used: here those three gaps are closed.
"""

import hmac
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuiwb.serve.builtin.metrics import OWN, Counters
else:
    from tuiwb_counters import OWN, Counters

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPLETIONS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/messages"})
LOAD = "/v1/load_lora_adapter"
MOST_KEPT_BYTES = 8 << 20
counters = Counters()


class Guard:
    """Wraps the whole application; vLLM adds it outermost."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._key = os.environ.get("VLLM_API_KEY", "").encode()
        self._slots = int(os.environ.get("TUIWB_MAX_LORAS", "0"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        if self._key and path != "/health" and not self._has_key(scope):
            await _refuse(send, 401, "this server wants an API key", "authentication_error")
        elif path == "/metrics":
            await self._metrics(scope, receive, send)
        elif path == LOAD:
            await self._load(scope, receive, send)
        elif path in COMPLETIONS and OWN.encode() not in dict(scope["headers"]):
            await self._count(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _has_key(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return hmac.compare_digest(given, self._key) or hmac.compare_digest(
            headers.get(b"x-api-key", b""), self._key
        )

    async def _metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [h for h in scope["headers"] if h[0] != b"accept-encoding"]
        start: MutableMapping[str, Any] = {}
        body = b""

        async def gather(message: MutableMapping[str, Any]) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                body += counters.text({}).encode()
                kept = [h for h in start["headers"] if h[0].lower() != b"content-length"]
                start["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, gather)

    async def _load(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._slots and counters.adapter_loads + 1 >= self._slots:
            await _refuse(
                send,
                400,
                f"{counters.adapter_loads} adapters were loaded since this server started and it "
                "has no clean slot left: start a new server",
            )
            return

        # Counted before it is done: two loads at once must not both take the last slot.
        counters.adapter_loads += 1

        async def watch(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] != 200:
                counters.adapter_loads -= 1
            await send(message)

        await self._app(scope, receive, watch)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = _Seen()

        async def listen() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "http.request" and len(seen.asked) < MOST_KEPT_BYTES:
                seen.asked += message.get("body", b"")
            return message

        async def watch(message: MutableMapping[str, Any]) -> None:
            seen.add(message)
            await send(message)

        try:
            await self._app(scope, listen, watch)
        finally:
            seen.end()


class _Seen:
    """One completion request as it passes by."""

    def __init__(self) -> None:
        self.asked = b""
        self._began = time.monotonic()
        self._first: float | None = None
        self._status = 0
        self._stream = False
        self._last = b""
        self._pieces = 0
        self._whole = False

    def add(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._stream = kind.startswith(b"text/event-stream")
            return
        body = message.get("body", b"")
        if body and self._first is None:
            self._first = time.monotonic()
        self._pieces += body.count(b'"content":') + body.count(b'"text":') if self._stream else 0
        # A stream tells its usage in one of its last events, a whole answer in its one body.
        self._last = (self._last + body)[-MOST_KEPT_BYTES if not self._stream else -4096 :]
        self._whole = not message.get("more_body", False)

    def end(self) -> None:
        model = _field(self.asked, "model")
        prompt, generated = self._usage()
        outcome = "ok" if self._whole else "cancelled"
        now = time.monotonic()
        good = self._status == 200
        counters.ended(
            (model if isinstance(model, str) and good else "")[:200],
            outcome if good else "error",
            prompt_tokens=prompt,
            generated_tokens=generated,
            first_token_seconds=None
            if self._first is None or not good or not self._stream
            else self._first - self._began,
            seconds=now - self._began,
        )

    def _usage(self) -> tuple[int, int]:
        if not self._stream:
            usage = _field(self._last, "usage")
        else:
            events = [e[5:].strip() for e in self._last.splitlines() if e.startswith(b"data:")]
            usage = next((u for e in reversed(events) if (u := _field(e, "usage"))), None)
        if not isinstance(usage, dict):
            # Without usage each event is about one token.
            return 0, max(0, self._pieces - 1)
        prompt = usage.get("prompt_tokens") or usage.get("input_tokens") or 0
        return int(prompt), int(usage.get("completion_tokens") or usage.get("output_tokens") or 0)


def _field(data: bytes, name: str) -> Any:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return plain.get(name) if isinstance(plain, dict) else None


async def _refuse(send: Send, status: int, words: str, kind: str = "invalid_request_error") -> None:
    body = json.dumps({"error": {"message": words, "type": kind, "param": None, "code": status}})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body.encode())).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
