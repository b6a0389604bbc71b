"""Runs of digits with what may separate them, found once for the classes that look into them."""

import re
from collections.abc import Iterator
from functools import lru_cache

# Every separator of cards and of phones; a class's own runs lie within these.
_RUN = re.compile("[0-9](?:[ ()./_\u00a0\u2009\u202f\u2010\u2011–-]{0,3}[0-9]){6,}")


@lru_cache(maxsize=256)
def _runs(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(match.span() for match in _RUN.finditer(text))


def parts(shape: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each match of a class's shape, which begins and ends with a digit."""
    for start, end in _runs(text):
        for match in shape.finditer(text, start, end):
            yield match.span()
