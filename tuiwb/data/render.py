"""What the model will see of a row: rendered tokens from the sidecar, or the plain conversation.

The sidecar is a child process that holds the tokenizer; this side imports nothing heavy.
"""

import atexit
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from tuiwb.data.examples import lone_surrogate
from tuiwb.data.rendered import Measured, ModelFacts, Rendered, Token
from tuiwb.data.rows import Message, Row
from tuiwb.errors import BadInput, JobFailed, MissingHere, TuiwbError
from tuiwb.prepared import prepared

__all__ = [
    "Measured",
    "ModelFacts",
    "Rendered",
    "Sidecar",
    "Token",
    "check_tokenizer",
    "conversation_text",
    "marked_text",
    "turn_text",
]

LOAD_SECONDS = 120.0
ANSWER_SECONDS = 60.0
SLOWEST = 50_000  # bytes of rows that the slowest tokenizer surely does in a second
_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONUNBUFFERED": "1",
    "PYTHONSAFEPATH": "1",
}
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json")
_TOKENIZER_SUFFIXES = (".model", ".spm", ".tiktoken")


def conversation_text(row: Row) -> str:
    """The row as plain text, turn by turn, without a model."""
    if row.shape == "broken":
        return f"broken: {row.problem}\n\n{row.text}"
    blocks = []
    if row.tools:
        names = ", ".join(str(tool.get("function", tool).get("name")) for tool in row.tools)
        blocks.append(f"[tools] {names}")
    for part, message in row.conversation():
        head = message.role if part in ("messages", "prompt", "text") else f"{part}: {message.role}"
        blocks.append(f"[{head}]\n{turn_text(message)}")
    if row.label is not None:
        blocks.append(f"[label] {'good' if row.label else 'bad'}")
    return "\n\n".join(blocks)


def marked_text(rendered: Rendered) -> str:
    """The rendered text with marks: ⟦special⟧ tokens, ▶trained◀ stretches, ✂ where it is cut."""
    pieces: list[str] = []
    trained = False
    for i, token in enumerate(rendered.tokens):
        if token.trained != trained:
            pieces.append("▶" if token.trained else "◀")
            trained = token.trained
        if i == rendered.truncated_at:
            pieces.append(f"✂ the trainer cuts here, {rendered.total - i} tokens are lost ✂")
        pieces.append(f"⟦{token.text}⟧" if token.special else token.text)
    return "".join(pieces) + ("◀" if trained else "")


def turn_text(message: Message) -> str:
    """A turn's text; tool calls as name(arguments)."""
    lines = [message.content] if message.content or not message.tool_calls else []
    for call in message.tool_calls or []:
        function = call.get("function", call)
        arguments = json.dumps(function.get("arguments"), ensure_ascii=False)
        lines.append(f"-> {function.get('name')}({arguments})")
    return "\n".join(lines)


def check_tokenizer(model: str | Path) -> None:
    """BadInput when `model` is a folder without a tokenizer, or a path that is not there."""
    path = Path(model)
    if lone_surrogate(str(model)) is not None:
        raise BadInput(f"the model's path is not UTF-8: {str(model)!a}")
    if path.is_dir():
        names = {file.name for file in path.iterdir()}
        if not names & {*_TOKENIZER_FILES} and not any(
            name.endswith(_TOKENIZER_SUFFIXES) for name in names
        ):
            raise BadInput(
                f"{path} has no tokenizer (no tokenizer.json): give a model folder that holds one"
            )
    elif path.is_absolute() or str(model).startswith(".") or str(model).count("/") != 1:
        raise BadInput(f"there is no model folder {path}{_instead_of(path)}")


def _instead_of(path: Path) -> str:
    """The folder beside it that may be meant, as the end of a sentence."""
    from difflib import get_close_matches

    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, 1)
    return f": did you mean {path.parent / near[0]}?" if near else ""


