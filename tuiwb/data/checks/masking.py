"""What checks say without the secrets that they quote: the last thing before a report.

In: findings, audits, short texts. Out: the same with every secret that the PII rules find masked.
Only what is said is looked at, never the rows again; so what a quotation cuts off amid a value is
masked where it looks random, for half a key no longer has its shape.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
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
_BESIDE = 60
_TOGETHER = 2000

Spans = list[tuple[int, int]]


def masked_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings without secrets in what they say; those of the PII check are masked already."""
    findings = iter(findings)
    while some := list(islice(findings, _TOGETHER)):
        said = {f.sentence for f in some if f.check != "pii"}
        said |= {f.text for f in some if f.check != "pii" and f.text}
        secrets = dict(zip(said, _keys(list(said)), strict=True))
        for finding in some:
            yield finding if finding.check == "pii" else _masked(finding, secrets)


def _masked(finding: Finding, secrets: dict[str, Spans]) -> Finding:
    sentence, text = finding.sentence, finding.text
    hidden = _joined(secrets[sentence] + _halves(sentence, cut=False))
    shown = _without(sentence, hidden) if hidden else sentence
    if text:
        hidden = _joined(secrets[text] + _halves(text, cut=finding.check in _CUTTING))
        for start, end in hidden:
            # The words around it, which may have given it away, need not be in the sentence.
            shown = shown.replace(text[start:end], masked(text[start:end]))
        text = _without(text, hidden) if hidden else text
    if shown == sentence and text == finding.text:
        return finding
    return replace(finding, sentence=shown, text=text)


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
    return _without(text, _joined(_keys([text])[0] + _halves(text, cut=False)))


def masked_parts(parts: Sequence[tuple[str, int, int]]) -> list[str | None]:
    """text[start:end] of each on one line, secrets masked; None where it has no part of one.

    A secret is known by what it stands beside, so its neighbours are looked at too.
    """
    shown: list[str | None] = []
    beside = [(max(0, start - _BESIDE), end + _BESIDE) for _text, start, end in parts]
    windows = [part[0][first:last] for part, (first, last) in zip(parts, beside, strict=True)]
    found = _keys(windows)
    for (text, start, end), (first, _last), secrets in zip(parts, beside, found, strict=True):
        inside = [(first + a, first + b) for a, b in _joined(secrets)]
        inside = [(a, b) for a, b in inside if a < end and b > start]
        one_line = _without(text[:end], inside, start) if inside else ""
        shown.append(" ".join(one_line.split()) if inside else None)
    return shown


def _without(text: str, secrets: Spans, at: int = 0) -> str:
    pieces = []
    for start, end in secrets:
        pieces += [text[at:start], masked(text[start:end])]
        at = end
    return "".join((*pieces, text[at:]))


def _keys(texts: Sequence[str]) -> list[Spans]:
    """Where the whole secrets of each text stand."""
    found: list[Spans] = []
    for text, spans in zip(texts, finder().spans_of(texts), strict=True):
        secrets = [(span.start, span.end) for span in spans if span.kind == "secret"]
        found.append([*secrets, *_private_keys(text)])
    return found


def _halves(text: str, *, cut: bool) -> Spans:
    """What may be half a secret: before an ellipsis, and at the ends of a text that is cut."""
    if not cut and "…" not in text:
        return []
    ends = (0, len(text)) if cut else ()
    found = []
    for run in _RUN.finditer(text):
        half = text[run.end() : run.end() + 1] == "…" or run.start() in ends or run.end() in ends
        if half and random_looking(run[0]):
            found.append(run.span())
    return found


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (key := _PRIVATE_KEY.search(text, at)) is not None:
        end = _KEY_END.search(text, key.start())
        at = end.end() if end else len(text)
        yield key.start(), at


def _joined(spans: Spans) -> Spans:
    """The spans in order, those that overlap as one."""
    joined: Spans = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
