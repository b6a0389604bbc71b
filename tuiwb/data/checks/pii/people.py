"""Names of persons where words introduce them; without a model, names in running text are missed."""

import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import table


@cache
def introductions() -> tuple[tuple[re.Pattern[str], bool], ...]:
    """What stands before a name, and whether it needs a first and a last name."""
    names = table("names")
    return tuple(
        (re.compile(pattern), strict)
        for group, strict in (("intro", False), ("strict", True))
        for pattern in names[group]
    )


@cache
def anchors() -> tuple[str, ...]:
    """One for each introduction."""
    return tuple(table("names")["anchors"])


@cache
def _name() -> re.Pattern[str]:
    names = table("names")
    word, link, title = names["word"], names["link"], names["title"]
    return re.compile(rf"(?:{title})(?P<name>{word}(?:[ \t]+(?:{link}[ \t]+)*{word}){{0,3}})")


@cache
def _not_names() -> frozenset[str]:
    return frozenset(table("names")["not_names"])


def names(text: str, number: int) -> Iterator[Span]:
    """Names after introduction `number`."""
    introduction, strict = introductions()[number]
    for lead in introduction.finditer(text):
        match = _name().match(text, lead.end())
        if match is not None and (end := _end(match, strict)) is not None:
            yield Span(match.start("name"), end, "name")


def _end(match: re.Match[str], strict: bool) -> int | None:
    """Where the words cease to look like a name."""
    links = table("names")["link"].strip("(?:)").split("|")
    end, words = match.start("name"), 0
    for word in re.finditer(r"\S+", match["name"]):
        plain = word[0].rstrip(".")
        if plain in links and words:
            continue
        bare = re.split("['’]s$", plain)[0]
        if not plain[:1].isupper() or bare in _not_names() or any(c.isdigit() for c in plain):
            break
        if len(plain) > 4 and plain.isupper() and strict:
            break
        words += 1
        keep = len(bare) if len(plain) > 1 else len(word[0])
        end = match.start("name") + word.start() + keep
        if word[0].endswith(".") and len(plain) > 2:
            break
        if bare != plain:
            break
    return end if words >= (2 if strict else 1) else None
