"""Payment cards: a network's range and length (ISO/IEC 7812-1), and the Luhn digit."""

import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import before, context, table

_SEPARATOR = r"[ ./_\u00a0\u202f\u2009\u2010\u2011–-]"
ANCHOR = r"\d(?:(?:[ ./_-]|\xc2\xa0|\xe2\x80[\x80-\xaf])?\d){11}"
_RUN = re.compile(rf"(?<![\w.,+])\d(?:(?:{_SEPARATOR}| [-–] )?\d){{11,}}(?!\w|,\d)")
_GROUP = re.compile(r"\d+")
_BARE = (15, 16)
# Digits of each group as cards are printed; any other grouping needs the word card before it.
_PRINTED = frozenset(
    ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 3), (4, 4, 4, 1), (6, 13))
)
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


@cache
def _ranges() -> list[tuple[str, str, frozenset[int]]]:
    return [(r["first"], r["last"], frozenset(r["lengths"])) for r in table("numbers")["card"]]


@cache
def _test_cards() -> frozenset[str]:
    return frozenset(table("numbers")["test_cards"])


def cards(text: str) -> Iterator[Span]:
    """Card numbers, bare or grouped."""
    for run in _RUN.finditer(text):
        groups = [(m.start(), m.end()) for m in _GROUP.finditer(text, run.start(), run.end())]
        first = 0
        while first < len(groups):
            last = _card_at(text, groups, first)
            if last is not None:
                yield Span(groups[first][0], groups[last][1], "card")
                first = last
            first += 1


def _card_at(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of the card that begins with group `first`."""
    sizes: list[int] = []
    for last in range(first, min(first + 10, len(groups))):
        start, end = groups[last]
        sizes.append(end - start)
        total = sum(sizes)
        if total > 19 or (len(sizes) > 1 and min(sizes) < 2 and tuple(sizes) not in _PRINTED):
            return None
        if total >= 12:
            begin = groups[first][0]
            digits = "".join(text[a:b] for a, b in groups[first : last + 1])
            whole = first == 0 and last == len(groups) - 1
            if is_card(digits) and _meant(text, begin, sizes, whole):
                return last
    return None


def _meant(text: str, start: int, sizes: list[int], whole: bool) -> bool:
    """Printed grouping or a usual length stands for itself; else the text must speak of a card."""
    lead = before(text, start, 60)
    said = context("card").search(lead) is not None
    if len(sizes) == 1:
        usual = sizes[0] in _BARE and whole
        return said or (usual and not context("other_number").search(lead))
    if tuple(sizes) in _PRINTED:
        return whole or said
    return said and whole


def is_card(digits: str) -> bool:
    """In a network's range, of its length, with a right Luhn digit, and no published test card."""
    size = len(digits)
    for first, last, lengths in _ranges():
        if size in lengths and first <= digits[: len(first)] <= last:
            break
    else:
        return False
    if len(set(digits)) < 3 or digits in _test_cards():
        return False
    numbers = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_LUHN[n] for n in numbers[1::2])) % 10 == 0