class Sidecar:
    """The long-lived tokenizer process; started by its first use, restarted when it died.

    Safe from several threads: requests are answered one after the other. It ends with this
    process, however this process ends.
    """

    def __init__(self, python: str | None = None) -> None:
        self._python = python or sys.executable
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._log: IO[bytes] | None = None
        self._models: set[str] = set()
        self._asked = 0
        self._closed = False
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """The process's id; None when it was not needed yet, or is gone."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def has(self, model: str | Path) -> bool:
        """Whether that model's tokenizer is loaded already."""
        return self.pid is not None and str(model) in self._models

    def render(
        self,
        model: str | Path,
        row: Row,
        max_length: int | None = None,
        *,
        as_chat: bool = False,
        assistant_only_loss: bool = True,
    ) -> Rendered:
        """`row` as tokens of `model`'s tokenizer, as TRL's trainer of the row's shape makes them.

        `as_chat`: the dataset holds chats too, so prompt and completion are trained as turns.
        BadInput when the row or the model can't be.
        """
        if row.shape == "broken":
            raise BadInput(f"{row.where} {row.problem}: it can't be rendered")
        options = {"as_chat": as_chat, "assistant_only_loss": assistant_only_loss}
        answer = self._ask(model, "render", row=_plain(row), max_length=max_length, **options)
        return msgspec.convert(answer, prepared(Rendered))

    def measure(
        self,
        model: str | Path,
        rows: Sequence[Row],
        max_length: int | None = None,
        *,
        every: int = 1,
        as_chat: bool = False,
        assistant_only_loss: bool = True,
    ) -> list[Measured]:
        """Each row's token counts; a row that can't be rendered says why.

        Counted are the rows whose index `every` divides, and all that are not proved to fit into
        `max_length`; the others are rendered only.
        """
        options = {"as_chat": as_chat, "assistant_only_loss": assistant_only_loss}
        plain = [_plain(row) for row in rows]
        answer = self._ask(
            model, "measure", rows=plain, max_length=max_length, every=every, **options
        )
        return msgspec.convert(answer, prepared(list[Measured]))

    def describe(self, model: str | Path, *, assistant_only_loss: bool = True) -> ModelFacts:
        """What `model`'s tokenizer and chat template do to every row."""
        answer = self._ask(model, "describe", assistant_only_loss=assistant_only_loss)
        return msgspec.convert(answer, prepared(ModelFacts))

    def load(self, model: str | Path) -> None:
        """Start the process and load the tokenizer, so that the next request is quick."""
        self._ask(model, "load")

    def close(self) -> None:
        """End the process at once, even amid a request, which then fails; for good."""
        self._closed = True
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
        if self._lock.acquire(timeout=1):
            try:
                self._stop()
            finally:
                self._lock.release()

    def _ask(self, model: str | Path, op: str, **arguments: Any) -> Any:
        check_tokenizer(model)
        with self._lock:
            for attempt in (1, 2):
                if self._closed:
                    raise JobFailed("the tokenizer process was ended")
                fresh = self.pid is None
                if fresh:
                    self._start()
                self._asked += 1
                request = {"id": self._asked, "op": op, "model": str(model), **arguments}
                line = msgspec.json.encode(request) + b"\n"
                seconds = ANSWER_SECONDS if str(model) in self._models else LOAD_SECONDS
                answer = self._exchange(line, seconds + len(line) / SLOWEST)
                if answer is not None:
                    self._models.add(str(model))
                    return _result(answer)
                words = self._last_words()
                self._stop()
                if attempt == 2:
                    raise JobFailed(f"the tokenizer process died twice on this request{words}")
        raise AssertionError

    def _start(self) -> None:
        self._stop()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  it outlives this call
        self._models = set()
        try:
            self._process = subprocess.Popen(
                [self._python, "-m", "tuiwb.data.sidecar"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
                env={**os.environ, **_ENVIRONMENT},
            )
        except OSError as error:
            raise MissingHere(f"can't start {self._python}: {error.strerror or error}") from None
        self._answers = queue.Queue()
        stream, answers = self._process.stdout, self._answers
        assert stream is not None
        threading.Thread(target=_listen, args=(stream, answers), daemon=True).start()

    def _exchange(self, request: bytes, seconds: float) -> dict[str, Any] | None:
        """The answer to one request; None when the process died over it."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
            line = self._answers.get(timeout=seconds)
        except (BrokenPipeError, OSError):
            return None
        except queue.Empty:
            self._stop()
            raise JobFailed(
                f"the tokenizer process gave no answer in {seconds:.0f} s and was ended: try again"
            ) from None
        return None if line is None else msgspec.json.decode(line, type=dict[str, Any])

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                pass
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log is not None:
            self._log.close()

    def _last_words(self) -> str:
        if self._log is None or self._log.closed:
            return ""
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"; it said: {said[-1][:200]}" if said else ""


def _listen(stream: IO[bytes], answers: "queue.Queue[bytes | None]") -> None:
    for line in stream:
        answers.put(line)
    answers.put(None)
    stream.close()


def _plain(row: Row) -> msgspec.Raw:
    """A row as JSON without its tags."""
    row = msgspec.structs.replace(row, tags={}) if row.tags else row
    try:
        # Only tools can hold NaN, which this encoder would make null.
        if not row.tools and not any(message.tool_calls for _, message in row.conversation()):
            return msgspec.Raw(msgspec.json.encode(row))
    except UnicodeEncodeError:
        pass  # a lone surrogate: the slower encoder escapes it
    return msgspec.Raw(json.dumps(msgspec.to_builtins(row)).encode())


def _result(answer: dict[str, Any]) -> Any:
    if "error" not in answer:
        return answer["result"]
    kinds: dict[str, type[TuiwbError]] = {"BadInput": BadInput, "MissingHere": MissingHere}
    raise kinds.get(answer["kind"], JobFailed)(answer["error"])
