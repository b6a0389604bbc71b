"""Control tokens of chat templates in the text of rows, where the template should write them.

Works without a model; with one it tells the model's own marks from those of another family.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.render import ModelFacts
from tuiwb.data.rows import Row


@cache
def families() -> dict[str, str]:
    """The family of each control token, from chat_marks.toml."""
    data = tomllib.loads((Path(__file__).parent / "chat_marks.toml").read_text("utf-8"))
    return {mark: family["name"] for family in data["family"] for mark in family["marks"]}


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile("|".join(re.escape(mark) for mark in families()))


@cache
def _begins() -> tuple[str, ...]:
    """The first two characters of the marks: searched for first, they are seldom there."""
    return tuple(sorted({mark[:2] for mark in families()}))


class ControlTokens:
    """Finds control tokens in turns, and in plain text those that the model does not know.

    Plain text may be a chat that was rendered beforehand, so marks are looked at there only with
    a model: `facts` is what the sidecar describes, None without one.
    """

    def __init__(self, facts: ModelFacts | None = None) -> None:
        self._own = None if facts is None else set(facts.control_tokens)
        self._rows: Counter[str] = Counter()

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """The first mark of each field, and how many follow."""
        for row in rows:
            if row.shape != "text":
                yield from self._look(row)
            elif self._own is not None:
                yield from self._look(row, foreign_only=True)

    def end(self) -> Iterable[Finding]:
        """Nothing: each row was looked at by itself."""
        return ()

    def audit(self) -> dict[str, Any]:
        """Rows that hold marks of each family."""
        return {"families": dict(self._rows.most_common())}

    def _look(self, row: Row, foreign_only: bool = False) -> Iterator[Finding]:
        seen = set()
        for field, _role, text in row.fields():
            if "<" not in text and "[" not in text:
                continue
            if not any(begin in text for begin in _begins()):
                continue
            marks = [
                match
                for match in _pattern().finditer(text)
                if not (foreign_only and self._own is not None and match[0] in self._own)
            ]
            seen |= {families()[match[0]] for match in marks}
            if marks:
                yield self._finding(row, field, marks)
        self._rows.update(seen)

    def _finding(self, row: Row, field: str, marks: list[re.Match[str]]) -> Finding:
        first = marks[0]
        family = families()[first[0]]
        if self._own is None:
            why = "the template writes these, text should not: the model may read a turn's end here"
        elif first[0] in self._own:
            why = "it is this model's own, so the tokenizer reads a turn's end or start here"
        else:
            why = "this model knows no such token and learns to spell it out"
        more = f" and {len(marks) - 1} more" if len(marks) > 1 else ""
        return found(
            row,
            "template",
            f"{field} holds {quote(first[0])}{more}, a control token of {family}: {why}",
            field=field,
            start=first.start(),
            end=first.end(),
            kind="control_token",
            text=first[0],
        )
