"""Answers that another tool wrote, and their references, as they are measured.

In: files with a line per answer: JSON objects (the text under a usual name, or a chat that ends
with it), JSON strings, or plain lines of text; or one JSON array of these. References may be a
dataset of any format too: its held-out answers are taken.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.metrics.scored import Answered, Asked
from tuiwb.compare.prompts import clean, held_out
from tuiwb.errors import BadInput
from tuiwb.project import LINES, names_rows

ANSWERS = ("answer", "response", "output", "completion", "prediction", "generated_text", "text")
REFERENCES = ("reference", "target", "expected", "ground_truth", *ANSWERS)
DATASET = ("messages", "conversations", "prompt", "instruction", "chosen")
LARGEST = 1 << 30  # bytes

Value = tuple[int, Any]  # line (or place in an array), what stands there
Line = tuple[str | None, str, dict[str, Any]]  # id, text, tags


def foreign_pairs(answers: Sequence[Path], references: Path | None) -> list[Asked]:
    """One file of answers, or two (base first, then what is under test), with their references.

    Lines go together by their `id` where all have one, else in order. BadInput for a file that
    can't be read, a line without a text, an id that stands twice, or files of unequal length.
    """
    if not 1 <= len(answers) <= 2:
        raise BadInput(f"{len(answers)} files of answers: give one, or two to compare")
    sides = [_lines(path, _values(path), ANSWERS) for path in answers]
    if references is None:
        meant: list[Line] = sides[0]
        sides[1:] = [_matched(side, answers[1], meant, answers[0]) for side in sides[1:]]
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


def _matched(side: list[Line], path: Path, meant: list[Line], other: Path) -> list[Line]:
    """The answers in the order of the other file's lines."""
    wanted, given = _by_id(meant, other), _by_id(side, path)
    if wanted is not None and given is not None:
        missing = next((key for key in wanted if key not in given), None)
        if missing is not None:
            raise BadInput(f"{path} has no answer with the id {missing!r} of {other}")
        return [given[key] for key in wanted]
    if len(side) != len(meant):
        raise _unequal(path, len(side), other, len(meant))
    return side


def _by_id(lines: list[Line], path: Path) -> dict[str, Line] | None:
    """The lines by their ids; None where not all have one."""
    found: dict[str, Line] = {}
    for line in lines:
        if line[0] is None:
            return None
        if line[0] in found:
            raise BadInput(f"{path} has the id {line[0]!r} twice: give every line its own")
        found[line[0]] = line
    return found


def _unequal(one: Path, n: int, other: Path, m: int) -> BadInput:
    return BadInput(
        f"{one} has {n:,} line{'s' * (n != 1)} and {other} has {m:,}: give as many, or "
        "an id on every line"
    )


def _references(path: Path) -> list[Line]:
    # Tables, columns, packed files and folders are datasets; lines of JSON may be either.
    if not path.is_dir() and (path.suffix.lower() in LINES or not names_rows(path)):
        values = _values(path)
        first = values[0][1] if values else None
        if not isinstance(first, dict) or not any(name in first for name in DATASET):
            return _lines(path, values, REFERENCES)
    dataset = held_out(path, limit=1 << 62)
    if dataset.passed_over:
        raise BadInput(f"{dataset.passed_over} rows of {path} have no prompt: {dataset.why}")
    missing = next((p for p in dataset.prompts if p.reference is None), None)
    if missing is not None:
        raise BadInput(f"{path}:{missing.line} has no reference answer")
    return [_line(p.tags.get("id"), p.reference or "", p.tags) for p in dataset.prompts]


def _values(path: Path) -> list[Value]:
    """Each line as JSON where the first is JSON (an object or a string), else as plain text; the
    items of a JSON array where the file is one."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"can't read {path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise BadInput(f"{path} is larger than {LARGEST >> 30} GiB: split it")
    if b"\0" in data[:4096] or data.startswith((b"PAR1", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        raise BadInput(f"{path} is no text: give a line per answer, as JSON or plain, in UTF-8")
    # Some editors open a file with a mark of its encoding, which is no part of the first line.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    plain = path.suffix.lower() == ".txt"
    if not plain and (items := _array(text)) is not None:
        return list(enumerate(items, 1))
    lines = text.split("\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise BadInput(f"{path} is empty: give a line per answer")
    try:
        json = isinstance(msgspec.json.decode(lines[0]), dict | str)
    except (msgspec.MsgspecError, RecursionError):
        json = False
    # A JSON object is an answer of its own where the file is plain text: JSONL by its name.
    if not json or plain:
        return [(number, line.removesuffix("\r")) for number, line in enumerate(lines, 1)]
    values: list[Value] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values.append((number, msgspec.json.decode(line)))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadInput(f"{path}:{number} is not JSON: {error}") from None
    return values


def _array(text: str) -> list[Any] | None:
    """The items of a file that is one JSON array of objects or texts; None for any other."""
    if not text.lstrip().startswith("["):
        return None
    try:
        items = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
    fits = isinstance(items, list) and items and all(isinstance(i, dict | str) for i in items)
    return items if fits else None


def _lines(path: Path, values: Sequence[Value], names: Sequence[str]) -> list[Line]:
    found = []
    for number, value in values:
        if isinstance(value, str):
            found.append(_line(None, value, {}))
            continue
        row = value if isinstance(value, dict) else {}
        name = next((n for n in (*names, "messages") if n in row), None)
        if name is None:
            raise BadInput(f"{path}:{number} has none of {', '.join(names)}")
        text = _last_turn(row[name]) if name == "messages" else row[name]
        # No answer is an empty one, not the word null.
        plain = "" if text is None else text
        said = plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
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
