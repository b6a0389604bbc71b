"""What is found: a stretch of text and its kind."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

# Each kind as a sentence names it.
KINDS = {
    "email": "an e-mail address",
    "phone": "a phone number",
    "card": "a payment card's number",
    "iban": "an IBAN",
    "ip": "an IP address",
    "secret": "a secret",
    "name": "a person's name",
    "address": "a postal address",
    "national_id": "a national id",
}


class Span(NamedTuple):
    """`start` and `end` count characters of the text; `note` says whose key or number it is."""

    start: int
    end: int
    kind: str
    note: str = ""


def covered(taken: Sequence[Span], start: int, end: int) -> bool:
    """Whether one of the sorted spans holds all from `start` to `end`."""
    place = bisect_right(taken, start, key=_start)
    return place > 0 and taken[place - 1].end >= end


def _start(span: Span) -> int:
    return span.start
