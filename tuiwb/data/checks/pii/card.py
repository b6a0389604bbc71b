"""Payment cards: a network's range and length (ISO/IEC 7812-1), and the Luhn digit."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from tuiwb.data.checks.pii.context import context, words_before
from tuiwb.data.checks.pii.runs import parts
from tuiwb.data.checks.pii.span import Span, covered
from tuiwb.data.checks.pii.tables import table

_SEPARATOR = r"(?:[ ./_\u00a0\u202f\u2009\u2010\u2011–-]| [-–] )"
ANCHOR = r"(?:^|[^0-9])\d(?:(?:[ ./_-]|\xc2\xa0|\xe2\x80[\x80-\xaf]| (?:-|\xe2\x80\x93) )?\d){11}"
_RUN = re.compile(rf"[0-9](?:{_SEPARATOR}?[0-9]){{11,}}")
_GROUP = re.compile("[0-9]+")
_BARE = (15, 16)
# Digits of each group as cards are printed; any other grouping needs the word card before it.
_PRINTED = frozenset(
    ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 3), (4, 4, 4, 1), (6, 13),
     (4, 4, 4, 2), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 5), (4, 5, 6), (8, 8), (4, 4, 4))
)  # fmt: skip
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_MOST_GROUPS = 10


@cache
def _lengths() -> dict[str, frozenset[int]]:
    """How long a card may be, by its first four digits."""
    made: dict[str, frozenset[int]] = {}
    for entry in table("numbers")["card"]:
        first, last = entry["first"].ljust(4, "0"), entry["last"].ljust(4, "9")
        for prefix in range(int(first), int(last) + 1):
            made[str(prefix)] = made.get(str(prefix), frozenset()) | frozenset(entry["lengths"])
    return made


@cache
def _test_cards() -> frozenset[str]:
    return frozenset(table("numbers")["test_cards"])


def cards(text: str, _numbers: Sequence[int], taken: Sequence[Span]) -> Iterator[Span]:
    """Card numbers, bare or grouped."""
    for start, end in parts(_RUN, text):
        if covered(taken, start, end):
            continue
        lead, tail = text[max(0, start - 2) : start], text[end : end + 2]
        if (
            lead[-1:].isalpha()
            or lead[-1:] in ("_", "+")
            or (lead[:1].isdigit() and lead[-1:] in ".,")
        ):
            continue
        if tail[:1].isalpha() or tail[:1] == "_" or (tail[:1] == "," and tail[1:].isdigit()):
            continue
        groups = [group.span() for group in _GROUP.finditer(text, start, end)]
        first = 0
        while first < len(groups) and groups[first][0] + 12 <= end:
            last = _card_at(text, groups, first)
            if last is not None:
                yield Span(groups[first][0], groups[last][1], "card")
                first = last
            first += 1


def _card_at(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of the longest card that begins with group `first`."""
    sizes: list[int] = []
    digits, found = "", None
    for last in range(first, min(first + _MOST_GROUPS, len(groups))):
        start, end = groups[last]
        sizes.append(end - start)
        if len(digits) + sizes[-1] > 19:
            break
        digits += text[start:end]
        if len(digits) >= 12 and is_card(digits):
            whole = first == 0 and last == len(groups) - 1
            if _meant(text, groups[first][0], sizes, whole):
                found = last
    return found


def _meant(text: str, start: int, sizes: list[int], whole: bool) -> bool:
    """Printed grouping or a usual length stands for itself; else the text must speak of a card."""
    lead = words_before(text, start, 60)
    card, other = context("card").last(lead), context("other_number").last(lead[-4:])
    if card >= 0 and (whole or tuple(sizes) in _PRINTED):
        return True
    if len(sizes) == 1:
        return sizes[0] in _BARE and whole and other < 0
    return tuple(sizes) in _PRINTED and sum(sizes) >= 14 and whole


def is_card(digits: str) -> bool:
    """In a network's range, of its length, with a right Luhn digit, and no published test card."""
    if len(digits) not in _lengths().get(digits[:4], ()):
        return False
    if len(set(digits)) < 3 or digits in _test_cards():
        return False
    numbers = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_LUHN[n] for n in numbers[1::2])) % 10 == 0
