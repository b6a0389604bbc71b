"""From an answer's text to rows: forgiving about what surrounds them, strict about what they are.

The text is hostile data: it is parsed as JSON and nothing else, and a row that was whole before
the answer was cut is kept. Pure.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tuiwb.data.checks.empty import empty
from tuiwb.data.checks.role_order import role_order
from tuiwb.data.examples import lone_surrogate
from tuiwb.data.formats import to_row
from tuiwb.data.generate.form import Form, record_of_answer
from tuiwb.data.generate.prompts import AXES, LONGEST_VALUE, MOST_VALUES
from tuiwb.data.rows import Row

_OPENING = re.compile(r'"rows"\s*:\s*\[')
_DECODER = json.JSONDecoder()
MOST_ROWS = 1000
# Characters kept of what is no row.
MOST_SHOWN = 4000


class Candidate(msgspec.Struct, kw_only=True):
    """A generated row: its record and typed row, or the word and the sentence for why not."""

    record: Any
    row: Row | None = None
    reason: str = ""
    why: str = ""


class Parsed(msgspec.Struct, kw_only=True):
    """What an answer holds. `problem` is why it is not wholly what was asked for, '' if it is."""

    candidates: list[Candidate]
    problem: str = ""


def parse_rows(text: str, stop: str, form: Form) -> Parsed:
    """The rows of an answer, whole ones of a cut or wrapped answer too, and what is wrong with it.

    Problems: refusal, max_tokens, no content, truncated, not JSON, wrong schema.
    """
    if stop == "refusal":
        return Parsed(candidates=[], problem="refusal")
    if not text.strip():
        return Parsed(candidates=[], problem=stop or "no content")
    values, problem = _values(text)
    candidates = [_candidate(value, form) for value in values[:MOST_ROWS]]
    if candidates and not problem and all(c.reason == "schema" for c in candidates):
        problem = "wrong schema"
    return Parsed(candidates=candidates, problem=stop or problem)


def parse_axes(text: str, stop: str) -> dict[str, list[str]]:
    """Personas, topics and difficulties from an answer; ValueError when it names none."""
    if stop:
        raise ValueError(stop)
    value = _decode(_unfenced(text))
    found = value if isinstance(value, dict) else {}
    axes = {axis: list(dict.fromkeys(_named(found.get(axis)))) for axis in AXES}
    axes = {axis: values[:MOST_VALUES] for axis, values in axes.items() if values}
    if not axes:
        raise ValueError("names no personas, topics or difficulties")
    return axes


def _named(values: Any) -> Iterator[str]:
    for value in values if isinstance(values, list) else ():
        if isinstance(value, str) and lone_surrogate(value) is None:
            words = " ".join(value.split())
            if 0 < len(words) <= LONGEST_VALUE:
                yield words


def _values(text: str) -> tuple[list[Any], str]:
    """Rows as JSON values, and why they are not all that was meant."""
    whole = _decode(_unfenced(text))
    if isinstance(whole, dict):
        rows = whole.get("rows")
        if isinstance(rows, list):
            return rows, "" if rows else "no content"
        # A single row that was not wrapped.
        return [whole], ""
    if isinstance(whole, list):
        return whole, "" if whole else "no content"
    if whole is not None:
        return [], "wrong schema"
    begun = _OPENING.search(text)
    if begun is None:
        return [], "not JSON"
    return _salvaged(text, begun.end())


def _salvaged(text: str, at: int) -> tuple[list[Any], str]:
    """Whole rows from `at` on, as far as they go; 'truncated' unless the list ends properly."""
    rows: list[Any] = []
    while True:
        while text[at : at + 1] and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] == "]":
            # Prose around a good object.
            return rows, ""
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return rows, "truncated"
        rows.append(value)


def _candidate(value: Any, form: Form) -> Candidate:
    try:
        record = record_of_answer(value, form)
    except ValueError as error:
        return Candidate(record=_piece(value), reason="schema", why=str(error))
    row = to_row(record, "generated", 0, 1)
    if row.shape != form.shape:
        return Candidate(record=record, reason="schema", why=row.problem or f"reads as {row.shape}")
    for field, _role, text in row.fields():
        if lone_surrogate(text) is not None or "\0" in text:
            why = f"{field} holds a lone surrogate or a NUL, which no tokenizer takes"
            return Candidate(record=record, reason="unwritable", why=why)
    for finding in (*empty(row), *role_order(row)):
        return Candidate(record=record, reason=finding.check, why=finding.sentence)
    return Candidate(record=record, row=row)


def _piece(value: Any) -> str:
    """The beginning of what is no row, as JSON text: it may be deep, endless, or no JSON at all."""
    try:
        return json.dumps(value)[:MOST_SHOWN]
    except (ValueError, RecursionError):
        return repr(type(value))


def _unfenced(text: str) -> str:
    text = text.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0] or text.partition("\n")[2]
    return text


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
