"""Phone numbers: E.164 and national numbering plans (the tables of the phonenumbers library).

A number with + and a country code stands for itself. A national number must be grouped as its
country does it and be possible there, or words such as "call" must lead up to it.
"""

import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import before, context

# Seven digits with at most three separators between two of them; bytes, then text.
ANCHOR = r"\d(?:(?:[ ().\-/]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,3}\d){6}"
VANITY_ANCHOR = r"8(?:00|33|44|55|66|77|88)[-. )]{1,2}[A-Z0-9]"
_S = r"[ ().\-/\u00a0\u2009\u2010\u2011\u202f–]"
_INTERNATIONAL = re.compile(
    rf"(?<![\w+])(?:\+|＋|00(?=[ -]?[1-9])|011[ -](?=[1-9]))[ ]?\(?[1-9](?:{_S}{{0,3}}\d){{6,16}}"
    r"(?!\d)"
)
_NATIONAL = re.compile(
    rf"(?<![\w+=#$€£¥])(?<![\w][.,/:-])(?<![.,]\d)\(?\d(?:{_S}{{0,3}}\d){{6,16}}(?![\w%°€£]|[.,:]\d|[-/]\w)"
)
_NANP = re.compile(
    r"(?<![\w.+/$€£-])(?:1[ .-])?(?:\([2-9]\d{2}\)[ .-]?|[2-9]\d{2}[.\u2011 –-])[2-9]\d{2}[ .\u2011–-]\d{4}"
    r"(?![\w-]|[.,]\d)"
)
_VANITY = re.compile(
    r"(?<![\w-])(?:\+?1[-. ])?\(?8(?:00|33|44|55|66|77|88)\)?[-. ](?=[A-Z0-9-]*[A-Z]{3})[A-Z0-9]{3}-?[A-Z0-9]{4,7}(?![\w])"
)
_EXTENSION = re.compile(
    r"[ ,]{1,2}(?:ext\.?|x|extension|ext:|Durchwahl|poste|#)[ .:]{0,2}\d{1,6}\b", re.I
)
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:19|20)\d\d(?!\d)"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d(?!\d))"
)
_GROUPS = re.compile(r"\d+")
# Countries whose national numbers begin with a trunk 0 (Italy's 0 is part of the number).
_TRUNK = (
    *("GB", "DE", "FR", "NL", "BE", "CH", "AT", "SE", "FI", "IE", "AU", "NZ", "ZA", "IT", "JP"),
    *("KR", "IL", "TR", "IN", "ID", "MY", "TH", "VN", "PH", "TW", "CN", "BR", "AR", "EG", "NG"),
    *("KE", "PK", "UA", "RO", "BG", "HR", "RS", "SI", "SK", "MA", "AE", "SA", "HU"),
)
_OPEN = (
    *("ES", "PT", "PL", "DK", "NO", "CZ", "GR", "SG", "HK", "US", "CA", "MX", "RU", "LU", "IS"),
    *("EE", "LV", "LT", "CL", "CO", "PE", "CY", "MT"),
)
# Mobile numbers written without a gap, beginning with the trunk 0.
_BARE_MOBILE = re.compile(
    r"07[1-9]\d{8}|0[67]\d{8}|04\d{8}|08[35679]\d{7}|01[567]\d{8,9}|0[5-9]0\d{8}"
)
# Groupings that only phone numbers have, with the country whose plan must allow them.
_SHAPES = (
    (re.compile(r"[6-9]\d{4}[ -]\d{5}"), "IN"),
    (re.compile(r"1[3-9]\d[ -]\d{4}[ -]\d{4}"), "CN"),
    (re.compile(r"[6-9]\d{2} \d{2} \d{2} \d{2}"), "ES"),
    (re.compile(r"9\d \d{3} \d{2} \d{2}"), "ES"),
    (re.compile(r"8[ -]?\(?\d{3}\)?[ -]\d{3}[ -]\d{2}[ -]\d{2}"), "RU"),
    (re.compile(r"\(?[1-9]\d\)? ?9?\d{4}-\d{4}"), "BR"),
    (re.compile(r"1[38]00 \d{3} \d{3}"), "AU"),
    (re.compile(r"\([1-9]\d{0,4}\) ?\d[\d -]{4,10}\d"), ""),
)


@cache
def _plan(region: str) -> tuple[re.Pattern[str], re.Pattern[str] | None, frozenset[int]] | None:
    """A country's numbers, its trunk prefix, and the lengths a number may have."""
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region_or_calling_code(
        int(region) if region.isdigit() else -1, region
    )
    if metadata is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return (
        re.compile(metadata.general_desc.national_number_pattern),
        re.compile(prefix) if prefix else None,
        frozenset(metadata.general_desc.possible_length or ()),
    )


@cache
def _regions(code: int) -> tuple[str, ...]:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    return tuple(
        str(code) if region == "001" else region
        for region in COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    )


def _possible(region: str, national: str) -> bool:
    """Whether the country's plan has such a number, with or without its trunk prefix."""
    plan = _plan(region)
    if plan is None:
        return False
    numbers, prefix, _lengths = plan
    if numbers.fullmatch(national):
        return True
    if prefix is not None and (match := prefix.match(national)) and match.end():
        return numbers.fullmatch(national[match.end() :]) is not None
    return False


