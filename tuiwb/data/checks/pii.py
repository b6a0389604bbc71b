"""Personal data and secrets, with their spans: a candidate by shape, confirmed by its own rule.

Names are found only where words introduce them ("my name is"); a name in running text is missed.
"""

import re
from collections.abc import Iterator
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
    for find in (_secrets, _emails, _ibans, _cards, _ips, _national_ids, _phones, _places, _names):
        for span in find(text):
            if all(span.end <= other.start or span.start >= other.end for other in taken):
                taken.append(span)
    return sorted(taken)


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
    if not rules.secret_hint().search(text):
        return
    for vendor, pattern, assigned in rules.secrets():
        for match in pattern.finditer(text):
            group = "key" if "key" in pattern.groupindex and match["key"] else 0
            value = match[group].rstrip(".,;")
            if rules.placeholder(value) or (assigned and not rules.random_looking(value)):
                continue
            start = match.start(group)
            yield Span(start, start + len(value), "secret", vendor)


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for match in rules.EMAIL.finditer(text):
            value = match[0].rstrip(".-")
            if rules.is_email(value) and text[match.start() + len(value) :][:1] != ":":
                yield Span(match.start(), match.start() + len(value), "email")
    for match in rules.SPELLED_EMAIL.finditer(text):
        yield Span(match.start(), match.end(), "email")


def _ibans(text: str) -> Iterator[Span]:
    for match in rules.IBAN.finditer(text):
        end = rules.iban_end(match[0])
        if end is not None:
            yield Span(match.start(), match.start() + end, "iban")


def _cards(text: str) -> Iterator[Span]:
    for match in rules.CARD.finditer(text):
        if rules.is_card(re.sub(r"\D", "", match[0])):
            yield Span(match.start(), match.end(), "card")


def _ips(text: str) -> Iterator[Span]:
    for pattern in (rules.IPV4, rules.IPV6):
        for match in pattern.finditer(text):
            before = text[max(0, match.start() - 12) : match.start()]
            if rules.is_ip(match[0]) and not rules.context("version").search(before):
                yield Span(match.start(), match.end(), "ip")


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
