"""The built-in engine's HTTP side: a thread per connection, none of which touches the model.

A client that vanishes, sends garbage or sends too much hurts nobody but itself.
"""

import hmac
import queue
import select
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.serve.builtin.engine import Engine, Generation, Piece
from tuiwb.serve.builtin.metrics import OWN, Counters
from tuiwb.serve.builtin.model import LoadedModel
from tuiwb.serve.builtin.protocol import Answer, RequestError, read_body, read_request
from tuiwb.serve.preflight import require
from tuiwb.serve.spec import Served, ServeSpec

MOST_BODY_BYTES = 8 << 20
MOST_DISCARDED_BYTES = 64 << 20
CLOSING_SECONDS = 3.0
LOOK_SECONDS = 0.5
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Server(ThreadingHTTPServer):
    """Listens from the first moment, and answers 503 until `open` gives it a model."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, spec: ServeSpec, base_folder: Path, api_key: str | None) -> None:
        self.spec = spec
        self.base_folder = base_folder
        self.api_key = api_key
        self.counters = Counters()
        self.model: LoadedModel | None = None
        self.engine: Engine | None = None
        self.paths: dict[str, str] = {}
        self.loading = threading.Lock()
        self._answers = threading.Condition()
        self._answering = 0
        if ":" in spec.host:
            self.address_family = socket.AF_INET6
        super().__init__((spec.host, spec.port), Handler)

    def open(self, model: LoadedModel) -> None:
        """Serve `model` from now on."""
        self.engine = Engine(model, self.counters, most_rows=self.spec.max_batch)
        self.model = model

    def close(self) -> None:
        """End open streams with an error, stop listening, end the engine."""
        if self.engine is not None:
            self.engine.close()
        with self._answers:
            self._answers.wait_for(lambda: self._answering == 0, timeout=CLOSING_SECONDS)
        self.shutdown()
        self.server_close()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count an answer that is being written, so that closing can wait for its last words."""
        with self._answers:
            self._answering += 1
        try:
            yield
        finally:
            with self._answers:
                self._answering -= 1
                self._answers.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken connection is the client's affair; anything else belongs in the log."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def models(self) -> list[Served]:
        """The base first, then its adapters."""
        name = self.spec.base_name
        adapters = [Served(id=n, root=p, parent=name) for n, p in list(self.paths.items())]
        return [Served(id=name, root=self.spec.base), *adapters]


