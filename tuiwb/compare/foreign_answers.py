"""Answers that another tool wrote, and their references, as they are measured.

In: files with a line per answer: JSON objects (the text under a usual name, or a chat that ends
with it), JSON strings, or plain lines of text. References may be a dataset of any format too: its
held-out answers are taken.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.prompts import clean, held_out
from tuiwb.compare.scored import Answered, Asked
from tuiwb.errors import BadInput

ANSWERS = ("answer", "response", "output", "completion", "prediction", "generated_text", "text")
REFERENCES = ("reference", "target", "expected", "ground_truth", *ANSWERS)
DATASET = ("messages", "conversations", "prompt", "instruction", "chosen")
LARGEST = 1 << 30  # bytes

Line = tuple[str | None, str, dict[str, Any]]  # id, text, tags


def foreign_pairs(answers: Sequence[Path], references: Path | None) -> list[Asked]:
    """One file of answers, or two (base first, then what is under test), with their references.

    Lines go together by their `id` where all have one, else in order. BadInput for a file that
    can't be read, a line without a text, or files of unequal length.
    """
    if not 1 <= len(answers) <= 2:
        raise BadInput(f"{len(answers)} files of answers: give one, or two to compare")
    sides = [_lines(path, _values(path), ANSWERS) for path in answers]
    if references is None:
        meant: list[Line] = sides[0]
        if len(sides[-1]) != len(meant):
            raise _unequal(answers[0], len(meant), answers[1], len(sides[1]))
    else:
        meant = _references(references)
        sides = [
            _matched(side, path, meant, references)
            for side, path in zip(sides, answers, strict=True)
        ]
    return [
        Asked(
            base=Answered(row[0][1]),
            adapter=Answered(row[1][1]) if len(row) == 2 else None,
            reference=None if references is None else expected[1],
            tags={**row[0][2], **expected[2]},
        )
        for row, expected in zip(zip(*sides, strict=True), meant, strict=True)
    ]


def _matched(side: list[Line], path: Path, meant: list[Line], references: Path) -> list[Line]:
    """The answers in the order of the references."""
    by_id = {line[0]: line for line in side if line[0] is not None}
    wanted = [line[0] for line in meant if line[0] is not None]
    if len(by_id) == len(side) and len(wanted) == len(meant):
        missing = next((key for key in wanted if key not in by_id), None)
        if missing is not None:
            raise BadInput(f"{path} has no answer with the id {missing!r} of {references}")
        return [by_id[key] for key in wanted]
    if len(side) != len(meant):
        raise _unequal(path, len(side), references, len(meant))
    return side


def _unequal(one: Path, n: int, other: Path, m: int) -> BadInput:
    return BadInput(
        f"{one} has {n:,} lines and {other} has {m:,}: give as many, or an id on every line"
    )


def _references(path: Path) -> list[Line]:
    values = _values(path)
    first = values[0] if values else None
    if not isinstance(first, dict) or not any(name in first for name in DATASET):
        return _lines(path, values, REFERENCES)
    dataset = held_out(path, limit=1 << 62)
    if dataset.passed_over:
        raise BadInput(f"{dataset.passed_over} rows of {path} have no prompt: {dataset.why}")
    missing = next((p for p in dataset.prompts if p.reference is None), None)
    if missing is not None:
        raise BadInput(f"{path}:{missing.line} has no reference answer")
    return [_line(p.tags.get("id"), p.reference or "", p.tags) for p in dataset.prompts]


def _values(path: Path) -> list[Any]:
    """Each line as JSON where the first is JSON (an object or a string), else as plain text."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadInput(f"{path} is larger than {LARGEST >> 30} GiB: split it")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"can't read {path}: {error.strerror or error}") from None
    lines = data.decode("utf-8", "replace").split("\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise BadInput(f"{path} is empty: give a line per answer")
    try:
        json = isinstance(msgspec.json.decode(lines[0]), dict | str)
    except (msgspec.MsgspecError, RecursionError):
        json = False
    # A JSON object is an answer of its own where the file is plain text: JSONL by its name.
    if not json or path.suffix.lower() == ".txt":
        return [line.removesuffix("\r") for line in lines]
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(msgspec.json.decode(line))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadInput(f"{path}:{number} is not JSON: {error}") from None
    return values


def _lines(path: Path, values: Sequence[Any], names: Sequence[str]) -> list[Line]:
    found = []
    for number, value in enumerate(values, 1):
        if isinstance(value, str):
            found.append(_line(None, value, {}))
            continue
        row = value if isinstance(value, dict) else {}
        name = next((n for n in (*names, "messages") if n in row), None)
        if name is None:
            raise BadInput(f"{path}:{number} has none of {', '.join(names)}")
        text = _last_turn(row[name]) if name == "messages" else row[name]
        said = text if isinstance(text, str) else msgspec.json.encode(text).decode()
        tags = {k: v for k, v in row.items() if k not in (*names, "id")}
        found.append(_line(row.get("id"), said, tags))
    return found


def _last_turn(messages: Any) -> Any:
    """What the last turn of a chat says; the whole where it is no chat."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    return last.get("content", messages) if isinstance(last, dict) else messages


def _line(key: Any, text: str, tags: dict[str, Any]) -> Line:
    plain = {k: v for k, v in tags.items() if k != "id" and isinstance(v, str | int | float | bool)}
    return (None if key is None else str(key), clean(text), plain)
