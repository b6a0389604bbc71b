"""One decoded record, or why there is none."""

import json
import re
from typing import Any, NamedTuple

import msgspec

BOM = b"\xef\xbb\xbf"
RAW_KEPT = 8000
MANY = 8  # closing brackets told one by one
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
# What json's words for the end of a text mean; after a whole value only brackets are wanting.
_NEXT = {
    "Expecting value": "a value",
    "Expecting ':'": "':' with a value",
    "Expecting property name": "a field",
}


class Entry(NamedTuple):
    """One decoded record: its 1-based line, and either a value or why there is none."""

    line: int
    value: Any
    problem: str | None = None
    raw: str = ""


def decode(data: bytes, line: int) -> Entry:
    """One JSON document: strictly and fast, else leniently (NaN, raw controls, lone surrogates).

    Of a key that stands twice the last value counts, as in Python's json.
    """
    try:
        return Entry(line, msgspec.json.decode(data))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    if not data:
        return Entry(line, None, "is empty: nothing stands between two commas of the array")
    try:
        return Entry(line, json.loads(data.removeprefix(BOM).decode("utf-8"), strict=False))
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte {error.start} of the row): save it as UTF-8"
    except json.JSONDecodeError as error:
        at = f"column {error.colno}"
        at = f"line {line + error.lineno - 1}, {at}" if error.lineno > 1 else at
        if error.msg.startswith("Unterminated"):
            problem = f"breaks off: half a JSON row (the text that begins at {at} never ends)"
        elif not error.doc[error.pos :].strip():
            problem = f"breaks off: half a JSON row (its end, at {at}, lacks {_lacking(error)})"
        else:
            problem = f"is not JSON: {lower(error.msg)} at {at}"
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON that can be read: {str(error) or 'nested too deep'}"
    return Entry(line, None, problem, beginning(data))


def _lacking(error: json.JSONDecodeError) -> str:
    """What a document that ends too early lacks: the next part of it, and what closes it."""
    still_open: list[str] = []
    for found in _BRACKETS.finditer(error.doc):
        if found[0] in _CLOSING:
            still_open.append(_CLOSING[found[0]])
        elif found[0] in "}]" and still_open:
            still_open.pop()
    closing = "".join(reversed(still_open))
    if len(closing) > MANY:
        closing = f"{len(closing)} closing brackets"
    elif closing:
        closing = f"'{closing}'"
    part = next((words for start, words in _NEXT.items() if error.msg.startswith(start)), "")
    return " and then ".join(filter(None, (part, closing))) or "the rest"


def beginning(data: bytes) -> str:
    """The first characters of what stands in a broken record's place."""
    return data[:RAW_KEPT].decode("utf-8", "replace")


def lower(message: str) -> str:
    """A library's sentence as the end of one of ours."""
    return message[:1].lower() + message[1:]
