"""Secrets: vendors' published key shapes, and random values given to telling names."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import lowered, table

_TRIMMED = ".,;:!?)]}"
_CODE = re.compile(
    r"[A-Za-z_][\w.]*\(|\$\{|\{\{|\$\(|%[sd(]|%\w+%|\$[A-Za-z_]|[a-z]+(?:[A-Z][a-z]+)+\Z|[A-Z][A-Z_]+\Z|"
    r"[a-z_]+(?:\.[a-z_]+)+\Z|https?://|/[a-z]+/|\w+\[|--|(?:env|vault|file|secret|ref|op|sm|arn)[:|]|"
    r"!|@|ENC\[|[\w-]+\.(?:json|pem|key|txt|ya?ml|env|py|js|com|org|io|net)\Z"
)
_CLASSES = ("a-z", "A-Z", "0-9", r"^A-Za-z0-9")
_CLASS = tuple(re.compile(f"[{name}]") for name in _CLASSES)
_HEX = re.compile("[0-9a-f]+")
_SHORTEST_HEX = 20
_END = re.compile(r"[\s,;)\]}&|\\]")
_PASSWORDS = frozenset(
    ("passw", "passphrase", "passcode", "pwd", "pass", "contras", "mot de passe")
)
# A variable that is filled in later: of a shell, of a template, of Windows.
_REFERENCE = re.compile(
    r"\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Z_][A-Z0-9_]*|\{\{[^{}]*\}\}|%\(\w+\)s|%\w+%"
)
_WORDS = re.compile(r"[A-Za-z]+(?:[-_. ][A-Za-z]+)*\Z")


class SecretShape(NamedTuple):
    """A vendor's key: its shape, a cheap pattern that is in every text with it, how it stands."""

    vendor: str
    pattern: re.Pattern[str]
    anchor: str
    assigned: bool
    loose: bool
    grouped: bool


@cache
def shapes() -> tuple[SecretShape, ...]:
    """secrets.toml: the vendors', in order."""
    return tuple(
        SecretShape(
            entry["vendor"],
            re.compile(entry["pattern"], re.ASCII),
            entry.get("anchor") or "|".join(re.escape(hint) for hint in entry["hints"]),
            entry.get("assigned", False),
            entry.get("loose", False),
            "(?P<key>" in entry["pattern"],
        )
        for entry in table("secrets")["secret"]
    )


def anchors() -> tuple[str, ...]:
    """One for each vendor's shape."""
    return tuple(shape.anchor for shape in shapes())


def assigned_anchor() -> str:
    """What stands in every text that `assigned_secrets` finds something in."""
    return str(table("secrets")["assigned"]["anchor"])


@cache
def _assigned() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The telling word, what may lead up to it, and what follows it up to the value."""
    entry = table("secrets")["assigned"]
    return re.compile(entry["word"]), re.compile(entry["lead"]), re.compile(entry["tail"])


def vendor_secrets(text: str, numbers: Sequence[int], _taken: Sequence[Span]) -> Iterator[Span]:
    """Keys of the vendors' shapes of those numbers."""
    for number in numbers:
        yield from _vendor_secrets(text, shapes()[number])


def _vendor_secrets(text: str, shape: SecretShape) -> Iterator[Span]:
    for match in shape.pattern.finditer(text):
        group: str | int = "key" if shape.grouped else 0
        start, end = match.span(group)
        if not shape.loose and (_touched(text, match.start() - 1) or _touched(text, end)):
            continue
        value = match[group]
        if not shape.loose or shape.assigned:
            value = value.rstrip(".,;")
        if placeholder(value) or (shape.assigned and not random_looking(value)):
            continue
        yield Span(start, start + len(value), "secret", shape.vendor)


def _touched(text: str, index: int) -> bool:
    """Whether a letter, digit or underscore stands there."""
    if not 0 <= index < len(text):
        return False
    return text[index].isascii() and (text[index].isalnum() or text[index] == "_")


def assigned_secrets(text: str) -> Iterator[Span]:
    """Random-looking values given to a name such as api_key or password."""
    word, lead, tail = _assigned()
    low, done = lowered(text), 0
    for found in word.finditer(low):
        if found.end() < done:
            continue
        if found[0] == "key" and not lead.search(low, max(0, found.start() - 16), found.start()):
            continue
        match = tail.match(text, found.end())
        if match is None:
            continue
        value = match["key"]
        if match["quote"] is None:
            value = _END.split(value)[0].rstrip(_TRIMMED)
        if not 6 <= len(value) <= 300 or placeholder(value) or _CODE.match(value):
            continue
        password = found[0] in _PASSWORDS
        if _HEX.fullmatch(value) and len(value) < _SHORTEST_HEX:
            continue
        said = match["sign"].strip(" :").isalpha() or not match["sign"]
        if random_looking(value) or (password and _password_like(value, said, match["quote"])):
            start = match.start("key")
            done = start + len(value)
            yield Span(start, done, "secret", "password" if password else "assigned secret")


def _password_like(value: str, said: bool, quote: str | None) -> bool:
    """Letters with digits or signs among them; a plain word only where code quotes it."""
    classes = sum(pattern.search(value) is not None for pattern in _CLASS)
    if _WORDS.match(value) or len(set(value)) < 5:
        return False
    if quote is not None:
        return classes >= 2
    return classes >= 3 or (classes == 2 and not said and any(c.isdigit() for c in value))


def placeholder(value: str) -> bool:
    """Whether documentation would write this where a secret stands, or a variable stands there."""
    if _REFERENCE.fullmatch(value):
        return True
    low = value.lower()
    marks: list[str] = table("secrets")["placeholder"]["words"]
    if len(set(low)) < 5 or any(
        mark in low and (mark in value or mark.upper() in value or mark.capitalize() in value)
        for mark in marks
    ):
        return True
    return low in table("secrets")["assigned"]["not_values"] or low.startswith(
        tuple(w for w in table("secrets")["assigned"]["not_values"] if w.endswith("."))
    )


def random_looking(value: str) -> bool:
    """At least 3 bits of entropy a character, and digits among letters (Shannon, 1948)."""
    if len(value) < 10:
        return False
    counts = Counter(value).values()
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
    digits = sum(c.isdigit() for c in value)
    mixed = digits > 0 and any(c.isalpha() for c in value)
    if not mixed and not (re.search("[a-z]", value) and re.search("[A-Z]", value)):
        return False
    if not digits and (_WORDS.match(value) and not re.search("[a-z][A-Z].*[A-Z]", value)):
        return False
    return bits >= 3.0
