"""Phone numbers: E.164 and national numbering plans (the tables of the phonenumbers library).

A number with + and a country code stands for itself. A national number must be grouped as its
country does it and be possible there, or words such as "call" must lead up to it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice

from tuiwb.data.checks.pii.context import context, words_anchor, words_before
from tuiwb.data.checks.pii.runs import parts
from tuiwb.data.checks.pii.span import Span, covered
from tuiwb.data.checks.pii.tables import table

# Seven digits with at most three separators between two of them; bytes, then text.
_ANCHOR = r"(?:^|[^0-9])\d(?:(?:[ ().\-/]|\xc2\xa0|\xe2\x80[\x80-\xaf]){0,3}\d){6}"
_VANITY_ANCHOR = r"8(?:00|33|44|55|66|77|88)[-. )]{1,2}[A-Z0-9]"
_S = r"[ ().\-/\u00a0\u2009\u2010\u2011\u202f–]"
_RUN = re.compile(rf"[0-9](?:{_S}{{0,3}}[0-9]){{6,}}")
_PREFIX = re.compile(r"00(?=[ -]?[1-9])|011[ -](?=[1-9])")
_NANP = re.compile(
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[.\u2011 –-])"
    r"[2-9][0-9]{2}[ .\u2011–-][0-9]{4}(?![\w-]|[.,][0-9])"
)
_QUAD = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
# What may not touch a national number.
_LEAD = re.compile(r"[\w+=#$€£¥&*^]\Z|\w[.,/:-]\Z")
# What parts the cells of a table, and how far up its heading is looked for.
_CELL = ",;|\t"
_MOST_LINES, _LONGEST_LINE = 30, 400
# A vCard's line (RFC 6350, 6.4.1).
_TEL = re.compile(r"(?:\A|\n)(?:[\w-]{1,20}\.)?TEL(?:;[^\n:]{0,60})?:\Z", re.IGNORECASE)
_TAIL = re.compile(r"[\w%°€£]|[.,:][0-9]|[-/]\w")
_VANITY = re.compile(
    r"(?<![\w-])(?:\+?1[-. ])?\(?8(?:00|33|44|55|66|77|88)\)?[-. ]"
    r"(?=[A-Z0-9-]*[A-Z]{3})[A-Z0-9]{3}-?[A-Z0-9]{4,7}(?!\w)"
)
_EXTENSION = re.compile(
    r"[ ,]{1,2}(?:ext\.?|x|extension|ext:|Durchwahl|poste|#)[ .:]{0,2}\d{1,6}\b", re.I
)
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:19|20)\d\d(?!\d)"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d(?!\d))"
)
# The anchors by their place.
_DIGITS, _WORDS, _LETTERS = range(3)
_GROUPS = re.compile("[0-9]+")
# Digits between a word for a phone and a number that say that the word meant another number.
_LONGEST_GROUP, _LEAST_DIGITS = 3, 7
_LONGEST_RUN, _LONGEST_HOME, _MOST_GROUPS = 60, 40, 12
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
_ANY_SHAPE = re.compile("|".join(f"(?:{shape.pattern})" for shape, _region in _SHAPES))


@cache
def _plan(region: str) -> tuple[re.Pattern[str], re.Pattern[str] | None] | None:
    """A country's numbers and its trunk prefix."""
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region_or_calling_code(
        int(region) if region.isdigit() else -1, region
    )
    if metadata is None or metadata.general_desc is None:
        return None
    numbers, prefix = (
        metadata.general_desc.national_number_pattern,
        metadata.national_prefix_for_parsing,
    )
    return re.compile(numbers or "(?!)"), re.compile(prefix) if prefix else None


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
    numbers, prefix = plan
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


def anchors() -> tuple[str, str, str]:
    """Digits, words for a phone, letters in a number."""
    return _ANCHOR, words_anchor(table("numbers")["context"]["phone"]), _VANITY_ANCHOR


def phones(text: str, numbers: Sequence[int], taken: Sequence[Span]) -> Iterator[Span]:
    """Phone numbers; `numbers` says which of the anchors are in the text."""
    if _DIGITS in numbers:
        yield from _phones(text, _WORDS in numbers, taken)
    if _LETTERS in numbers:
        yield from vanity(text)


def _phones(text: str, words: bool, taken: Sequence[Span]) -> Iterator[Span]:
    """One or none for each run of digits, two where a run holds two."""
    for start, end in parts(_RUN, text):
        if covered(taken, start, end):
            continue
        if text[start - 1 : start] == "(":
            start -= 1
        plus = text[start - 1 : start] in ("+", "＋") or text[max(0, start - 2) : start] == "+ "
        found = None
        if plus:
            found = _international(text, start, end, 0)
            start -= 1 if found and text[start - 1] in "+＋" else 2
        elif prefix := _PREFIX.match(text, start + (text[start] == "(")):
            found = _international(text, start, end, prefix.end() - start)
        if found is not None:
            yield _span(text, start, found)
        elif not plus:
            yield from _home(text, start, end, words)


