"""Texts that give the model orders it should not take from there, in words or hidden."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.hidden import HIDDEN, encoded_words, hidden
from tuiwb.data.checks.texts import GATE_MEMORY, Entry, gate, texts_of
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from re2 import _Regexp as Regexp

SENTENCE_ENDS = ".!?。！？\n"
LONGEST = 400
# Findings in one text; beyond them the last one says how many more there are.
MOST = 50


class Cue(NamedTuple):
    """One kind of order; `words` are literals one of which every match of the pattern holds."""

    kind: str
    words: tuple[str, ...]
    roles: frozenset[str]
    pattern: "Regexp"


@cache
def cues() -> tuple[Cue, ...]:
    """The cues of injection.toml."""
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = GATE_MEMORY
    data = tomllib.loads((Path(__file__).parent / "injection.toml").read_text("utf-8"))
    return tuple(
        Cue(
            cue["kind"],
            tuple(cue["words"]),
            frozenset(cue.get("roles", ())),
            re2.compile(f"(?m){cue['pattern']}", options),
        )
        for cue in data["cue"]
    )


@cache
def _gates() -> tuple["Regexp", "Regexp", "Regexp"]:
    """What no cue for all, no cue for tools and no hidden text passes without."""
    import re2

    words: tuple[list[str], list[str]] = ([], [])
    for cue in cues():
        words[bool(cue.roles)].extend(cue.words)
    return (
        gate(words[0], exact=list(encoded_words())),
        gate(words[1]),
        re2.compile(HIDDEN.encode()),
    )


class Injection:
    """Sentences of users, tools and plain text that hold a cue phrase; hidden text in any turn."""

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """What the texts of a batch hold."""
        texts = texts_of(rows)
        for_all, for_tools, hiding = _gates()
        seen: set[tuple[int, str]] = set()
        for entry in (*texts.untrusted.holding(for_all), *texts.tools.holding(for_tools)):
            key = (entry[0].index, entry[1])
            if key not in seen:
                seen.add(key)
                yield from orders(entry)
                yield from _payload(entry)
        for entry in texts.beyond_ascii.holding(hiding):
            yield from _hidden(entry)

    def end(self) -> Iterator[Finding]:
        """Nothing: each row was looked at by itself."""
        return iter(())


def injection(row: Row) -> Iterator[Finding]:
    """What one row's texts hold."""
    return Injection().add([row])


def orders(entry: Entry) -> Iterator[Finding]:
    """The sentences of a text that hold a cue, each once, with the first kind that fits."""
    row, field, role, text = entry
    plain = text.encode("utf-8", "replace").decode("utf-8")
    lower = " ".join(plain.lower().split())
    spans: dict[tuple[int, int], str] = {}
    for cue in cues():
        if (cue.roles and role not in cue.roles) or not any(w in lower for w in cue.words):
            continue
        for match in cue.pattern.finditer(plain):
            spans.setdefault(_sentence(plain, *match.span()), cue.kind)
    first = sorted(spans.items())[:MOST]
    for n, ((start, end), kind) in enumerate(first, 1):
        said = text[start:end]
        more = f", and {len(spans) - MOST} more after it" if n == MOST < len(spans) else ""
        yield found(
            row, "injection", f"{field} reads like prompt injection: “{quote(said)}”{more}",
            field=field, start=start, end=end, kind=kind, text=said,
        )  # fmt: skip


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence around a match, no longer than LONGEST on either side."""
    first = start
    while first > max(0, start - LONGEST) and text[first - 1] not in SENTENCE_ENDS:
        first -= 1
    last = end
    while last < min(len(text), end + LONGEST) and text[last] not in SENTENCE_ENDS:
        last += 1
    while last < len(text) and text[last] in SENTENCE_ENDS and text[last] != "\n":
        last += 1
    while first < start and text[first].isspace():
        first += 1
    while last > end and text[last - 1].isspace():
        last -= 1
    return first, last


def _payload(entry: Entry) -> Iterator[Finding]:
    row, field, _role, text = entry
    for code, (word, coding) in encoded_words().items():
        if (start := text.find(code)) >= 0:
            yield found(
                row, "injection", f"{field} holds the word “{word}” in {coding}",
                field=field, start=start, end=start + len(code), kind="encoded", text=code,
            )  # fmt: skip
            return


def _hidden(entry: Entry) -> Iterator[Finding]:
    row, field, _role, text = entry
    runs = list(hidden(text))
    for n, (start, end, what, says) in enumerate(runs[:MOST], 1):
        saying = f" that says “{quote(says)}”" if says else ""
        more = f", and {len(runs) - MOST} more runs after it" if n == MOST < len(runs) else ""
        yield found(
            row, "injection", f"{field} holds {what}{saying}{more}",
            field=field, start=start, end=end, kind="hidden", text=says or text[start:end],
        )  # fmt: skip