class Handler(BaseHTTPRequestHandler):
    """One connection, kept alive between requests."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "tuiwb"
    sys_version = ""
    timeout = 120
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """/health, /v1/models, /metrics, /version."""
        routes: dict[str, Callable[[], None]] = {
            "/health": self._health,
            "/v1/models": self._models,
            "/metrics": self._metrics,
        }
        self._route(routes)

    def do_POST(self) -> None:
        """Completions, and adapters coming and going."""
        routes: dict[str, Callable[[], None]] = {
            "/v1/chat/completions": lambda: self._generate(chat=True),
            "/v1/completions": lambda: self._generate(chat=False),
            "/v1/load_lora_adapter": self._load,
            "/v1/unload_lora_adapter": self._unload,
        }
        self._route(routes)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are counted in /metrics; what clients send does not belong in the log."""

    def _route(self, routes: dict[str, Callable[[], None]]) -> None:
        self._unread = self.command == "POST"
        try:
            path = urlsplit(self.path).path.rstrip("/") or "/"
            self._check_caller(path)
            if path not in routes:
                raise RequestError(404, f"there is no {self.command} {path[:100]} here")
            if path != "/health" and self.server.engine is None:
                raise RequestError(503, "the model is still loading")
            routes[path]()
        except RequestError as error:
            self._send_error(error)
        except TuiwbError as error:
            self._send_error(RequestError(400, str(error)))
        except OSError:
            self.close_connection = True

    def _check_caller(self, path: str) -> None:
        # A web page can aim a victim's browser at a loopback server under another name.
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.spec.host in _LOOPBACK and host not in (None, *_LOOPBACK):
            raise RequestError(403, "this server answers to localhost only")
        key = self.server.api_key
        if key is not None and path != "/health":
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()):
                raise RequestError(401, "this server wants an API key", kind="authentication_error")

    def _health(self) -> None:
        if self.server.engine is None:
            raise RequestError(503, "the model is still loading")
        self._send(200, b"{}")

    def _models(self) -> None:
        data = [
            {
                "id": m.id,
                "object": "model",
                "created": 0,
                "owned_by": "tuiwb",
                "root": m.root,
                "parent": m.parent,
                "max_model_len": self._model.room,
            }
            for m in self.server.models()
        ]
        self._send(200, msgspec.json.encode({"object": "list", "data": data}))

    def _metrics(self) -> None:
        engine = self._engine
        gauges = {
            "tuiwb_requests_running": engine.running,
            "tuiwb_requests_waiting": engine.waiting,
            "tuiwb_adapters_loaded": len(self.server.paths),
        }
        text = self.server.counters.text(gauges).encode("utf-8", "replace")
        self._send(200, text, "text/plain; version=0.0.4; charset=utf-8")

    def _load(self) -> None:
        body = self._body()
        name, path = body.get("lora_name"), body.get("lora_path")
        if not isinstance(name, str) or not isinstance(path, str) or not name or not path:
            raise RequestError(400, "give lora_name and lora_path")
        with self.server.loading:
            if name == self.server.spec.base_name:
                raise RequestError(400, f"{name} is the base's name: choose another")
            if name in self.server.paths:
                raise RequestError(400, f"{name} has already been loaded")
            if not Path(path).is_dir():
                raise RequestError(404, f"no adapter found for {name}: {path} is not a folder")
            require(Path(path), self.server.base_folder)
            self._engine.change(lambda: self._model.load_adapter(name, path))
            self.server.paths[name] = path
            self.server.counters.adapter_loads += 1
        self._send(200, msgspec.json.encode({"message": f"LoRA adapter '{name}' added"}))

    def _unload(self) -> None:
        name = self._body().get("lora_name")
        with self.server.loading:
            if not isinstance(name, str) or name not in self.server.paths:
                raise RequestError(404, f"no adapter named {str(name)[:100]} is loaded")
            path = self.server.paths.pop(name)
            if self._engine.uses(name):
                self.server.paths[name] = path
                raise RequestError(409, f"{name} is answering: unload it when it is done")
            self._engine.change(lambda: self._model.unload_adapter(name))
        self._send(200, msgspec.json.encode({"message": f"LoRA adapter '{name}' removed"}))

    def _generate(self, *, chat: bool) -> None:
        request = read_request(self._body(), chat=chat)
        if request.model not in (self.server.spec.base_name, *self.server.paths):
            raise RequestError(
                404,
                f"the model {request.model[:100]} does not exist here: GET /v1/models lists them",
                kind="not_found_error",
                param="model",
            )
        request.counted = OWN not in self.headers
        generation = self._engine.submit(request)
        with self.server.answering():
            try:
                answer = Answer(request, uuid.uuid4().hex)
                (self._stream if request.stream else self._whole)(generation, answer)
            finally:
                self._engine.cancel(generation)

    def _whole(self, generation: Generation, answer: Answer) -> None:
        text, finish = "", "stop"
        logprobs: list[tuple[str, float]] = []
        for piece in self._pieces(generation):
            if piece.error is not None:
                raise piece.error
            text += piece.text
            finish = piece.finish or finish
            logprobs += piece.logprobs
        self._send(
            200,
            answer.whole(
                text,
                finish,
                logprobs if generation.request.sampling.logprobs else None,
                len(generation.ids),
                generation.generated,
            ),
        )

    def _stream(self, generation: Generation, answer: Answer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        wants = generation.request.sampling.logprobs
        first = True
        for piece in self._pieces(generation):
            if piece.error is not None:
                self._send_chunk(piece.error.body())
                break
            logprobs = piece.logprobs if wants else None
            self._send_chunk(answer.chunk(piece.text, piece.finish, logprobs, first))
            first = False
        if generation.request.usage_in_stream:
            self._send_chunk(answer.usage(len(generation.ids), generation.generated))
        self._send_chunk(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _pieces(self, generation: Generation) -> Iterator[Piece]:
        """Pieces until the last; stops early when the client has gone."""
        looked = time.monotonic()
        while True:
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if self._client_gone():
                    raise ConnectionResetError
            try:
                piece = generation.pieces.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            yield piece
            if piece.finish is not None or piece.error is not None:
                return

    def _client_gone(self) -> bool:
        ready, _, _ = select.select([self.connection], [], [], 0)
        return bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send_chunk(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")

    def _body(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":
            raise RequestError(415, "send Content-Type: application/json")
        length = self._length
        if length is None:
            raise RequestError(411, "send the body with a Content-Length")
        if length > MOST_BODY_BYTES:
            raise RequestError(413, f"the body is above {MOST_BODY_BYTES >> 20} MiB: send less")
        data = self.rfile.read(length)
        self._unread = False
        if len(data) < length:
            raise ConnectionResetError
        return read_body(data)

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _send_error(self, error: RequestError) -> None:
        # With its body unread the connection can't carry another request; and a client that is
        # cut off while sending would never see the answer.
        self.close_connection = self.close_connection or self._unread
        with suppress(OSError):
            self._send(error.status, error.body())
            left = min(self._length or 0, MOST_DISCARDED_BYTES) if self._unread else 0
            while left > 0 and (chunk := self.rfile.read1(min(left, 1 << 16))):
                left -= len(chunk)

    @property
    def _length(self) -> int | None:
        """The body's length in bytes, if the client said it."""
        length = self.headers.get("Content-Length", "")
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        return int(length) if length.isdecimal() and len(length) < 16 and not chunked else None

    @property
    def _engine(self) -> Engine:
        assert self.server.engine is not None
        return self.server.engine

    @property
    def _model(self) -> LoadedModel:
        assert self.server.model is not None
        return self.server.model
