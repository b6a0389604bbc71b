"""What rows a person wants to see: a small filter language, and an order.

    refund                     text in any turn, any case of letters
    /refund(ed)?/              a regular expression (RE2 syntax, any case)
    role:assistant refund      only in that role's turns
    check:pii  check:pii/email rows where a check found something (of that kind); check:any
    severity:error             rows with an error
    mark:drop  mark:reject     rows with that flag or verdict; mark:any; mark:none the others
    is:edited  is:broken       rows edited by hand, rows that don't open
    turns>4  chars<200         by size (also answer_chars; =, <, <=, >, >=)
    format:alpaca  topic=shipping      by format, by a column of the dataset
    -check:any                 a leading minus turns a word round

Words are joined by and; text with blanks goes into quotes, and so does what only looks like one of
these with a letter wrong.
"""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from tuiwb.data.checks.finding import CHECKS, KINDS, Finding
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput

SORTS = ("row", "turns", "chars", "answer_chars", "found")
_COMPARED = re.compile(r"(?ai)(turns|chars|answer_chars|row)(<=|>=|<|>|=)(\d+)$")
_NAME = re.compile(r"[\w.-]+")
_RESERVED = ("turns", "chars", "answer_chars", "row", "label", "format")
_SIZED = re.compile(r"(?ai)(turns|chars|answer_chars)(<=|>=|<|>|=)")
_VALUES = {
    "mark": ("keep", "drop", "hard", "accept", "reject", "none", "any"),
    "severity": ("error", "warning"),
}
_TAG = re.compile(r"([\w.-]+)=(.*)$", re.DOTALL)
_KEYS = ("check", "severity", "mark", "is", "format")
# A key of these as it may be mistyped; what is shorter is too near to other words.
_MISTYPED = re.compile(r"([A-Za-z_]{3,})(:(?!//)|<=|>=|<|>)(.+)", re.DOTALL)
_NEAR = {
    ":": ("role", "check", "severity", "mark", "format"),
    "": ("turns", "chars", "answer_chars", "row"),
}


class Seen(NamedTuple):
    """All that a filter may ask about one row."""

    row: Row
    findings: Sequence[Finding] = ()
    flag: str | None = None
    verdict: str | None = None
    edited: bool = False


Test = Callable[[Seen], bool]


class Query(NamedTuple):
    """A parsed filter.

    Every match holds each of `needles`, texts in lower case; with `found` set, every match has a
    finding. `roles` are those it asks for.
    """

    text: str
    tests: tuple[Test, ...]
    needles: tuple[str, ...]
    found: bool = False
    roles: tuple[str, ...] = ()

    def matches(self, seen: Seen) -> bool:
        """Whether the row passes every word of the filter."""
        return all(test(seen) for test in self.tests)


class _Word(NamedTuple):
    """One word as typed: whether a minus turns it round, whether it was in quotes."""

    text: str
    negated: bool
    quoted: bool


def parse(text: str) -> Query:
    """A filter as typed; BadInput says which word is wrong and what it may be."""
    tests: list[Test] = []
    needles: list[str] = []
    role, asked = "", False
    roles: list[str] = []
    found = False
    for word in _words(text):
        key, colon, value = word.text.partition(":")
        key = key.lower()
        if colon and key == "role" and not word.quoted:
            role, asked = value.lower(), False
            roles.extend(filter(None, (role,)))
            continue
        test = None if word.quoted else _about_row(word.text)
        if test is None:
            test, asked = _said(word, role), True
            if not word.negated and not _is_regex(word):
                needles.append(word.text.casefold())
        elif not word.negated:
            found = found or key in ("check", "severity")
        tests.append(_not(test) if word.negated else test)
    if role and not asked:
        tests.append(_has_role(role))
    return Query(text, tuple(tests), tuple(needles), found, tuple(roles))


_WORD = re.compile(r'-?/(?:\\.|[^/\\])+/(?=\s|$)|-?[\w.-]*[=:]?"[^"]*"|\S+')


