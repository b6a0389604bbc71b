"""Postal addresses: street lines of some thirty countries, boxes, and what goes on to the postcode.

A street line is found by its country's pattern. From there the walk takes in the parts that follow,
up to the one with the postcode, and a flat or a house's name that stands before. A street line
alone counts where words such as "deliver" lead up to it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from tuiwb.data.checks.pii.context import context, words_before
from tuiwb.data.checks.pii.engine import keys
from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import filled, table

_MOST_PARTS, _MOST_LEADS, _MOST_REGIONS = 7, 3, 2
_LEAD = 60
_NEAR = 50
_AHEAD = 100


_COMMA = re.compile(r",[ ]?\n?|\n")
_CLOSED = re.compile(r"\s*(?:$|[.,;:!?)\n]|(?:and|but|or|for|by|if|when|so|is|was)\b)")
# What follows a street line that is all of an address.
_ENDED = re.compile(
    r"[ \t]*(?:$|[.;!?)\"]|\n[ \t]*\n|,[ ](?=[a-z])|"
    r"(?:and|but|or|for|by|if|when|so|is|was|on|before|after|please|since|with|instead|at|today|now)\b)"
)


class Place(NamedTuple):
    """A country's (or a language's) way to write a street line."""

    name: str
    key: str
    anchor: str
    back: int
    pattern: re.Pattern[str]
    sure: bool


class _Walk(NamedTuple):
    """How an address goes on."""

    gap: re.Pattern[str]
    postcode: re.Pattern[str]
    middle: re.Pattern[str]
    town: re.Pattern[str]
    country: re.Pattern[str]
    unit: re.Pattern[str]
    region: re.Pattern[str]
    lead: re.Pattern[str]


class _Part(NamedTuple):
    """A part of an address: "unit", "code" with all behind it, "country", "middle" or none."""

    kind: str
    end: int
    middle: int = -1


# The parts that were looked at, by where they begin.
Parts = dict[int, _Part]


@cache
def places() -> tuple[Place, ...]:
    """places.toml."""
    parts = table("places")["part"]
    return tuple(
        Place(
            name,
            filled(entry["key"], parts),
            filled(entry["key"] + entry.get("then", ""), parts),
            entry["back"],
            re.compile(filled(entry["pattern"], parts)),
            entry.get("sure", False),
        )
        for name, entry in table("places")["place"].items()
    )


@cache
def _walk() -> _Walk:
    tables = table("places")
    return _Walk(**{
        name: re.compile(filled(pattern, tables["part"]))
        for name, pattern in tables["walk"].items()
    })  # fmt: skip


def anchors() -> tuple[str, ...]:
    """One for each way to write a street line."""
    return tuple(place.anchor for place in places())


def addresses(text: str, numbers: Sequence[int], _taken: Sequence[Span]) -> list[Span]:
    """Addresses with street lines of those numbers; of two that overlap the longer comes first."""
    parts: Parts = {}
    found = [span for number in numbers for span in _addresses(text, places()[number], parts)]
    return sorted(found, key=lambda span: span.start - span.end)


def _addresses(text: str, place: Place, parts: Parts) -> Iterator[Span]:
    done = 0
    for begin, end in _windows(text, place):
        for match in place.pattern.finditer(text, begin, end):
            if match.start() < done:
                continue
            street = match.start() + len(match[0].rstrip(" ,.\n"))
            start, done = _start(text, match.start()), _end(text, street, parts)
            done -= len(text[start:done]) - len(text[start:done].rstrip(" .,\n"))
            sure = done > street or start < match.start() or place.sure
            if sure or _is_all(text, start, done):
                yield Span(start, done, "address")


def _is_all(text: str, start: int, end: int) -> bool:
    """Whether words lead up to a street line alone, and it does not go on in a way unknown."""
    if _ENDED.match(text, end) is None:
        return False
    return context("address").last(words_before(text, start, _NEAR)) >= 0


def _windows(text: str, place: Place) -> Iterator[tuple[int, int]]:
    """The stretches around the keys, overlapping ones made into one."""
    begin, end = 0, -1
    for key in keys(place.key).finditer(text):
        first = max(0, key.start() - place.back)
        if first > end and end >= 0:
            yield begin, end
        if first > end:
            begin = first
        end = min(len(text), key.end() + _AHEAD)
    if end >= 0:
        yield begin, end


def _start(text: str, start: int) -> int:
    """Where the flats and a house's name before the street line begin."""
    for _ in range(_MOST_LEADS):
        if not text[max(0, start - 2) : start].endswith((",", ", ", "\n")):
            break
        lead = _walk().lead.search(text, max(0, start - _LEAD), start)
        if lead is None:
            break
        start = lead.start()
    return start


def _part(text: str, at: int, parts: Parts) -> _Part:
    """What stands there; each place of a text is looked at once, however many walks cross it."""
    if at not in parts:
        walk = _walk()
        if match := walk.unit.match(text, at):
            parts[at] = _Part("unit", match.end())
        elif match := walk.postcode.match(text, at):
            parts[at] = _Part("code", _after_code(text, match))
        elif match := walk.country.match(text, at):
            middle = walk.middle.match(text, at)
            parts[at] = _Part("country", match.end(), middle.end() if middle else -1)
        elif match := walk.middle.match(text, at):
            parts[at] = _Part("middle", match.end(), match.end())
        else:
            parts[at] = _Part("", -1)
    return parts[at]


def _end(text: str, street: int, parts: Parts) -> int:
    """Where the address ends whose street line ends at `street`."""
    here, best = street, street
    for _ in range(_MOST_PARTS):
        gap = _walk().gap.match(text, here)
        if gap is None:
            break
        part = _part(text, gap.end(), parts)
        apart = "," in gap[0] or "\n" in gap[0]
        if part.kind == "code" or (part.kind == "country" and apart):
            return part.end
        if part.kind == "unit":
            best = max(best, part.end) if best == here else best
            here = part.end
            continue
        if part.middle < 0:
            break
        here = part.middle
    return _town(text, best)


def _after_code(text: str, code: re.Match[str]) -> int:
    """What follows a postcode: a town after a bare one, a region, a country."""
    walk, end = _walk(), code.end()
    if code["bare"] and text[end : end + 1] == " ":
        town = walk.town.match(text, end + 1)
        if town and _CLOSED.match(text, town.end()):
            end = town.end() - town[0].endswith(".")
    for _ in range(_MOST_REGIONS):
        gap = walk.gap.match(text, end)
        region = walk.region.match(text, gap.end()) if gap else None
        if region is None:
            break
        end = region.end()
    return end


def _town(text: str, end: int) -> int:
    """Where a town and a country that follow without a postcode end."""
    walk = _walk()
    gap = _COMMA.match(text, end)
    town = walk.town.match(text, gap.end()) if gap else None
    if town is None or not _CLOSED.match(text, town.end()):
        return end
    gap = _COMMA.match(text, town.end())
    region = walk.region.match(text, gap.end()) if gap else None
    return region.end() if region else town.end() - town[0].endswith(".")
