"""What checks say without the secrets that they quote: the last thing before a report.

In: findings, audits, short texts. Out: the same with every secret that the PII rules find masked.
Only what is said is looked at, never the rows again; so what a quotation cuts off amid a value is
masked where it looks random, for half a key no longer has its shape.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.pii.check import masked
from tuiwb.data.checks.pii.find import finder
from tuiwb.data.checks.pii.secret import random_looking

# A quoted key's body goes on to the mark at its end, or as far as it is quoted.
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
# Keys are ASCII without spaces and quotes.
_RUN = re.compile(r"[!#-&(-~]{10,}")
# Checks whose texts are cut without a sign: after so many characters, at the end of a sentence.
_CUTTING = frozenset(("malformed", "injection"))
_REMEMBERED, _SHORT = 4096, 2000
_BESIDE = 60

Spans = tuple[tuple[int, int], ...]


def masked_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings without secrets in what they say; those of the PII check are masked already."""
    for finding in findings:
        if finding.check == "pii":
            yield finding
            continue
        sentence, text = without_secrets(finding.sentence), finding.text
        if text:
            secrets = secrets_in(text, finding.check in _CUTTING)
            for start, end in secrets:
                # The words around it, which may have given it away, need not be in the sentence.
                sentence = sentence.replace(text[start:end], masked(text[start:end]))
            text = _without(text, secrets)
        if sentence != finding.sentence or text != finding.text:
            finding = replace(finding, sentence=sentence, text=text)
        yield finding


def masked_audit(value: Any) -> Any:
    """An audit without secrets in its strings and its keys."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {masked_audit(key): masked_audit(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_audit(inner) for inner in value]
    return value


def without_secrets(text: str) -> str:
    """The text with each secret as at most its first 4 characters and its length."""
    return _without(text, secrets_in(text))


def _without(text: str, secrets: Spans) -> str:
    pieces, at = [], 0
    for start, end in secrets:
        pieces += [text[at:start], masked(text[start:end])]
        at = end
    return "".join((*pieces, text[at:])) if pieces else text


def masked_part(text: str, start: int, end: int) -> str | None:
    """text[start:end] on one line with what belongs to a secret masked; None without a secret.

    A secret is known by what it stands beside, so its neighbours are looked at too.
    """
    first, last = max(0, start - _BESIDE), end + _BESIDE
    pieces, at = [], start
    for begin, stop in _secrets(text[first:last]):
        begin, stop = first + begin, first + stop
        if begin < end and stop > start:
            pieces += [text[at:begin], masked(text[begin:stop])]
            at = stop
    return " ".join("".join((*pieces, text[at:end])).split()) if pieces else None


def secrets_in(text: str, cut: bool = False) -> Spans:
    """Where secrets stand in a text, halves at its cut ends among them; none overlap."""
    return _remembered(text, cut) if len(text) <= _SHORT else _secrets(text, cut)


@lru_cache(_REMEMBERED)
def _remembered(text: str, cut: bool) -> Spans:
    return _secrets(text, cut)


def _secrets(text: str, cut: bool = False) -> Spans:
    found = [(span.start, span.end) for span in finder().spans(text) if span.kind == "secret"]
    found.extend(_private_keys(text))
    ends = (0, len(text)) if cut else ()
    for run in _RUN.finditer(text):
        half = text[run.end() : run.end() + 1] == "…" or run.start() in ends or run.end() in ends
        if half and random_looking(run[0]):
            found.append(run.span())
    return tuple(_joined(sorted(found)))


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (key := _PRIVATE_KEY.search(text, at)) is not None:
        end = _KEY_END.search(text, key.start())
        at = end.end() if end else len(text)
        yield key.start(), at


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, those that overlap as one."""
    last: tuple[int, int] | None = None
    for start, end in spans:
        if last is not None and start < last[1]:
            last = last[0], max(end, last[1])
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last
