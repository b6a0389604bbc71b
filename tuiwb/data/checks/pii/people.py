"""Names of persons where words introduce them; a name in running text needs a model.

What an introduction says for certain ("my name is") is a name if it is capitalised. Elsewhere the
first word must be a common given name, an initial, or follow a title.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from tuiwb.data.checks.pii.engine import keys
from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import table

_SUFFIX = re.compile(r",? (?:Jr|Sr|II|III|IV)\b\.?")
_CLEAN_END = re.compile(r"[ \t]*(?:$|[\n\r,;|.()<>\[\]/:!?\"*]|[-–—] )")
_FIELDS = range(1, 3)
_SIGNATURE = 3
# Introductions after which one word is enough: a relation, a greeting.
_RELATION, _GREETING = 5, 6


class _Tables(NamedTuple):
    """names.toml, ready for look-ups."""

    name: re.Pattern[str]
    links: frozenset[str]
    given: frozenset[str]
    not_names: frozenset[str]
    never: frozenset[str]


@cache
def introductions() -> tuple[tuple[str, bool], ...]:
    """What stands before a name, and whether what follows must be sure to be one."""
    names = table("names")
    return tuple(
        (pattern, strict)
        for group, strict in (("intro", False), ("strict", True))
        for pattern in names[group]
    )


@cache
def anchors() -> tuple[str, ...]:
    """One for each introduction."""
    return tuple(table("names")["anchors"])


@cache
def _tables() -> _Tables:
    names = table("names")
    word, link, title = names["word"], names["link"], names["title"]
    shape = (
        rf"(?P<title>{title})(?P<name>{word}(?:,(?=[ ][^\W\d_]))?"
        rf"(?:[ \t]+(?:{link}[ \t]+)*{word}){{0,3}})"
    )
    return _Tables(
        re.compile(shape),
        frozenset(link.strip("(?:)").split("|")),
        frozenset(names["given"].split()),
        frozenset(names["not_names"]),
        frozenset(names["never"]),
    )


def names(text: str, numbers: Sequence[int], _taken: Sequence[Span]) -> Iterator[Span]:
    """Names after the introductions of those numbers."""
    for number in numbers:
        yield from _names(text, number)


def _names(text: str, number: int) -> Iterator[Span]:
    introduction, strict = introductions()[number]
    for lead in keys(introduction).finditer(text):
        match = _tables().name.match(text, lead.end())
        if match is None:
            continue
        words, end = _words(match)
        if words and _is_name(text, match, words, end, strict, number):
            suffix = _SUFFIX.match(text, end)
            yield Span(match.start("name"), suffix.end() if suffix else end, "name")


def _words(match: re.Match[str]) -> tuple[list[str], int]:
    """The leading words that are capitalised, and where they end."""
    known = _tables()
    found: list[str] = []
    end, comma = match.start("name"), False
    for word in re.finditer(r"\S+", match["name"]):
        plain = word[0].rstrip(".,")
        if plain in known.links and found:
            continue
        bare = re.split("['’]s$", plain)[0]
        if comma and bare not in known.given:
            break
        comma = word[0].endswith(",")
        if not plain[:1].isupper() or bare in known.not_names or any(c.isdigit() for c in plain):
            break
        found.append(bare)
        initial = len(plain) == 1 and word[0].endswith(".")
        end = match.start("name") + word.start() + (2 if initial else len(bare))
        if bare != plain or (word[0].endswith(".") and len(plain) > 2):
            break
    return found, end


def _is_name(
    text: str, match: re.Match[str], words: list[str], end: int, strict: bool, number: int
) -> bool:
    known = _tables()
    if any(word.rstrip(".") in known.never for word in words):
        return False
    given = any(part.capitalize() in known.given for word in words for part in word.split("-"))
    sure = given or bool(match["title"]) or (len(words[0]) == 1 and len(words) > 1)
    clean = _CLEAN_END.match(text, end) is not None
    if strict:
        alone = number == _RELATION or (number == _GREETING and clean)
        return sure and (len(words) > 1 or bool(match["title"]) or alone)
    if number == _SIGNATURE:
        return clean and sure
    if number in _FIELDS:
        return sure or (clean and len(words) in (2, 3))
    return True