def _words(text: str) -> list[_Word]:
    """Split at blanks; /regex with blanks/, "quoted text" and key="quoted value" stay whole."""
    words = []
    for found in _WORD.finditer(text):
        word = found[0]
        if word.count('"') % 2 and not _slashed(word.removeprefix("-")):
            raise BadInput(f"{word} opens a quote that is never closed")
        negated = len(word) > 1 and word[0] == "-"
        word = word[negated:]
        whole = len(word) > 2 and word[0] == word[-1] == '"'
        if not _slashed(word):
            word = word.replace('"', "")
        if word and word != "-":
            words.append(_Word(word, negated, whole))
    return words


def _slashed(word: str) -> bool:
    return len(word) > 2 and word[0] == "/" and word[-1] == "/"


def _is_regex(word: _Word) -> bool:
    return not word.quoted and _slashed(word.text)


def _about_row(word: str) -> Test | None:
    """What a word asks of the row itself; None when it is a text to look for."""
    if _slashed(word):
        return None
    if compared := _COMPARED.match(word):
        return _size(compared[1].lower(), compared[2], int(compared[3]))
    if sized := _SIZED.match(word):
        known = sized[1].lower()
        raise BadInput(f"{word} compares no number: write {known}{sized[2]}100, for example")
    key, colon, value = word.partition(":")
    key = key.lower()
    if colon and key in _KEYS:
        return _field(key, value)
    if tagged := _TAG.match(word):
        return _tag(tagged[1], tagged[2])
    _refuse_mistyped(word)
    return None


def _refuse_mistyped(word: str) -> None:
    """BadInput for what is a filter but for one letter of its key: as a text it would find nothing,
    unseen."""
    mistyped = _MISTYPED.fullmatch(word)
    if mistyped is None:
        return
    key, sign, value = mistyped[1], mistyped[2], mistyped[3]
    if sign != ":" and not value.isdecimal():
        return
    for known in _NEAR[":" if sign == ":" else ""]:
        if _one_slip(key.lower(), known) and (known == "role" or _reads(f"{known}{sign}{value}")):
            raise BadInput(
                f"{word} is no filter: did you mean {known}{sign}{value}? In quotes it is a text "
                "to look for"
            )


def _reads(word: str) -> bool:
    """Whether it asks something of a row."""
    try:
        return _about_row(word) is not None
    except BadInput:
        return False


def _one_slip(typed: str, meant: str) -> bool:
    """Whether one letter is left out, put in or another, or two neighbours changed places."""
    at = next((i for i, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b), None)
    if at is None:
        return abs(len(typed) - len(meant)) == 1
    one, other = typed[at:], meant[at:]
    swapped = one[:2] == other[1::-1] and one[2:] == other[2:]
    return swapped or other[1:] in (one, one[1:]) or one[1:] == other


def _tag(name: str, wanted: str) -> Test:
    if name == "label":
        good = {"good": True, "true": True, "bad": False, "false": False}.get(wanted.lower())
        return lambda seen: (
            seen.row.label is good
            if seen.row.label is not None
            else _is(seen.row.tags.get("label"), wanted)
        )
    column = name.removeprefix("tag.")
    return lambda seen: _is(seen.row.tags.get(column), wanted)


def _is(value: object, wanted: str) -> bool:
    return value is not None and str(value) == wanted


def _said(word: _Word, role: str) -> Test:
    return _regex(word.text[1:-1], role) if _is_regex(word) else _text(word.text.casefold(), role)


def _text(needle: str, role: str) -> Test:
    def said(seen: Seen) -> bool:
        return any(needle in text.casefold() for text in _texts(seen.row, role))

    return said


def _regex(pattern: str, role: str) -> Test:
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise BadInput(f"/{pattern}/ is no regular expression: {why}") from None

    def said(seen: Seen) -> bool:
        texts = _texts(seen.row, role)
        return any(compiled.search(text.encode("utf-8", "replace").decode()) for text in texts)

    return said


def _has_role(role: str) -> Test:
    return lambda seen: role in roles_of(seen.row)


