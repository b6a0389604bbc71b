"""Texts that give the model orders it should not take from there."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.rows import Row

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


@cache
def cues() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Kind and pattern of each cue, from injection.toml."""
    data = tomllib.loads((Path(__file__).parent / "injection.toml").read_text("utf-8"))
    return tuple((cue["kind"], re.compile(cue["pattern"], re.IGNORECASE)) for cue in data["cue"])


@cache
def _any() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p.pattern})" for _, p in cues()), re.IGNORECASE)


def injection(row: Row) -> Iterator[Finding]:
    """Sentences of users, tools and plain text that hold a cue phrase of prompt injection."""
    for field, role, text in row.fields():
        if role in ("system", "developer", "assistant") or not _any().search(text):
            continue
        for sentence in _SENTENCE.finditer(text):
            kind = next((k for k, cue in cues() if cue.search(sentence[0])), None)
            if kind is not None:
                said = sentence[0].strip()
                start = sentence.start() + sentence[0].index(said)
                yield found(
                    row, "injection", f"{field} reads like prompt injection: “{quote(said)}”",
                    field=field, start=start, end=start + len(said), kind=kind, text=said,
                )  # fmt: skip
