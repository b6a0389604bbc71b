"""Raw NVML answers as a file: recorded on a real machine, replayed where there is none.

A trace is gzipped JSON lines: what the machine is, then each call with its arguments and its answer
or error code, in order. Handles are written as the call that gave them.
"""

import gzip
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from ctypes import Structure
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HANDLES = ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMigDeviceHandleByIndex")


class Recorder:
    """Stands in for the pynvml module and writes down what it answers."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self.calls: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if not callable(found) or not name.startswith("nvml"):
            return found

        def call(*arguments: Any) -> Any:
            entry: dict[str, Any] = {
                "call": name,
                "with": [self._names.get(id(one), one) for one in arguments],
            }
            self.calls.append(entry)
            try:
                answer = found(*arguments)
            except Exception as error:
                entry["error"] = int(getattr(error, "value", 999))
                raise
            if name in HANDLES:
                # Kept alive, so that no other handle ever has its id.
                self._kept.append(answer)
                self._names[id(answer)] = f"{name}({','.join(map(str, entry['with']))})"
                entry["answer"] = self._names[id(answer)]
            else:
                entry["answer"] = plain(answer)
            return answer

        return call

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the trace; `about` says which machine, driver and time it is of."""
        with gzip.open(path, "wt", encoding="utf-8") as file:
            for line in ({"about": about}, *self.calls):
                file.write(json.dumps(line) + "\n")


class Failed(Exception):
    """An error of the recording, with NVML's code in `value` as pynvml's own have it."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class Replayed:
    """Stands in for the pynvml module and answers from a trace; the last answer repeats."""

    def __init__(self, path: Path, constants: Any) -> None:
        self._constants = constants
        self._answers: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self.about: dict[str, Any] = {}
        for line in _lines(path):
            if "about" in line:
                self.about = line["about"]
            else:
                self._answers[_key(line["call"], line["with"])].append(line)
        self.looks = max((len(a) for k, a in self._answers.items() if "GetCount" in k), default=0)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._constants, name)
        if not callable(found) or not name.startswith("nvml"):
            return found

        def call(*arguments: Any) -> Any:
            waiting = self._answers.get(_key(name, list(arguments)))
            if not waiting:
                raise Failed(13)  # NVML_ERROR_FUNCTION_NOT_FOUND: never asked when it was recorded
            entry = waiting.popleft() if len(waiting) > 1 else waiting[0]
            if "error" in entry:
                raise Failed(entry["error"])
            return friendly(entry["answer"])

        return call


def plain(answer: Any) -> Any:
    """An answer as JSON: structs as their fields."""
    if isinstance(answer, bytes):
        return answer.decode("utf-8", "replace")
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    if isinstance(answer, Structure):
        return {name: plain(getattr(answer, name)) for name, *_ in answer._fields_}
    if hasattr(answer, "__dict__"):
        return {name: plain(value) for name, value in vars(answer).items()}
    return answer


def friendly(answer: Any) -> Any:
    """The answer again, its fields as attributes."""
    if isinstance(answer, list):
        return [friendly(one) for one in answer]
    return SimpleNamespace(**answer) if isinstance(answer, dict) else answer


def _key(name: str, arguments: list[Any]) -> str:
    return f"{name}({','.join(map(str, arguments))})"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
