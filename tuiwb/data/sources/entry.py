"""One decoded record, or why there is none."""

import json
from typing import Any, NamedTuple

import msgspec

BOM = b"\xef\xbb\xbf"
RAW_KEPT = 8000


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
        if error.msg.startswith("Unterminated") or not error.doc[error.pos :].strip():
            problem = f"breaks off: half a JSON row (what begins at {at} never ends)"
        else:
            problem = f"is not JSON: {lower(error.msg)} at {at}"
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON that can be read: {str(error) or 'nested too deep'}"
    return Entry(line, None, problem, beginning(data))


def beginning(data: bytes) -> str:
    """The first characters of what stands in a broken record's place."""
    return data[:RAW_KEPT].decode("utf-8", "replace")


def lower(message: str) -> str:
    """A library's sentence as the end of one of ours."""
    return message[:1].lower() + message[1:]
