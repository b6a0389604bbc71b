"""National ids: a shape, its check digits, and where those are weak the words that name it."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import NamedTuple

from tuiwb.data.checks.pii.context import Phrases, context, words_after, words_anchor, words_before
from tuiwb.data.checks.pii.engine import Scan, lazy_scanner
from tuiwb.data.checks.pii.span import Span, covered
from tuiwb.data.checks.pii.tables import table

# Five digits at least, letters and single separators among them; four in an Indian PAN.
_CORE = re.compile(
    r"[0-9](?:[A-Za-z]{0,6}(?:[ ./-]?[A-Za-z]{0,6}[0-9]){4,}|"
    r"[0-9]{3}(?<=[A-Z]{5}[0-9]{4})(?=[A-Z]))"
)
_AROUND = 12
_NEAR, _AFTER = 90, 45
_LOOK_AROUND = re.compile(r"\(\?[!=][^()]*\)")


class IdShape(NamedTuple):
    """One country's id. `alone`: 'any', or characters of which one shows that it is an id."""

    name: str
    shape: re.Pattern[str]
    valid: Callable[[str], bool]
    alone: str
    checked: bool


@cache
def _shapes() -> tuple[IdShape, ...]:
    """ids.toml."""
    return tuple(
        IdShape(
            entry["name"],
            re.compile(rf"(?<!\w)(?<!\w[.,-])(?:{entry['shape']})(?!\w|[-./][^\W_]|,\d)"),
            _rule(entry["rule"]),
            entry.get("alone", ""),
            entry["rule"] not in ("", "digits"),
        )
        for entry in table("ids")["id"]
    )


@cache
def _words() -> Phrases[int]:
    """Words that name an id by its number in the table, -1 for words that name any."""
    entries = table("ids")["id"]
    own = [(phrase, n) for n, entry in enumerate(entries) for phrase in entry["words"]]
    return Phrases([*own, *((phrase, -1) for phrase in table("ids")["words"])])


@cache
def _shape_anchors() -> tuple[str, ...]:
    """Each shape, touched by no letter or digit, as the engine takes it."""
    shapes = [e.get("anchor") or _LOOK_AROUND.sub("", e["shape"]) for e in table("ids")["id"]]
    return tuple(rf"(?:^|\W)(?:{shape})(?:\W|$)" for shape in shapes)


@cache
def _shape_scan() -> Scan:
    """Which shapes stand in a stretch of text."""
    return lazy_scanner(_shape_anchors())


@cache
def _lone() -> tuple[int, ...]:
    """The shapes that need no words."""
    return tuple(n for n, shape in enumerate(_shapes()) if shape.alone)


def anchors() -> tuple[str, ...]:
    """One for each shape that needs no words, one for words that name ids."""
    tables = table("ids")
    words = [*tables["words"], *(phrase for entry in tables["id"] for phrase in entry["words"])]
    return (*(_shape_anchors()[n] for n in _lone()), words_anchor(words))


def ids(text: str, numbers: Sequence[int], taken: Sequence[Span]) -> Iterator[Span]:
    """National ids; where two shapes fit, the one that the words name, else the earlier.

    `numbers` says which of the anchors are in the text.
    """
    named = numbers[-1] == len(_lone())
    lone = [_lone()[n] for n in numbers if n < len(_lone())]
    for core in _CORE.finditer(text):
        start, end = core.span()
        if covered(taken, start, end) or text[start - 1 : start] == "+":
            continue
        begin, end = max(0, start - _AROUND), min(len(text), end + _AROUND)
        fired = _shape_scan()((text[begin:end].encode(),))[0]
        if not named:
            fired = [number for number in fired if number in lone]
        if not fired:
            continue
        said = _said(text, start, core.end()) if named else set()
        fired.sort(key=lambda n: n not in said)
        for number in fired:
            shape = _shapes()[number]
            called = number in said or (shape.checked and -1 in said)
            if not called and not shape.alone:
                continue
            for match in shape.shape.finditer(text, begin, end):
                value = match[0]
                if not (called or _alone(shape.alone, value)) or len(set(value)) < 4:
                    continue
                if shape.valid(value) and (called or not _other(text, start)):
                    yield Span(match.start(), match.end(), "national_id", shape.name)


def _said(text: str, start: int, end: int) -> set[int]:
    """The ids that words before or after name, -1 where words before name any."""
    said = {n for _, n in _words().found(words_before(text, start, _NEAR))}
    return said | {n for _, n in _words().found(words_after(text, end, _AFTER)) if n >= 0}


def _other(text: str, start: int) -> bool:
    """Whether the text calls it an order's number, a part's."""
    return context("other_number").last(words_before(text, start, _NEAR)[-4:]) >= 0


def _alone(alone: str, value: str) -> bool:
    if alone == "any":
        return value.upper() == value
    return any(character in value for character in alone)


@cache
def _rule(name: str) -> Callable[[str], bool]:
    """The check of `name`: one of this module's, a module of python-stdnum, or none."""
    if name in ("", "digits"):
        return lambda value: any(c.isdigit() for c in value)
    own: dict[str, Callable[[str], bool]] = {
        "us.ssn": _us_ssn,
        "us.itin": _us_itin,
        "sg.nric": _sg_nric,
        "hk.id": _hk_id,
        "tw.id": _tw_id,
        "au.medicare": _au_medicare,
        "ru.snils": _ru_snils,
        "hu.tax": _hu_tax,
        "lv.pvn": _lv_code,
        "jmbg": _jmbg,
        "de.rv": _de_rv,
        "de.card": _de_card,
        "gb.driver": lambda value: len(value) == 16,
        "fr.nir": _fr_nir,
        "ee.ik": _baltic,
        "lt.asmens": _baltic,
    }
    if name in own:
        return own[name]
    checks: list[Callable[[str], bool]] = []

    def valid(value: str) -> bool:
        if not checks:
            checks.append(import_module(f"stdnum.{name}").is_valid)
        return checks[0](value)

    return valid


