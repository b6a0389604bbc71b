"""A loopback server for the real clients, whose answers a test writes as a function."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What a handler returns: (status, headers, body) or None to cut the connection.
Answer = tuple[int, dict[str, str], Any] | None


def message(
    text: Any, *, stop: str = "end_turn", tokens: tuple[int, int] = (400, 60), **more: Any
) -> Answer:
    body = text if isinstance(text, str) else json.dumps(text)
    return (
        200,
        {},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "any",
            "content": [{"type": "text", "text": body}],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
        }
        | more,
    )


def completion(
    text: Any, *, finish: str = "stop", tokens: tuple[int, int] | None = (400, 60), **more: Any
) -> Answer:
    """An answer of the OpenAI chat API; without `tokens` it counts none."""
    body = text if isinstance(text, str) or text is None else json.dumps(text)
    choice = {"index": 0, "message": {"role": "assistant", "content": body} | more,
              "finish_reason": finish}  # fmt: skip
    plain: dict[str, Any] = {"id": "c1", "object": "chat.completion", "choices": [choice]}
    if tokens is not None:
        plain["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return 200, {}, plain


def error(status: int, kind: str = "error", said: str = "no", **headers: str) -> Answer:
    heads = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, heads, {"type": "error", "error": {"type": kind, "message": said}}


class Asked:
    """One request as the server saw it."""

    def __init__(self, body: dict[str, Any], headers: dict[str, str], n: int) -> None:
        self.body, self.headers, self.n = body, headers, n
        self.text = body["messages"][-1]["content"]
        self.data = json.loads(self.text)


class EndpointServer:
    """Answers every POST on loopback and remembers what it was asked.

    `other` answers what is no question to a model (batches): (method, path, body) to an answer.
    """

    other: Callable[[str, str, Any], Answer] | None = None

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        # Bytes written at a time, one piece every 20 ms; None for all at once. `between` is told
        # after each piece how many there were.
        self.drip: int | None = None
        self.between: Callable[[int], None] = lambda pieces: None
        self.asked: list[Asked] = []
        self.most_at_once = self._now = 0
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                assert server.other is not None
                self.say(server.other("GET", self.path, None))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if server.other is not None and "messages" not in body:
                    self.say(server.other("POST", self.path, body))
                    return
                with lock:
                    asked = Asked(body, dict(self.headers.items()), len(server.asked))
                    server.asked.append(asked)
                    server._now += 1
                    server.most_at_once = max(server.most_at_once, server._now)
                try:
                    answer = server.answer(asked)
                finally:
                    with lock:
                        server._now -= 1
                self.say(answer)

            def say(self, answer: Answer) -> None:
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, payload = answer
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                # A test that promises more bytes than it gives cuts the connection after them.
                if "content-length" in headers:
                    self.close_connection = True
                for name, value in ({"content-length": str(len(data))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    # Headers first, then nothing the client's timeout between bytes would see.
                    piece = server.drip or max(1, len(data))
                    for n, i in enumerate(range(0, len(data), piece), start=1):
                        self.wfile.write(data[i : i + piece])
                        if piece < len(data):
                            time.sleep(0.02)
                            server.between(n)
                except OSError:
                    # A client that was killed, or did not wait.
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # A short look-out: closing waits for the end of one.
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        serve.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def waits(
    gate: threading.Event, then: Callable[[Asked], Answer], *, first: int
) -> Callable[[Asked], Answer]:
    """An endpoint that answers the `first` calls at once, and the others when the gate opens."""

    def answer(asked: Asked) -> Answer:
        if asked.n >= first:
            gate.wait(600)
        return then(asked)

    return answer


def slow(seconds: float, then: Callable[[Asked], Answer]) -> Callable[[Asked], Answer]:
    """An endpoint with a latency, as a network has one."""

    def answer(asked: Asked) -> Answer:
        time.sleep(seconds)
        return then(asked)

    return answer
