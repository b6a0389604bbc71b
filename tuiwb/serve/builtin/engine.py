"""One thread generates for everyone: waiting requests join the batch between two tokens."""

import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from tuiwb.serve.builtin.batch import Batch, Row
from tuiwb.serve.builtin.metrics import Counters
from tuiwb.serve.builtin.model import LoadedModel
from tuiwb.serve.builtin.protocol import Request, RequestError
from tuiwb.serve.builtin.text_stream import TextStream

T = TypeVar("T")
MOST_WAITING = 512
MOST_PREFILL_TOKENS = 8192


@dataclass
class Piece:
    """What one token (or the end) brought: text, why it ended, or why it could not go on."""

    text: str = ""
    finish: str | None = None
    logprobs: list[tuple[str, float]] = field(default_factory=list)
    error: RequestError | None = None


@dataclass
class Generation:
    """A request from its arrival to its last piece; the HTTP side reads `pieces`."""

    request: Request
    ids: list[int]
    limit: int
    text: TextStream
    pieces: "queue.SimpleQueue[Piece]" = field(default_factory=queue.SimpleQueue)
    arrived: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    generated: int = 0
    cancelled: bool = False
    over: bool = False


class Engine:
    """Call `submit` and `change` from any thread."""

    def __init__(self, model: LoadedModel, counters: Counters, *, most_rows: int) -> None:
        self._model = model
        self._counters = counters
        self._most_rows = most_rows
        self._batch = Batch(model)
        self._waiting: deque[Generation] = deque()
        self._changes: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="generate", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the generating thread runs."""
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self._batch.rows)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place in the batch."""
        return len(self._waiting)

    def submit(self, request: Request) -> Generation:
        """Queue a request; RequestError when its prompt is refused or too many wait already."""
        try:
            ids = self._model.render(request)
        except RequestError:
            if request.counted:
                self._counters.ended(
                    request.model,
                    "error",
                    prompt_tokens=0,
                    generated_tokens=0,
                    first_token_seconds=None,
                    seconds=0.0,
                )
            raise
        room = self._model.room - len(ids)
        limit = request.sampling.max_tokens or room
        if limit > room:
            raise RequestError(
                400,
                f"max_tokens {limit} and a prompt of {len(ids)} tokens are more than the "
                f"{self._model.room} this server takes: ask for at most {room}",
                param="max_tokens",
            )
        text = TextStream(lambda ids: self._model.decode(list(ids)), request.sampling.stop)
        generation = Generation(request, ids, limit, text)
        with self._wake:
            if self._closing:
                raise RequestError(503, "the server is stopping")
            if len(self._waiting) >= MOST_WAITING:
                raise RequestError(429, f"{MOST_WAITING} requests wait already: try again later")
            self._waiting.append(generation)
            self._wake.notify()
        return generation

    def uses(self, name: str) -> bool:
        """Whether a request for the model `name` runs or waits."""
        owners = [row.owner for row in list(self._batch.rows)]
        return any(g.request.model == name and not g.cancelled for g in (*owners, *self._waiting))

    def cancel(self, generation: Generation) -> None:
        """Nobody reads the answer any more: its row leaves before the next token."""
        generation.cancelled = True

    def change(self, call: Callable[[], T]) -> T:
        """Do `call` on the engine's thread between two tokens, and return what it returns."""
        future: Future[object] = Future()
        with self._wake:
            if self._closing:
                raise RequestError(503, "the server is stopping")
            self._changes.append((call, future))
            self._wake.notify()
        return future.result()  # type: ignore[return-value]

    def close(self) -> None:
        """End every request with an error, then the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout=30)

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not (self._closing or self._waiting or self._changes or self._batch.rows):
                    self._wake.wait()
                if self._closing:
                    break
            self._do_changes()
            self._leave([row for row in self._batch.rows if row.owner.cancelled])
            try:
                self._admit()
                if self._batch.rows:
                    self._batch.step()
                    self._deliver(self._batch.rows)
            except Exception as error:  # out of memory, or a model's own bug: the server lives on
                traceback.print_exc()
                words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self._fail_all(RequestError(500, f"generation failed: {words}"))
        self._fail_all(RequestError(503, "the server is stopping"), waiting=True)

    def _do_changes(self) -> None:
        while self._changes:
            call, future = self._changes.popleft()
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)

    def _admit(self) -> None:
        fresh: list[Row] = []
        width = 0
        while self._waiting and self._batch.can_join:
            generation = self._waiting[0]
            longest = max(width, len(generation.ids))
            full = len(self._batch.rows) + len(fresh) >= self._most_rows
            if full or (fresh and longest * (len(fresh) + 1) > MOST_PREFILL_TOKENS):
                break
            self._waiting.popleft()
            if generation.cancelled:
                self._end(generation, "cancelled")
                continue
            try:
                adapter = self._model.inner_name(generation.request.model)
            except KeyError:
                name = generation.request.model[:100]
                self._fail(generation, RequestError(404, f"{name} was unloaded meanwhile"))
                continue
            fresh.append(Row(generation.ids, adapter, generation.request.sampling, generation))
            width = longest
        if not fresh:
            return
        try:
            self._batch.join(fresh)
        except Exception:
            for row in fresh:
                if row not in self._batch.rows:
                    self._fail(row.owner, RequestError(500, "reading the prompt failed"))
            raise
        self._deliver(fresh)

    def _deliver(self, rows: list[Row]) -> None:
        self._leave([row for row in list(rows) if self._batch.working(row) and self._push(row)])

    def _push(self, row: Row) -> bool:
        """Hand a row's newest token on; True when it was its last."""
        generation: Generation = row.owner
        token = row.generated[-1]
        if generation.first_token is None:
            generation.first_token = time.monotonic()
        generation.generated += 1
        ended = token in self._model.stops and not row.sampling.ignore_eos
        text = "" if ended else generation.text.push(token)
        finish = "stop" if ended or generation.text.stopped else None
        if finish is None and generation.generated >= generation.limit:
            finish = "length"
        if finish is not None:
            text += generation.text.finish()
            finish = "stop" if generation.text.stopped else finish
        piece = Piece(text=text, finish=finish)
        if row.logprobs:
            piece.logprobs = [(self._model.decode([token]), row.logprobs[-1])]
        if text or finish or piece.logprobs:
            generation.pieces.put(piece)
        return finish is not None

    def _leave(self, rows: list[Row]) -> None:
        for row in rows:
            self._end(row.owner, "cancelled" if row.owner.cancelled else "ok")
        if rows:
            self._batch.drop(rows)

    def _end(self, generation: Generation, outcome: str) -> None:
        if generation.over:
            return
        generation.over = True
        if not generation.request.counted:
            return
        first = generation.first_token
        self._counters.ended(
            generation.request.model,
            outcome,
            prompt_tokens=len(generation.ids),
            generated_tokens=generation.generated,
            first_token_seconds=None if first is None else first - generation.arrived,
            seconds=time.monotonic() - generation.arrived,
        )

    def _fail(self, generation: Generation, error: RequestError) -> None:
        self._end(generation, "error")
        generation.pieces.put(Piece(error=error))

    def _fail_all(self, error: RequestError, *, waiting: bool = False) -> None:
        for row in self._batch.rows:
            if not row.owner.over:
                self._fail(row.owner, error)
        self._batch.clear()
        while waiting and self._waiting:
            self._fail(self._waiting.popleft(), error)
        while waiting and self._changes:
            self._changes.popleft()[1].set_exception(error)
