"""A small HTTP client for the servers: models, chat, adapters, metrics. Only the standard library.

Used by the screen, the command line, the server job itself and the tests, for both engines.
"""

import http.client
import math
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tuiwb.errors import JobFailed
from tuiwb.prepared import prepared
from tuiwb.serve.builtin.metrics import OWN
from tuiwb.serve.spec import Served
from tuiwb.text import inert


class ServerError(JobFailed):
    """The server did not do it: `status` is its HTTP status, 0 when it did not answer at all."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Delta(msgspec.Struct, kw_only=True):
    """A piece of a streamed answer; the last one says why it ended and what it took (tokens)."""

    text: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: list[float] = []


class Client:
    """One server. Every call opens its own connection: safe from any thread.

    `timeout` is seconds without a byte from the server; `own` requests are the server job's, and
    its counters leave them out.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout: float = 60.0, own: bool = False
    ) -> None:
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        self._key = api_key
        self._timeout = timeout
        self._own = own

    def health(self, timeout: float = 5.0) -> bool:
        """Whether /health says 200."""
        try:
            status, _ = self._call("GET", "/health", timeout=timeout)
        except ServerError:
            return False
        return status == 200

    def models(self) -> list[Served]:
        """What the server holds: the base (no parent) and its adapters."""
        plain = self._json("GET", "/v1/models")
        return msgspec.convert(plain.get("data", []), prepared(list[Served]), strict=False)

    def metrics(self) -> str:
        """The text of /metrics (Prometheus exposition format)."""
        status, body = self._call("GET", "/metrics")
        if status != 200:
            raise self._error(status, body)
        return body.decode("utf-8", "replace")

    def load_adapter(self, name: str, path: str) -> None:
        """Load the adapter in folder `path` under `name` while the server runs."""
        self._post_for_status("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})

    def unload_adapter(self, name: str) -> None:
        """Let go of an adapter."""
        self._post_for_status("/v1/unload_lora_adapter", {"lora_name": name})

    def complete(self, model: str, messages: Sequence[Mapping[str, Any]], **options: Any) -> Delta:
        """One chat answer, whole; `options` are OpenAI's (max_tokens, temperature, ...)."""
        body = {"model": model, "messages": list(messages), **options}
        plain = self._json("POST", "/v1/chat/completions", body)
        return _read_choice(plain, "message")

    def complete_text(self, model: str, prompt: str, **options: Any) -> Delta:
        """The continuation of a plain text, whole."""
        body = {"model": model, "prompt": prompt, **options}
        return _read_choice(self._json("POST", "/v1/completions", body), None)

    def chat(
        self, model: str, messages: Sequence[Mapping[str, Any]], **options: Any
    ) -> Generator[Delta, None, None]:
        """A chat answer piece by piece; closing the iterator stops the generation."""
        body = {
            "model": model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **options,
        }
        connection, response = self._open("POST", "/v1/chat/completions", body)
        begun = False
        try:
            if response.status != 200:
                raise self._error(response.status, response.read())
            for data in _server_sent(response):
                if data == b"[DONE]":
                    return
                begun = True
                yield _read_choice(_decode(data), "delta")
            raise self._torn()
        except (ConnectionError, http.client.IncompleteRead) as error:
            # A server that dies amid its answer resets the connection as often as it closes it.
            raise (self._torn() if begun else self._unreachable(error)) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            _close(connection, response)

    def _torn(self) -> ServerError:
        return ServerError(f"{self.url} closed the stream before the answer was whole")

    def _post_for_status(self, path: str, body: Mapping[str, Any]) -> None:
        status, answer = self._call("POST", path, body)
        if status != 200:
            raise self._error(status, answer)

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        status, answer = self._call(method, path, body)
        if status != 200:
            raise self._error(status, answer)
        return _decode(answer)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> tuple[int, bytes]:
        connection, response = self._open(method, path, body, timeout)
        try:
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            _close(connection, response)

    def _open(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        kind = (
            http.client.HTTPSConnection
            if self._parts.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(
            self._parts.hostname or "", self._parts.port, timeout=timeout or self._timeout
        )
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        if self._own:
            headers[OWN] = "1"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        try:
            connection.request(method, self._parts.path + path, data, headers)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> ServerError:
        if isinstance(error, TimeoutError):
            return ServerError(f"{self.url} did not answer in {self._timeout:.0f} s")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ServerError(f"{self.url} does not answer ({reason}): is the server running?")

    def _error(self, status: int, body: bytes) -> ServerError:
        """The sentence inside an OpenAI error object, else the status alone."""
        words = ""
        try:
            plain = msgspec.json.decode(body)
            found = plain.get("error", plain) if isinstance(plain, dict) else plain
            words = found.get("message", "") if isinstance(found, dict) else str(found)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        words = inert(str(words), one_line=True)[:500] or http.client.responses.get(status, "error")
        if status == 401:
            words = "it wants an API key: set TUIWB_API_KEY to the one it was started with"
        return ServerError(f"{self.url} answered {status}: {words}", status)


def _server_sent(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The data of each server-sent event (HTML standard, 9.2.6, the `data` field alone)."""
    while line := response.readline():
        if line.startswith(b"data:"):
            yield line[5:].strip()


def _decode(data: bytes) -> Any:
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ServerError("the server answered something that is not JSON") from None
    if isinstance(plain, dict) and (error := plain.get("error")):
        words = error.get("message", "") if isinstance(error, dict) else str(error)
        raise ServerError(f"the server gave up: {inert(str(words), one_line=True)[:500]}")
    return plain


def _read_choice(plain: Any, part: str | None) -> Delta:
    delta = Delta()
    for choice in plain.get("choices", []):
        text = (choice.get(part) or {}).get("content") if part else choice.get("text")
        delta.text += text or ""
        delta.finish_reason = choice.get("finish_reason") or delta.finish_reason
        tokens = (choice.get("logprobs") or {}).get("content") or []
        # JSON has no NaN: a model whose logits are none answers null.
        said = (token.get("logprob") for token in tokens)
        delta.logprobs += [math.nan if value is None else float(value) for value in said]
    if usage := plain.get("usage"):
        delta.prompt_tokens = usage.get("prompt_tokens")
        delta.completion_tokens = usage.get("completion_tokens")
    return delta


def _close(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
    """Shut the socket down first: a server must see at once that nobody reads its stream."""
    try:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    response.close()
    connection.close()
