"""Answers that refuse, or speak as another model does of itself."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.texts import Entry, gate, texts_of
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from re2 import _Regexp as Regexp

OPENING = 400


class Phrase(NamedTuple):
    """One kind of phrase; `words` are literals one of which every match of the pattern holds."""

    kind: str
    words: tuple[str, ...]
    start: bool
    pattern: "Regexp"


@cache
def phrases() -> tuple[Phrase, ...]:
    """The phrases of refusal.toml."""
    import re2

    options = re2.Options()
    options.case_sensitive = False
    data = tomllib.loads((Path(__file__).parent / "refusal.toml").read_text("utf-8"))
    return tuple(
        Phrase(
            phrase["kind"],
            tuple(phrase["words"]),
            phrase.get("start", False),
            re2.compile(phrase["pattern"], options),
        )
        for phrase in data["phrase"]
    )


@cache
def _gate() -> "Regexp":
    return gate([word for phrase in phrases() for word in phrase.words])


class Refusals:
    """Answers to learn from that hold a phrase; those a pair rejects or a thumb calls bad may."""

    def __init__(self) -> None:
        self._answers = 0
        self._found: dict[str, int] = {}

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """What the answers of a batch say."""
        answers = texts_of(rows).answers
        for entry in answers.holding(_gate()):
            if _learned(entry):
                yield from self._look(entry)
        self._answers += sum([_learned(entry) for entry in answers.entries])

    def end(self) -> Iterator[Finding]:
        """Nothing: each answer was looked at by itself."""
        return iter(())

    def audit(self) -> dict[str, Any]:
        """The share of answers that refuse and of those with another model's phrases."""
        if not self._answers:
            return {}
        return {
            f"{kind}_share": round(count / self._answers, 4)
            for kind, count in sorted(self._found.items())
        }

    def _look(self, entry: Entry) -> Iterator[Finding]:
        row, field, _role, text = entry
        plain = text.encode("utf-8", "replace").decode("utf-8")
        for kind, _words, start, pattern in phrases():
            match = pattern.search(plain[:OPENING] if start else plain)
            if match is None:
                continue
            if kind == "refusal" and row.tools:
                # What no tool does is refused by design: such rows teach the limits.
                kind = "refusal_beside_tools"
            self._found[kind] = self._found.get(kind, 0) + 1
            if kind == "refusal_beside_tools":
                return
            what = "refuses" if kind == "refusal" else "speaks as another model does"
            yield found(
                row, "refusal", f"{field} {what}: “{quote(match[0])}”",
                field=field, start=match.start(), end=match.end(), kind=kind, text=match[0],
            )  # fmt: skip
            return


def refusal(row: Row) -> Iterator[Finding]:
    """The phrases in one row's answers."""
    return Refusals().add([row])


def _learned(entry: Entry) -> bool:
    row, field, _role, _text = entry
    if row.shape == "chat":
        return True
    if row.shape == "kto":
        return bool(row.label) and field.startswith("completion")
    return not field.startswith("rejected")
