"""IBANs: ISO 13616 length and structure, check digits by ISO 7064 mod 97-10."""

import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import table

_SIGN = "[ ._/\u00a0\u202f\u2009\u2011–-]"
_SEPARATOR = f"(?:{_SIGN}{{0,2}})"
_GAP = r"(?:[ ._/-]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,2}"
_CHARACTERS = re.compile(rf"[A-Za-z0-9](?:{_SEPARATOR}[A-Za-z0-9]){{10,33}}")
# A digit with a letter up to two separators before it; then what stands before that digit.
_DIGIT = re.compile(
    rf"[0-9](?={_SEPARATOR}[0-9])(?:(?<=[A-Za-z][0-9])|(?<=[A-Za-z]{_SIGN}[0-9])|(?<=[A-Za-z]{_SIGN}{_SIGN}[0-9]))"
)
_COUNTRY = re.compile(rf"(?<![0-9A-Za-z])([A-Za-z])[ .-]?([A-Za-z]){_SEPARATOR}\Z")
_BACK = 6
_KIND = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}


@cache
def _structures() -> dict[str, tuple[int, re.Pattern[str]]]:
    """Length and shape of the whole IBAN per country."""
    made = {}
    for country, bban in table("numbers")["iban"].items():
        shape = "".join(f"{kind}" for kind in _kinds(bban))
        made[country] = (4 + len(_kinds(bban)), re.compile(rf"[A-Z]{{2}}[0-9]{{2}}{shape}"))
    return made


def _kinds(bban: str) -> list[str]:
    """What may stand at each place of a country's own part."""
    return [_KIND[k] for n, k in re.findall(r"([0-9]+)([nac])", bban) for _ in range(int(n))]


@cache
def anchor() -> str:
    """Country, check digits and three places more, as the engine takes it."""
    seconds: dict[str, str] = {}
    for country in table("numbers")["iban"]:
        seconds[country[0]] = seconds.get(country[0], "") + country[1]
    countries = "|".join(f"{first}[ .-]?[{rest}]" for first, rest in seconds.items())
    places = _GAP.join(["[0-9]"] * 2 + ["[0-9A-Z]"] * 3)
    return f"(?i)(?:^|[^0-9A-Z])(?:{countries}){_GAP}{places}"


def ibans(text: str) -> Iterator[Span]:
    """Valid IBANs in any grouping, upper or lower case."""
    end = 0
    for digit in _DIGIT.finditer(text):
        here = digit.start()
        begun = _COUNTRY.search(text, max(0, here - _BACK), here)
        if begun is None:
            continue
        start = begun.start()
        known = _structures().get((begun[1] + begun[2]).upper())
        if start < end or known is None:
            continue
        if (stop := _end(text, start, *known)) is not None:
            end = stop
            yield Span(start, end, "iban")


def _end(text: str, start: int, length: int, shape: re.Pattern[str]) -> int | None:
    """Where the IBAN of that length and shape which begins at `start` ends."""
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
