"""The tokenizer process: `python -m tuiwb.data.sidecar`, JSON lines in, JSON lines out.

One request a line, {"id", "op": "load", "describe", "render" or "measure", "model", ...}; one
answer a line, {"id", "result"} or {"id", "kind", "error"}. It ends at the end of its input.

TRL's functions for templates and masks need neither torch nor datasets, but their modules import
both: here torch is hidden and datasets a name without content, which saves 6 of 8 seconds.
"""

import importlib.machinery
import json
import os
import sys
import traceback
import types
from typing import IO, Any

import msgspec

from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, MissingHere, TuiwbError
from tuiwb.prepared import prepared


def hide_what_is_not_needed() -> None:
    """Make `import torch` fail at once and `import datasets` cost nothing."""
    hidden: dict[str, Any] = sys.modules
    hidden["torch"] = None
    empty = types.ModuleType("datasets")
    empty.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
    for name in ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict"):
        setattr(empty, name, type(name, (), {}))
    hidden["datasets"] = empty


class Request(msgspec.Struct, kw_only=True):
    """One request; `row` for render, `rows` and `every` for measure."""

    id: int
    op: str
    model: str
    row: Row | None = None
    rows: list[Row] = []
    every: int = 1
    max_length: int | None = None
    as_chat: bool = False
    assistant_only_loss: bool = True


class Server:
    """Answers requests; keeps the tokenizers it loaded."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, bool], Any] = {}

    def answer(self, asked: Request) -> Any:
        """The result of one request; TuiwbError when it can't be had."""
        template = self._template(asked.model, asked.assistant_only_loss)
        match asked.op:
            case "load":
                return True
            case "describe":
                from tuiwb.data.measuring import facts

                return facts(template)
            case "render" if asked.row is not None:
                return template.render(asked.row, asked.max_length, asked.as_chat)
            case "measure":
                from tuiwb.data.measuring import measure

                return measure(template, asked.rows, asked.max_length, asked.every, asked.as_chat)
            case unknown:
                raise BadInput(f"the tokenizer process knows no request {unknown!r}")

    def _template(self, model: str, assistant_only_loss: bool) -> Any:
        wanted = (model, assistant_only_loss)
        if wanted not in self._templates:
            try:
                from tuiwb.data.rendering import TrainedTemplate
            except ImportError as error:
                raise MissingHere(
                    f"rendering needs transformers and trl ({error}): pip install 'tuiwb[train]'"
                ) from None
            self._templates[wanted] = TrainedTemplate.load(model, assistant_only_loss)
        return self._templates[wanted]


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer every line of `requests` until it ends."""
    server = Server()
    for line in requests:
        asked = _request(line)
        answer: dict[str, Any] = {"id": asked.id}
        try:
            answer["result"] = server.answer(asked)
        except TuiwbError as error:
            answer |= {"kind": type(error).__name__, "error": str(error)}
        except Exception as error:
            traceback.print_exc()
            words = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            answer |= {"kind": "JobFailed", "error": f"the row can't be rendered: {words}"}
        answers.write(_encoded(answer) + b"\n")
        answers.flush()


def _request(line: bytes) -> Request:
    try:
        return msgspec.json.decode(line, type=prepared(Request))
    except msgspec.DecodeError:
        # Lone surrogates and NaN, which only the slower decoder reads.
        return msgspec.convert(json.loads(line), prepared(Request))


def _encoded(answer: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(answer)).encode()


def main() -> None:
    """Serve on stdin and stdout; whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    hide_what_is_not_needed()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
