"""What a YAML parser's complaint means for who wrote the text: the line to look at and a sentence.

The parser speaks of tokens and of the place where it gave up; a person wants the line that is
wrong, which often stands above it. Pure.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_CANT_START = re.compile(r"found character '(.+)' that cannot start any token")
_DUPLICATE = re.compile(r'found duplicate key "(.*?)" with value', re.DOTALL)
_ALIAS = re.compile(r"found undefined alias '(.*)'", re.DOTALL)
_ESCAPE = re.compile(r"found unknown escape character '(.*)'", re.DOTALL)
_SHOWN = 40  # characters of a line that are repeated


@dataclass(frozen=True)
class Complaint:
    """What the parser said: its problem and where (lines from 1), and what it was doing since."""

    problem: str
    line: int
    column: int
    context: str = ""
    context_line: int = 0


def complaint_of(error: Any) -> Complaint:
    """What a marked error of PyYAML's or ruamel's pure parser says."""
    context, mark = error.context_mark, error.problem_mark or error.context_mark
    return Complaint(
        problem=str(error.problem or ""),
        line=mark.line + 1 if mark else 1,
        column=mark.column + 1 if mark else 1,
        context=str(error.context or ""),
        context_line=context.line + 1 if context else 0,
    )


def in_words(complaint: Complaint, text: str) -> tuple[int, str]:
    """(line, sentence) of a complaint about `text`; the parser's own words where none fit."""
    lines = text.split("\n")
    for judge in _JUDGES:
        if (said := judge(complaint, lines)) is not None:
            return said
    words = (complaint.problem or complaint.context or "can't be read").splitlines()[0]
    return complaint.line, words


def unmarked(error: Exception) -> str:
    """What an error without a place says."""
    words = (str(error).splitlines() or ["it can't be read"])[0]
    if "special characters are not allowed" in words:
        return "a control character, which YAML doesn't take"
    return words


Judged = tuple[int, str] | None


def _second_colon(at: Complaint, lines: Sequence[str]) -> Judged:
    if at.problem != "mapping values are not allowed here":
        return None
    here, above = _line(lines, at.line), _above(lines, at.line)
    if ": " in here[: at.column - 1]:
        return at.line, f"a second ': ' in one line: put the value in quotes ({_cut(here)})"
    if above and not _has_key(lines[above - 1]):
        return above, _no_colon(lines[above - 1])
    if above and _indent(here) > _indent(lines[above - 1]):
        return at.line, (
            f"indented deeper than line {above}, which has a value already: keys of one section "
            "start in one column"
        )
    if len(here) > 1000:
        return at.line, "a key can't be so long"
    return at.line, f"a ':' where no key can stand: {_cut(here)}"


def _missing_colon(at: Complaint, lines: Sequence[str]) -> Judged:
    if at.problem != "could not find expected ':'":
        return None
    line = at.context_line or at.line
    return line, _no_colon(_line(lines, line))


def _not_closed(at: Complaint, lines: Sequence[str]) -> Judged:
    if at.context == "while scanning a quoted scalar":
        line = at.context_line or at.line
        return line, "a quote is opened here and not closed"
    opened = {"while parsing a flow mapping": "{", "while parsing a flow sequence": "["}
    sign = opened.get(at.context)
    if sign is None or not at.problem.startswith("expected ','"):
        return None
    found = at.problem.rpartition("but got ")[2].strip("'")
    closing = "}" if sign == "{" else "]"
    if found in ("}", "]"):
        return at.line, f"a '{found}' where a '{closing}' is wanted: each '{sign}' has its own"
    line = at.context_line or at.line
    end = f"line {at.line}" if at.line > line else f"column {at.column}"
    return line, f"a '{sign}' is opened here and not closed, or a ',' is missing before {end}"


def _wrong_indent(at: Complaint, lines: Sequence[str]) -> Judged:
    if not at.problem.startswith("expected <block end>, but found"):
        return None
    found = at.problem.rpartition("but found ")[2].strip("'")
    here = _line(lines, at.line)
    if found in ("}", "]"):
        return at.line, f"a '{found}' too many"
    if found == "<scalar>":
        return at.line, f"something stands behind a value that has ended: {_cut(here)}"
    if found == "-" or here.lstrip().startswith("- "):
        return at.line, "a list item ('- ') where a key is wanted"
    if found == "?":
        return at.line, "a key where a list item ('- ') is wanted"
    return at.line, "indented unlike the keys above it: keys of one section start in one column"


def _cant_start(at: Complaint, lines: Sequence[str]) -> Judged:
    match = _CANT_START.fullmatch(at.problem)
    if match is None:
        return None
    if match[1] in ("\\t", "\t"):
        return at.line, "indented with a tab: YAML wants spaces"
    return at.line, f"a value can't start with {match[1]}: put it in quotes"


def _named(at: Complaint, lines: Sequence[str]) -> Judged:
    """Complaints that name what is wrong."""
    if match := _DUPLICATE.match(at.problem):
        return at.line, f"the key {match[1]!r} stands here a second time: keep one of them"
    if match := _ALIAS.fullmatch(at.problem):
        return at.line, f"*{match[1]} means an anchor &{match[1]}, and there is none: quote it"
    if match := _ESCAPE.fullmatch(at.problem):
        return at.line, f"\\{match[1]} is no escape in double quotes: use single quotes"
    if at.problem.startswith("expected alphabetic or numeric character"):
        sign = "*" if "alias" in at.context else "&"
        return at.line, f"a value can't start with {sign}: put it in quotes"
    if at.problem == "but found another document" or "'<document start>'" in at.problem:
        if _line(lines, at.line).lstrip().startswith("{"):
            return at.line, "a second {...} after the first: rows of a dataset?"
        above = _above(lines, at.line)
        if "another document" in at.problem or not above:
            return at.line, "a second document: take out the line of --- or ..."
        return at.line, f"this doesn't go on from line {above}, {_cut(lines[above - 1])}"
    if at.problem.startswith("expected the node content, but found"):
        sign = at.problem.rpartition("but found ")[2].strip("'")
        return at.line, f"a '{sign}' where a value is wanted"
    return None


_JUDGES: tuple[Callable[[Complaint, Sequence[str]], Judged], ...] = (
    _second_colon,
    _missing_colon,
    _not_closed,
    _wrong_indent,
    _cant_start,
    _named,
)


def _no_colon(line: str) -> str:
    words = _cut(line)
    if re.match(r"\s*[\w.-]+:\S", line):
        return f"write a space after the colon: {words}"
    return f"no ': ' after the key: {words}"


def _has_key(line: str) -> bool:
    return re.search(r":(\s|$)", line) is not None


def _line(lines: Sequence[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _above(lines: Sequence[str], number: int) -> int:
    """The number of the nearest line above with anything but a comment; 0 where there is none."""
    for at in range(min(number - 1, len(lines)), 0, -1):
        bare = lines[at - 1].strip()
        if bare and not bare.startswith("#"):
            return at
    return 0


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _cut(line: str) -> str:
    bare = line.strip()
    return repr(bare if len(bare) <= _SHOWN else bare[: _SHOWN - 1] + "…")
