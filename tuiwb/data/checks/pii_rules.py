"""Shapes and validators of personal data; tables and vendors' shapes stand in pii.toml."""

import ipaddress
import math
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# RFC 5322 dot-atom or quoted local part, RFC 6531 letters, at most RFC 5321's 64 characters.
EMAIL = re.compile(
    r"(?<![\w.!#$%&'*+/=?^`{|}~-])"
    r"(?:[\w!#$%&'*+/=?^`{|}~-]{1,64}(?:\.[\w!#$%&'*+/=?^`{|}~-]{1,64}){0,8}|\"[^\"\s]{1,62}\")"
    r"@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}"
)
SPELLED_EMAIL = re.compile(
    r"\b[\w.+-]{2,64}\s?(?:\(at\)|\[at\]|\{at\}|\s+at\s+)\s?[\w-]{2,63}"
    r"\s?(?:\(dot\)|\[dot\]|\{dot\}|\s+dot\s+)\s?[a-zA-Z]{2,24}\b",
    re.IGNORECASE,
)
IBAN = re.compile(r"(?<![\w-])[A-Za-z]{2}\d{2}(?:[ .-]?[A-Za-z0-9]){11,30}")
CARD = re.compile(r"(?<![\w.+-])\d(?:[ .-]?\d){12,18}(?![\w-]|\.\d)")
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
SSN = re.compile(r"(?<![\w-])\d{3}[- ]\d{2}[- ]\d{4}(?![\w-])")
INTERNATIONAL = re.compile(r"(?<![\w+])(?:\+|00(?=[1-9]))\(?\d(?:[ ()./-]{0,3}\d){6,14}(?![\w-])")
NANP = re.compile(
    r"(?<![\w.+/-])(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.-])[2-9]\d{2}[ .-]\d{4}(?![\w-]|\.\d)"
)
NATIONAL = re.compile(r"(?<![\w.+/-])\(?\d(?:[ ()-]{0,2}\d){6,11}(?![\w-]|\.\d)")
DIGIT = re.compile(r"\d")
SEVEN_DIGITS = re.compile(r"\d(?:[ ()./+-]{0,3}\d){6}")
SHORTEST_SECRET = 15
SECRET_WORDS = ("key", "secret", "token", "passw", "bearer", "://", "-----begin")
NAME_WORDS = (
    *("name is", "name:", "name :", "name's", "am called", "call me"),
    *("regards", "sincerely", "cheers", "yours"),
)
_DATE = re.compile(
    r"(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ]\d{1,2}|\d{1,2}-\d{1,2}-(?:19|20)\d\d"
)
_FILES = frozenset(
    ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "py", "json", "html", "txt")
)


@cache
def tables() -> dict[str, Any]:
    """pii.toml."""
    return tomllib.loads((Path(__file__).parent / "pii.toml").read_text("utf-8"))


class SecretShape(NamedTuple):
    """A vendor's key: its shape, words of which one is always there, and where it must stand."""

    vendor: str
    pattern: re.Pattern[str]
    hints: tuple[str, ...]
    assigned: bool

    def may_be_in(self, text: str, low: str) -> bool:
        """One cheap look; `low` is the text in lower case."""
        if self.assigned:
            return any(word in low for word in SECRET_WORDS)
        return any(hint in text for hint in self.hints)


@cache
def secrets() -> tuple[SecretShape, ...]:
    """The vendors' shapes, then any value assigned to a telling name."""
    return tuple(
        SecretShape(
            s["vendor"],
            re.compile(s["pattern"]),
            tuple(s.get("hints", ())),
            s.get("assigned", False),
        )
        for s in tables()["secret"]
    )


@cache
def context(name: str) -> re.Pattern[str]:
    """Words that must stand near a bare number, or must not."""
    return re.compile(tables()["context"][name])


@cache
def addresses() -> tuple[re.Pattern[str], ...]:
    """Street lines and post office boxes."""
    return tuple(re.compile(pattern) for pattern in tables()["address"].values())