def _assigned(digits: str) -> bool:
    """E.164 digits, country code first, that a numbering plan has."""
    for size in (1, 2, 3):
        for region in _regions(int(digits[:size])):
            if _possible(region, digits[size:]):
                return True
    return False


def phones(text: str) -> Iterator[Span]:
    """Phone numbers in order of their certainty; later ones may overlap earlier ones."""
    for match in _INTERNATIONAL.finditer(text):
        end = _international_end(match, text)
        if end is not None:
            yield _span(text, match.start(), end)
    for match in _NANP.finditer(text):
        if not _is_other(text, match.start(), match[0]) and _is_nanp(text, match):
            yield _span(text, match.start(), match.end())
    for match in _NATIONAL.finditer(text):
        end = _national_end(match, text)
        if end is not None:
            start = match.start() + (match[0].startswith("(") and ")" not in match[0])
            yield _span(text, start, end)


def vanity(text: str) -> Iterator[Span]:
    """Toll-free numbers spelled with letters (ITU-T E.161)."""
    for match in _VANITY.finditer(text):
        yield _span(text, match.start(), match.end())


def _span(text: str, start: int, end: int) -> Span:
    extension = _EXTENSION.match(text, end)
    return Span(start, extension.end() if extension else end, "phone")


def _international_end(match: re.Match[str], text: str) -> int | None:
    """Where a possible number ends: the longest run of whole groups that a plan allows."""
    value = match[0]
    skip = 1 if value[0] in "+＋" else (3 if value.startswith("011") else 2)
    if skip == 2 and _is_other(text, match.start(), value):
        return None
    groups = [(m.start(), m.end()) for m in _GROUPS.finditer(value, skip)]
    for last in range(len(groups), 0, -1):
        digits = "".join(value[a:b] for a, b in groups[:last])
        if len(digits) < 7:
            break
        if len(digits) <= 16 and (_assigned(digits) or _trunk_in_brackets(value, digits)):
            return match.start() + groups[last - 1][1]
    digits = "".join(value[a:b] for a, b in groups)
    spoken = context("phone").search(before(text, match.start(), 40)) is not None
    known = any(_regions(int(digits[:size])) for size in (1, 2, 3))
    if spoken and known and 8 <= len(digits) <= 15 and digits[:1] != "1":
        return match.start() + groups[-1][1]
    return None


def _trunk_in_brackets(value: str, digits: str) -> bool:
    """+44 (0)20 ...: the 0 is not dialled from abroad."""
    place = value.find("(0)")
    if place < 0:
        return False
    ahead = sum(c.isdigit() for c in value[:place])
    if value.startswith("00"):
        ahead -= 2
    return _assigned(digits[:ahead] + digits[ahead + 1 :])


def _is_nanp(text: str, match: re.Match[str]) -> bool:
    """Bracketed or dashed numbers stand for themselves; spaced ones need an area code in use."""
    if any(c in match[0] for c in "(-\u2011–"):
        return True
    digits = re.sub(r"\D", "", match[0])
    return _possible("US", digits[-10:])


def _is_other(text: str, start: int, value: str) -> bool:
    """A date, or a number that the words before call an order, a ticket or the like."""
    if _DATE.search(value):
        return True
    lead = before(text, start, 40)
    other = context("other_number").search(lead)
    if other is None:
        return False
    return not any(m.start() > other.start() for m in context("phone").finditer(lead))


def _national_end(match: re.Match[str], text: str) -> int | None:
    """Where a national number ends, or None where it is none."""
    value = match[0]
    if _is_other(text, match.start(), value):
        return None
    groups = [(m.start(), m.end()) for m in _GROUPS.finditer(value)]
    lead = before(text, match.start(), 45)
    spoken = context("phone").search(lead) is not None
    for last in range(len(groups), max(0, len(groups) - 2), -1):
        end = groups[last - 1][1]
        digits = "".join(value[a:b] for a, b in groups[:last])
        if not 7 <= len(digits) <= 12 or len(set(digits)) < 3:
            continue
        if digits in "01234567890123456789" or digits.endswith("00000"):
            continue
        sizes = [b - a for a, b in groups[:last]]
        if _by_shape(value[:end], digits, sizes) or (spoken and _by_words(digits, sizes)):
            return match.start() + end
    return None


def _by_shape(value: str, digits: str, sizes: list[int]) -> bool:
    """A grouping that only phone numbers have."""
    for shape, region in _SHAPES:
        if shape.fullmatch(value):
            return _possible(region, digits) if region else _somewhere(digits)
    if not value.lstrip("(").startswith("0"):
        return False
    if len(sizes) == 1:
        return _BARE_MOBILE.fullmatch(digits) is not None
    if sizes[-1] < 2 or sizes[0] > 5 or value.count(".") == 1 or len(digits) < 9:
        return False
    return sizes[0] > 1 and any(_possible(region, digits) for region in _TRUNK)


def _by_words(digits: str, sizes: list[int]) -> bool:
    """What a text that speaks of a phone may give as its number."""
    return _somewhere(digits) or (len(digits) == 7 and sizes == [3, 4])


def _somewhere(digits: str) -> bool:
    return any(_possible(region, digits) for region in (*_TRUNK, *_OPEN))
