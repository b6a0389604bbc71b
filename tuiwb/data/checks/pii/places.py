"""Postal addresses: street lines of some twenty countries, post office boxes, and the town."""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import filled, table


class Place(NamedTuple):
    """A country's (or a language's) way to write an address."""

    name: str
    anchor: str
    pattern: re.Pattern[str]


@cache
def places() -> tuple[Place, ...]:
    """places.toml."""
    parts = table("places")["part"]
    return tuple(
        Place(name, entry["anchor"], re.compile(filled(entry["pattern"], parts)))
        for name, entry in table("places")["place"].items()
    )


def addresses(text: str, place: Place) -> Iterator[Span]:
    """Addresses written that way."""
    for match in place.pattern.finditer(text):
        end = match.start() + len(match[0].rstrip(" ,.\n"))
        yield Span(match.start(), end, "address")
