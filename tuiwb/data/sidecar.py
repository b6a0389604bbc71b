"""The tokenizer process: `python -m tuiwb.data.sidecar`, JSON lines in, JSON lines out.

One request a line, {"id", "op": "load" | "render" | "measure", "model", ...}; one answer a line,
{"id", "result"} or {"id", "kind", "error"}. It ends at the end of its input.

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


def hide_what_is_not_needed() -> None:
    """Make `import torch` fail at once and `import datasets` cost nothing."""
    hidden: dict[str, Any] = sys.modules
    hidden["torch"] = None
    empty = types.ModuleType("datasets")
    empty.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
    for name in ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict"):
        setattr(empty, name, type(name, (), {}))
    hidden["datasets"] = empty


class Server:
    """Answers requests; keeps the tokenizers it loaded."""

    def __init__(self) -> None:
        self._templates: dict[str, Any] = {}

    def answer(self, request: dict[str, Any]) -> Any:
        """The result of one request; TuiwbError when it can't be had."""
        template = self._template(str(request["model"]))
        max_length: int | None = request.get("max_length")
        match request["op"]:
            case "load":
                return True
            case "render":
                row = msgspec.convert(request["row"], Row)
                return msgspec.to_builtins(template.render(row, max_length))
            case "measure":
                rows = msgspec.convert(request["rows"], list[Row])
                return msgspec.to_builtins([template.measure(row, max_length) for row in rows])
            case unknown:
                raise BadInput(f"the tokenizer process knows no request {unknown!r}")

    def _template(self, model: str) -> Any:
        if model not in self._templates:
            try:
                from tuiwb.data.rendering import TrainedTemplate
            except ImportError as error:
                raise MissingHere(
                    f"rendering needs transformers and trl ({error}): pip install 'tuiwb[train]'"
                ) from None
            self._templates[model] = TrainedTemplate.load(model)
        return self._templates[model]


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer every line of `requests` until it ends."""
    server = Server()
    for line in requests:
        request = json.loads(line)
        answer: dict[str, Any] = {"id": request.get("id")}
        try:
            answer["result"] = server.answer(request)
        except TuiwbError as error:
            answer |= {"kind": type(error).__name__, "error": str(error)}
        except Exception as error:
            traceback.print_exc()
            words = " ".join(f"{type(error).__name__}: {error}".split())[:400]
            answer |= {"kind": "JobFailed", "error": f"the row can't be rendered: {words}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main() -> None:
    """Serve on stdin and stdout; whatever a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    hide_what_is_not_needed()
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
