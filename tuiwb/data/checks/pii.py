"""Personal data and secrets, with their spans: a candidate by shape, confirmed by its own rule.

Names are found only where words introduce them ("my name is"); a name in running text is missed.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tuiwb.data.checks import pii_rules as rules
from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.rows import Row

WORDS = {
    "email": "an e-mail address",
    "phone": "a phone number",
    "card": "a payment card's number",
    "iban": "an IBAN",
    "ip": "an IP address",
    "secret": "a secret",
    "name": "a person's name",
    "address": "a postal address",
    "national_id": "a national id",
}


class Span(NamedTuple):
    """A stretch of text and what it is."""

    start: int
    end: int
    kind: str
    note: str = ""


def spans(text: str) -> list[Span]:
    """Every piece of personal data or secret in `text`, in order, none overlapping."""
    taken: list[Span] = []
    for find in _worth_trying(text):
        for span in find(text):
            if all(span.end <= other.start or span.start >= other.end for other in taken):
                taken.append(span)
    return sorted(taken)


def _worth_trying(text: str) -> Iterator[Callable[[str], Iterator[Span]]]:
    """The finders whose cheapest needs the text meets: most texts are clean of most kinds."""
    low = text.lower()
    longest = max(map(len, text.split()), default=0)
    if longest >= rules.SHORTEST_SECRET or any(word in low for word in rules.SECRET_WORDS):
        yield _secrets
    if "@" in text or "dot" in low:
        yield _emails
    if rules.DIGIT.search(text):
        yield _ibans
        if rules.SEVEN_DIGITS.search(text):
            yield _cards
        if text.count(".") > 2:
            yield _ips
        if rules.SEVEN_DIGITS.search(text):
            yield from (_national_ids, _phones)
        yield _places
    if text.count(":") > 1:
        yield _ips6
    if any(word in low for word in rules.NAME_WORDS):
        yield _names


def pii(row: Row) -> Iterator[Finding]:
    """A finding for each span in each text of the row."""
    for field, _role, text in row.fields():
        for span in spans(text):
            said = text[span.start : span.end]
            shown = "a secret" if span.kind == "secret" else WORDS[span.kind]
            what = f"{span.note} ({shown})" if span.note else shown
            rest = "" if span.kind == "secret" else f": {quote(said)}"
            yield found(
                row, "pii", f"{field} holds {what}{rest}", field=field, kind=span.kind,
                start=span.start, end=span.end, text=said,
                severity="error" if span.kind == "secret" else "warning",
            )  # fmt: skip


def _secrets(text: str) -> Iterator[Span]:
    low = text.lower()
    for shape in rules.secrets():
        if not shape.may_be_in(text, low):
            continue
        for match in shape.pattern.finditer(text):
            group = "key" if "key" in shape.pattern.groupindex else 0
            value = match[group].rstrip(".,;")
            if rules.placeholder(value) or (shape.assigned and not rules.random_looking(value)):
                continue
            start = match.start(group)
            yield Span(start, start + len(value), "secret", shape.vendor)


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for match in rules.EMAIL.finditer(text):
            value = match[0].rstrip(".-").lstrip("'`*{|/=")
            start = match.end() - len(match[0].lstrip("'`*{|/="))
            if rules.is_email(value) and text[start + len(value) :][:1] != ":":
                yield Span(start, start + len(value), "email")
    for match in rules.SPELLED_EMAIL.finditer(text):
        yield Span(match.start(), match.end(), "email")


def _ibans(text: str) -> Iterator[Span]:
    for match in rules.IBAN.finditer(text):
        end = rules.iban_end(match[0])
        if end is not None:
            yield Span(match.start(), match.start() + end, "iban")


def _cards(text: str) -> Iterator[Span]:
    for match in rules.CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        near = text[max(0, match.start() - 40) : match.start()]
        bare = digits == match[0] and len(digits) not in (15, 16)
        if rules.is_card(digits) and (not bare or rules.context("card").search(near)):
            yield Span(match.start(), match.end(), "card")


def _ips(text: str, shape: re.Pattern[str] = rules.IPV4) -> Iterator[Span]:
    for match in shape.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if rules.is_ip(match[0]) and not rules.context("version").search(before):
            yield Span(match.start(), match.end(), "ip")


def _ips6(text: str) -> Iterator[Span]:
    return _ips(text, rules.IPV6)


def _national_ids(text: str) -> Iterator[Span]:
    for match in rules.SSN.finditer(text):
        near = text[max(0, match.start() - 60) : match.start()]
        if rules.is_ssn(match[0]) and (
            "-" in match[0] or rules.context("national_id").search(near)
        ):
            yield Span(match.start(), match.end(), "national_id", "US social security number")


def _phones(text: str) -> Iterator[Span]:
    for match in rules.INTERNATIONAL.finditer(text):
        if rules.is_international(match[0]):
            yield Span(match.start(), match.end(), "phone")
    for match in rules.NANP.finditer(text):
        yield Span(match.start(), match.end(), "phone")
    for match in rules.NATIONAL.finditer(text):
        near = text[max(0, match.start() - 40) : match.start()]
        if rules.is_national(match[0]) and rules.context("phone").search(near):
            yield Span(match.start(), match.end(), "phone")


def _places(text: str) -> Iterator[Span]:
    for pattern in rules.addresses():
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), "address")


def _names(text: str) -> Iterator[Span]:
    for match in rules.name().finditer(text):
        if match["name"].split()[0] not in rules.not_names():
            yield Span(match.start("name"), match.end("name"), "name")