def roles_of(row: Row) -> set[str]:
    """The roles of a row's texts, in lower case, '' for a bare text's."""
    return {said.lower() for _field, said, _text in row.fields()}


def _size(name: str, sign: str, wanted: int) -> Test:
    compare: dict[str, Callable[[int], bool]] = {
        "<": lambda n: n < wanted,
        "<=": lambda n: n <= wanted,
        ">": lambda n: n > wanted,
        ">=": lambda n: n >= wanted,
        "=": lambda n: n == wanted,
    }
    right = compare[sign]
    return lambda seen: right(size_of(seen.row, name))


def size_of(row: Row, name: str) -> int:
    """turns, chars (of all turns), answer_chars (of the last answer) or the row's number."""
    if name == "row":
        return row.index
    sizes = [(role, len(text)) for _field, role, text in row.fields()]
    if name == "turns":
        return len(sizes)
    if name == "chars":
        return sum(size for _role, size in sizes)
    return next((size for role, size in reversed(sizes) if role in ("assistant", "")), 0)


def _field(key: str, value: str) -> Test:
    value = value.lower()
    if key in _VALUES and value not in _VALUES[key]:
        raise BadInput(f"{key}:{value} is no filter: {key}: takes {', '.join(_VALUES[key])}")
    if key == "check":
        check, _, kind = value.replace(":", "/").partition("/")
        if check not in CHECKS and check != "any":
            named = {kind: f"{of}/{kind}" for of, kinds in KINDS.items() for kind in kinds}
            named |= {name: name for name in CHECKS}
            near = get_close_matches(check, named, 1)
            hint = (
                f"did you mean check:{named[near[0]]}?" if near else f"one of {', '.join(CHECKS)}"
            )
            raise BadInput(f"there is no check {check!r}: {hint}")
        return lambda seen: any(
            value == "any" or (f.check == check and kind in ("", f.kind.lower()))
            for f in seen.findings
        )
    if key == "severity":
        return lambda seen: any(f.severity == value for f in seen.findings)
    if key == "mark":
        return _mark(value)
    if key == "format":
        return lambda seen: seen.row.format == value or seen.row.shape == value
    known: dict[str, Test] = {
        "edited": lambda seen: seen.edited,
        "broken": lambda seen: seen.row.shape == "broken",
        "marked": _mark("any"),
    }
    if value not in known:
        raise BadInput(f"is:{value} is no filter: is:edited, is:broken or is:marked")
    return known[value]


def _mark(wanted: str) -> Test:
    """A flag (keep, drop, hard), a verdict (accept, reject), any of them, or none."""
    if wanted == "none":
        return lambda seen: seen.flag is None and seen.verdict is None
    if wanted == "any":
        return lambda seen: seen.flag is not None or seen.verdict is not None
    return lambda seen: wanted in (seen.flag, seen.verdict)


def _texts(row: Row, role: str) -> list[str]:
    if row.shape == "broken":
        return [] if role else [row.text or ""]
    return [text for _field, said, text in row.fields() if role in ("", said.lower())]


def _not(test: Test) -> Test:
    return lambda seen: not test(seen)


def of_facet(name: str, value: str) -> str | None:
    """The filter word of a facet's value: ('tag.topic', 'x') -> 'topic=x'; None: none can say it.

    A column named as something else in the language keeps its 'tag.'.
    """
    column = name.removeprefix("tag.")
    if not _NAME.fullmatch(column) or '"' in value:
        return None
    text = f'"{value}"' if re.search(r"\s", value) or not value else value
    if name.startswith("tag."):
        return f"{name if column.lower() in _RESERVED else column}={text}"
    return f"label={text}" if name == "label" else f"{name}:{text}"


def holds(text: str, word: str) -> bool:
    """Whether a filter has that word."""
    return any(found[0] == word for found in _WORD.finditer(text))


def toggled(text: str, word: str) -> str:
    """A filter with `word` added at its end, or without it where it stands there."""
    words = [found[0] for found in _WORD.finditer(text)]
    kept = [other for other in words if other != word]
    return " ".join(kept if len(kept) < len(words) else [*words, word])