def _home(text: str, start: int, end: int, words: bool) -> Iterator[Span]:
    """The national numbers of a run; `words`: the text has some for a phone."""
    attached = _LEAD.search(text, max(0, start - 2), start) is not None
    if attached and words and text[start - 1] in _CELL and _headed(text, start):
        attached = False
    if attached and text[start - 1] == ":" and _TEL.search(text, max(0, start - 90), start):
        attached = False
    if attached and text[start] == "(" and text[start - 1] in ":,":
        attached = False
    if attached or _DATE.search(text, start, end):
        return
    found: list[tuple[int, int]] = []
    for match in _NANP.finditer(text, start, min(end + 2, len(text))):
        if _is_nanp(match[0]) and not text[match.start() - 1 : match.start()].isdigit():
            found.append(match.span())
    lead: list[str] | None = None
    spoken = -1
    if not found and end - start <= _LONGEST_HOME and not _TAIL.match(text, end):
        value = text[start:end]
        stop = _home_end(value, False)
        if stop is None and words:
            lead = words_before(text, start, 45)
            spoken = _spoken(lead)
            if spoken < 0 and _headed(text, start):
                lead, spoken = ["phone"], 0
            stop = _home_end(value, True) if spoken >= 0 and not _QUAD.fullmatch(value) else None
        if stop is not None:
            skip = text[start] == "(" and ")" not in text[start : start + stop]
            found.append((start + skip, start + stop))
    if not found:
        return
    if lead is None:
        lead = words_before(text, start, 45)
        spoken = context("phone").last(lead) if words else -1
    near = lead[-4:]
    other = context("other_number").last(near)
    if other < 0 or len(lead) - len(near) + other <= spoken:
        for begin, stop in found:
            yield _span(text, begin, stop)


def _headed(text: str, start: int) -> bool:
    """Whether the number stands in a table's column whose heading speaks of a phone."""
    line = text.rfind("\n", max(0, start - _LONGEST_LINE), start) + 1
    if not line and start > _LONGEST_LINE:
        return False
    mark = next((c for c in _CELL if text.count(c, line, start)), "")
    if not mark:
        return False
    column, head = text.count(mark, line, start), ""
    for _ in range(_MOST_LINES):
        if not line:
            break
        above = text.rfind("\n", max(0, line - 2 - _LONGEST_LINE), line - 1) + 1
        row = text[above : line - 1]
        if row.count(mark) < column or len(row) > _LONGEST_LINE:
            break
        line, head = above, row
    cells = head.split(mark)
    if column >= len(cells):
        return False
    heading = cells[column] + " "
    return context("phone").last(words_before(heading, len(heading), 45)) >= 0


def _spoken(lead: list[str]) -> int:
    """The place of the last word for a phone, unless another number came after it."""
    place = context("phone").last(lead)
    sizes = [len(word) for word in lead[place + 1 :] if word.isdigit()]
    if max(sizes, default=0) > _LONGEST_GROUP or sum(sizes) >= _LEAST_DIGITS:
        return -1
    return place


def vanity(text: str) -> Iterator[Span]:
    """Toll-free numbers spelled with letters (ITU-T E.161)."""
    for match in _VANITY.finditer(text):
        yield _span(text, match.start(), match.end())


def _span(text: str, start: int, end: int) -> Span:
    extension = _EXTENSION.match(text, end)
    return Span(start, extension.end() if extension else end, "phone")


def _international(text: str, start: int, end: int, skip: int) -> int | None:
    """Where a possible number ends: the longest row of whole groups that a plan allows."""
    value = text[start : min(end, start + _LONGEST_RUN)]
    groups = [group.span() for group in islice(_GROUPS.finditer(value, skip), _MOST_GROUPS)]
    for last in range(len(groups), 0, -1):
        digits = "".join(value[a:b] for a, b in groups[:last])
        if len(digits) < 7:
            break
        stop = start + groups[last - 1][1]
        if len(digits) <= 16 and (_assigned(digits) or _trunk_in_brackets(value, skip, digits)):
            return None if text[stop : stop + 1].isalnum() else stop
    digits = "".join(value[a:b] for a, b in groups)
    known = any(_regions(int(digits[:size])) for size in (1, 2, 3))
    likely = known and 8 <= len(digits) <= 15 and digits[0] != "1" and skip == 0
    if likely and context("phone").last(words_before(text, start, 40)) >= 0:
        return start + groups[-1][1]
    return None


def _trunk_in_brackets(value: str, skip: int, digits: str) -> bool:
    """+44 (0)20 ...: the 0 is not dialled from abroad."""
    place = value.find("(0)")
    if place < 0:
        return False
    ahead = sum(c.isdigit() for c in value[skip:place])
    return _assigned(digits[:ahead] + digits[ahead + 1 :])


def _is_nanp(value: str) -> bool:
    """Bracketed or dashed numbers stand for themselves; others need an area code in use."""
    if any(c in value for c in "(-\u2011–"):
        return True
    return _possible("US", re.sub(r"[^0-9]", "", value)[-10:])


def _home_end(value: str, spoken: bool) -> int | None:
    """Where a national number ends, or None where it is none."""
    groups = [group.span() for group in _GROUPS.finditer(value)]
    for last in range(len(groups), max(0, len(groups) - 2), -1):
        end = groups[last - 1][1]
        digits = "".join(value[a:b] for a, b in groups[:last])
        if not 7 <= len(digits) <= 12 or len(set(digits)) < 3:
            continue
        if digits in "01234567890123456789" or digits.endswith("00000"):
            continue
        sizes = [b - a for a, b in groups[:last]]
        if _by_shape(value[:end], digits, sizes) or (spoken and _by_words(digits, sizes)):
            return end
    return None


def _by_shape(value: str, digits: str, sizes: list[int]) -> bool:
    """A grouping that only phone numbers have."""
    for shape, region in _SHAPES if _ANY_SHAPE.fullmatch(value) else ():
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
