"""In which form an answer is written: JSON, fenced JSON, XML, YAML, CSV, a table, a list, prose."""

import json
import re
from typing import Any, NamedTuple

import msgspec

OBJECT = "a JSON object"
ARRAY = "a JSON array"
FENCED = "JSON in a code fence"
FOLLOWED = "JSON with words after it"
WITHIN = "words with JSON in them"
BROKEN = "broken JSON"
XML = "XML"
YAML = "YAML"
CSV = "CSV"
TABLE = "a Markdown table"
BULLETS = "a bullet list"
NUMBERS = "a numbered list"
CODE = "a code block"
PROSE = "prose"
FORMS = (OBJECT, ARRAY, FENCED, FOLLOWED, WITHIN, BROKEN, XML, YAML, CSV, TABLE, BULLETS, NUMBERS,
         CODE, PROSE)  # fmt: skip
NUMBER_OF = {name: number for number, name in enumerate(FORMS)}

# Possessive where a run could be split in many ways: no text takes more than linear time.
_OPENING = re.compile(r"```[ \t]*+\w*+[ \t]*+\n")
_ELEMENT = re.compile(r"<([A-Za-z_][\w:.-]*)(?:\s[^<>]*)?>.*</\1>\s*\Z", re.DOTALL)
_KEY = re.compile(r"[\w\"'][\w \"'./-]{0,40}:(?:[ \t]|$)", re.MULTILINE)
_YAML_LINE = re.compile(r"\s*(?:-\s+.*|[\w\"'][\w \"'./-]{0,40}:(?:\s.*)?|#.*|---)?\Z")
_BULLET = re.compile(r"\s*[-*•+]\s+\S")
_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s*\S")
_RULE = re.compile(r"\s*+\|?+\s*+:?+-{2,}+:?+\s*+(?:\|\s*+:?+-{2,}+:?+\s*+)*+\|?+\s*+\Z")
WIDEST = 2000
# Longer texts are not parsed for forms that no answer of that size is wanted in.
LONGEST = 1_000_000


class Form(NamedTuple):
    """The form, the decoded value where there is JSON, and what is wrong with it where it is."""

    name: str
    value: Any = None
    problem: str = ""


_PROSE = Form(PROSE)


def form_of(text: str) -> Form:
    """The form of an answer, judged by the whole of it."""
    plain = text.strip()
    first = plain[:1]
    if first in "{[" and first:
        return _json(plain)
    if first == "`" and (inner := _fenced(plain)) is not None:
        if inner[:1] in ("{", "["):
            value, problem = decoded(inner)
            return (
                Form(FENCED, value, "it stands in a code fence")
                if not problem
                else Form(BROKEN, None, problem)
            )
        return Form(CODE)
    if first == "<" and len(plain) <= LONGEST:
        if plain.startswith("<?xml") or _ELEMENT.match(plain):
            return Form(XML)
        return _PROSE
    if "\n" in plain and len(plain) <= LONGEST and (name := _of_lines(plain)) is not None:
        return Form(name)
    return _within(plain)


def _fenced(plain: str) -> str | None:
    """What stands between the fences of a text that is one code block; None for any other."""
    opening = _OPENING.match(plain)
    if opening is None or not plain.endswith("```") or len(plain) < opening.end() + 3:
        return None
    return plain[opening.end() : -3].strip()


def _json(plain: str) -> Form:
    value, problem = decoded(plain)
    if not problem:
        return Form(OBJECT if isinstance(value, dict) else ARRAY, value)
    try:
        value, end = json.JSONDecoder().raw_decode(plain)
    except (ValueError, RecursionError):
        return Form(BROKEN, None, problem)
    if not value or not isinstance(value, (dict, list)):
        return _PROSE
    return Form(FOLLOWED, value, f"words follow it at character {end}")


def _within(plain: str) -> Form:
    """Prose, unless an object with keys ends it or stands fenced in it."""
    if plain[-1:] == "}" or "```json" in plain:
        start = plain.find('{"') if '{"' in plain else plain.find("{\n")
        if start > 0:
            try:
                value, _ = json.JSONDecoder().raw_decode(plain, start)
            except (ValueError, RecursionError):
                return _PROSE
            if isinstance(value, dict) and value:
                return Form(WITHIN, value, "words stand before it")
    return _PROSE


def _of_lines(plain: str) -> str | None:
    """The form that every line keeps; None for prose. The first line decides what to look for."""
    size = plain.index("\n")
    first = plain[:size]
    begins = first[0]
    if begins in "-*•+" and _BULLET.match(first):
        return BULLETS if _all(plain, _BULLET) else None
    if begins.isdigit() and _NUMBER.match(first):
        return NUMBERS if _all(plain, _NUMBER) else None
    end = plain.find("\n", size + 1)
    second = plain[size + 1 : end if end > 0 else None]
    if "|" in first:
        return TABLE if len(second) <= WIDEST and _RULE.match(second) else None
    if first == "---" or (":" in first and _KEY.match(first)):
        lines = plain.split("\n")
        keys = sum(_KEY.match(line.lstrip()) is not None for line in lines)
        return YAML if keys * 2 >= len(lines) and all(map(_YAML_LINE.match, lines)) else None
    for separator in ",;\t":
        cells = first.count(separator)
        if cells and cells == second.count(separator) and second[-1:] not in ".!?":
            lines = plain.split("\n")
            return CSV if all(line.count(separator) == cells for line in lines) else None
    return None


def _all(plain: str, pattern: re.Pattern[str]) -> bool:
    """Whether every line begins an item or goes on with one (it is indented or blank)."""
    return all(
        pattern.match(line) or not line.strip() or line[:1].isspace() for line in plain.split("\n")
    )


def decoded(text: str) -> tuple[Any, str]:
    """(value, ''), or (None, what is wrong) as Python's own JSON reader says it."""
    try:
        return msgspec.json.decode(text), ""
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        return None, str(error)
