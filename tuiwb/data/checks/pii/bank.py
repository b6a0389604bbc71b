"""IBANs: ISO 13616 length and structure, check digits by ISO 7064 mod 97-10."""

import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import table

_SEPARATOR = r"(?:[ ._/\u00a0\u202f\u2009\u2011–-]{0,2})"
# Country, check digits and at least 5 more digits among the next 14 characters.
ANCHOR = (
    r"(?i)[A-Z][ .-]?[A-Z](?:[ ._/–-]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,2}\d[ ._-]?\d"
    r"(?:[ ._/–-]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,2}"
    r"(?:[A-Z0-9](?:[ ._/–-]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,2}){4,28}"
    r"\d(?:[A-Z]{0,2}(?:[ ._/–-]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,2}\d){2}"
)
_START = re.compile(rf"(?<![^\W_])[A-Za-z][ .-]?[A-Za-z]{_SEPARATOR}\d[ ._-]?\d")
_CHARACTERS = re.compile(rf"[A-Za-z0-9](?:{_SEPARATOR}[A-Za-z0-9]){{10,33}}")
_KIND = {"n": r"\d", "a": "[A-Z]", "c": "[A-Z0-9]"}


@cache
def _structures() -> dict[str, tuple[int, re.Pattern[str]]]:
    """Length and shape of the whole IBAN per country."""
    made = {}
    for country, bban in table("numbers")["iban"].items():
        parts = re.findall(r"(\d+)([nac])", bban)
        shape = "".join(f"{_KIND[kind]}{{{size}}}" for size, kind in parts)
        length = 4 + sum(int(size) for size, _ in parts)
        made[country] = (length, re.compile(rf"[A-Z]{{2}}\d\d{shape}"))
    return made


def ibans(text: str) -> Iterator[Span]:
    """Valid IBANs in any grouping, upper or lower case."""
    end = 0
    for match in _START.finditer(text):
        if match.start() >= end and (stop := _end(text, match.start())) is not None:
            end = stop
            yield Span(match.start(), end, "iban")


def _end(text: str, start: int) -> int | None:
    """Where the IBAN that begins at `start` ends."""
    letters = text[start : start + 4]
    country = "".join(c for c in letters if c.isalpha())[:2].upper()
    known = _structures().get(country)
    if known is None:
        return None
    length, shape = known
    run = _CHARACTERS.match(text, start)
    if run is None:
        return None
    places = [i for i, character in enumerate(run[0]) if character.isalnum()]
    if len(places) < length:
        return None
    end = start + places[length - 1] + 1
    if text[end : end + 1].isalnum():
        return None
    plain = "".join(run[0][i] for i in places[:length]).upper()
    if shape.fullmatch(plain) is None:
        return None
    moved = plain[4:] + plain[:4]
    return end if int("".join(str(int(c, 36)) for c in moved)) % 97 == 1 else None