@cache
def name() -> re.Pattern[str]:
    """A name with the words that introduce it."""
    return re.compile(tables()["name"]["pattern"], re.MULTILINE)


@cache
def not_names() -> frozenset[str]:
    """Capitalised words that follow "my name is" without being a name."""
    return frozenset(tables()["name"]["not_names"])


def placeholder(value: str) -> bool:
    """Whether documentation would write this where a secret stands."""
    low = value.lower()
    marks: list[str] = tables()["placeholder"]["words"]
    return any(mark in low for mark in marks) or len(set(low)) < 5


def random_looking(value: str) -> bool:
    """At least 3 bits of entropy a character, and digits among letters."""
    counts = Counter(value).values()
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts)
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return bits >= 3.0 and mixed


def is_email(value: str) -> bool:
    """RFC 5321 limits, a plausible last label, and not a documentation address."""
    local, _, domain = value.rpartition("@")
    labels = domain.split(".")
    last = labels[-1].lower()
    if not 1 <= len(local) <= 64 or len(value) > 254 or local.lower() == "git":
        return False
    if any(label.startswith("-") or label.endswith("-") or not label for label in labels):
        return False
    if not last.removeprefix("xn--").replace("-", "").isalnum() or any(c.isdigit() for c in last):
        return last.startswith("xn--")
    if local.lower().startswith("your") or domain.lower().startswith("your"):
        return False
    return last not in _FILES and domain.lower() not in tables()["placeholder"]["mail_domains"]


def iban_end(candidate: str) -> int | None:
    """How many characters of `candidate` are a valid IBAN (ISO 13616: length, mod 97 = 1)."""
    length = tables()["iban"].get(candidate[:2].upper())
    if length is None:
        return None
    places = [i for i, character in enumerate(candidate) if character.isalnum()]
    if len(places) < length or not candidate.isascii():
        return None
    end = places[length - 1] + 1
    if candidate[end : end + 1].isalnum():
        return None
    plain = "".join(candidate[i] for i in places[:length])
    moved = plain[4:].upper() + plain[:4].upper()
    return end if int("".join(str(int(c, 36)) for c in moved)) % 97 == 1 else None


def is_card(digits: str) -> bool:
    """In a network's range, of its length, with a right Luhn digit (ISO/IEC 7812-1)."""
    if digits in tables()["placeholder"]["cards"] or len(set(digits)) < 3:
        return False
    ranged = any(
        len(digits) in r["lengths"] and r["first"] <= digits[: len(r["first"])] <= r["last"]
        for r in tables()["card"]
    )
    total = 0
    for i, digit in enumerate(map(int, reversed(digits))):
        total += digit if i % 2 == 0 else sum(divmod(2 * digit, 10))
    return ranged and total % 10 == 0


def is_ip(value: str) -> bool:
    """A host's address: valid, not loopback, multicast, a mask or a documentation range."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if address.version == 6 and sum(bool(part) for part in value.split(":")) < 2:
        return False
    return not any(
        address in network for network in _networks() if network.version == address.version
    )


@cache
def _networks() -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(n) for n in tables()["placeholder"]["networks"])


def is_ssn(value: str) -> bool:
    """As the US Social Security Administration assigns them: no 000, 666 or 9xx, no zero group."""
    area, group, serial = re.split("[- ]", value)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_international(value: str) -> bool:
    """E.164: an assigned country code, at most 15 digits."""
    digits = re.sub(r"\D", "", value)
    digits = digits.removeprefix("00") if not value.startswith("+") else digits
    codes = tables()["phone"]
    assigned = (
        digits[:1] in codes["one"] or digits[:2] in codes["two"] or digits[:2] in codes["three"]
    )
    return assigned and 8 <= len(digits) <= 15


def is_national(value: str) -> bool:
    """7 to 12 digits that are no date and no round figure."""
    digits = re.sub(r"\D", "", value)
    if digits in "01234567890123456789" or digits.endswith("00000") or len(set(digits)) < 3:
        return False
    return 7 <= len(digits) <= 12 and not _DATE.search(value)