def _digits(value: str) -> list[int]:
    return [int(c) for c in value if c.isdigit()]


def _us_ssn(value: str) -> bool:
    """SSA's ranges since 2011, without the numbers that were printed in advertisements."""
    plain = re.sub(r"\D", "", value)
    area, group, serial = plain[:3], plain[3:5], plain[5:]
    if plain in ("078051120", "219099999", "123456789", "457555462"):
        return False
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _us_itin(value: str) -> bool:
    """IRS: begins with 9, fourth and fifth digits in 50-65, 70-88, 90-92, 94-99."""
    group = int(re.sub(r"\D", "", value)[3:5])
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99


def _sg_nric(value: str) -> bool:
    """ICA: weights 2 7 6 5 4 3 2, an offset by series, one of the three letter tables."""
    value = value.upper()
    total = sum(d * w for d, w in zip(_digits(value), (2, 7, 6, 5, 4, 3, 2), strict=True))
    series = value[0]
    if series == "M":
        return value[-1] == "KLJNPQRTUWX"[10 - (total + 3) % 11]
    letters = "JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK"
    return value[-1] == letters[(total + (4 if series in "TG" else 0)) % 11]


def _hk_id(value: str) -> bool:
    """Immigration Department: letters count from A = 10, a lone letter stands after 36."""
    plain = value.replace("(", "").replace(")", "")
    codes = [36] * (9 - len(plain)) + [int(c, 36) for c in plain[:-1]]
    check = 10 if plain[-1] == "A" else int(plain[-1], 36)
    total = sum(code * weight for code, weight in zip(codes, range(9, 1, -1), strict=True))
    return (total + check) % 11 == 0


def _tw_id(value: str) -> bool:
    """Household registration: the letter is a number of two digits, weights 1 9 8 ... 1 1."""
    place = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(value[0]) + 10
    numbers = [place // 10, place % 10, *_digits(value)]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(n * w for n, w in zip(numbers, weights, strict=True)) % 10 == 0


def _au_medicare(value: str) -> bool:
    """Services Australia: weights 1 3 7 9 1 3 7 9 give the ninth digit."""
    numbers = _digits(value)
    weights = (1, 3, 7, 9, 1, 3, 7, 9)
    return sum(n * w for n, w in zip(numbers, weights, strict=False)) % 10 == numbers[8]


def _ru_snils(value: str) -> bool:
    """Pension fund: weights 9 ... 1, modulo 101, 100 counts as 0."""
    numbers = _digits(value)
    total = sum(n * w for n, w in zip(numbers, range(9, 0, -1), strict=False))
    return total % 101 % 100 == numbers[9] * 10 + numbers[10]


def _hu_tax(value: str) -> bool:
    """Act CL of 2017: weights 1 ... 9, modulo 11."""
    numbers = _digits(value)
    return sum(n * w for n, w in zip(numbers, range(1, 10), strict=False)) % 11 == numbers[9]


def _lv_code(value: str) -> bool:
    """PMLP: weights 1 6 3 7 9 10 5 8 4 2 of (1101 - sum) modulo 11, modulo 10; 32 has no check."""
    numbers = _digits(value)
    if value.startswith("32"):
        return True
    weights = (1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = 1101 - sum(n * w for n, w in zip(numbers, weights, strict=False))
    return total % 11 % 10 == numbers[10]


def _jmbg(value: str) -> bool:
    """Yugoslav law of 1976: weights 7 6 5 4 3 2 7 6 5 4 3 2, modulo 11."""
    numbers = _digits(value)
    weights = (7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    rest = sum(n * w for n, w in zip(numbers, weights, strict=False)) % 11
    return (11 - rest) % 11 == numbers[12] and rest != 1


def _de_rv(value: str) -> bool:
    """VKVV section 4: the letter as two digits, weights 2 1 2 5 7 1 2 1 2 1 2 1, digit sums."""
    plain = value.replace(" ", "")
    numbers = _digits(plain[:8] + f"{ord(plain[8]) - 64:02d}" + plain[9:11])
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    total = sum(sum(divmod(n * w, 10)) for n, w in zip(numbers, weights, strict=True))
    return total % 10 == int(plain[11])


def _de_card(value: str) -> bool:
    """ICAO 9303: letters count from A = 10, weights 7 3 1; without a check digit, some digits."""
    if len(value) < 10:
        return sum(c.isdigit() for c in value) >= 3
    total = sum(int(c, 36) * (7, 3, 1)[i % 3] for i, c in enumerate(value[:9]))
    return total % 10 == int(value[9])


def _fr_nir(value: str) -> bool:
    """INSEE: 97 minus the first thirteen modulo 97; Corsica's 2A and 2B count as 19 and 18."""
    plain = re.sub(r"[ .-]", "", value).upper()
    body = plain[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(plain[13:])


def _baltic(value: str) -> bool:
    """Estonia and Lithuania: weights 1 ... 9 1, modulo 11; if 10, weights 3 ... 9 1 2 3."""
    numbers = _digits(value)
    for weights in ((1, 2, 3, 4, 5, 6, 7, 8, 9, 1), (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)):
        rest = sum(n * w for n, w in zip(numbers, weights, strict=False)) % 11
        if rest < 10:
            return rest == numbers[10]
    return numbers[10] == 0
