"""Whether a dataset is large enough for its use, and whether one thing outweighs the rest."""

import tomllib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tuiwb.data.checks.empty import blank
from tuiwb.data.checks.finding import Finding, quote
from tuiwb.data.checks.places import Places
from tuiwb.data.checks.texts import texts_of
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput
from tuiwb.text import counted

ONE_LABEL = 0.8
ONE_ANSWER = 0.3
ENOUGH = 50


@cache
def uses() -> dict[str, dict[str, Any]]:
    """The sizing table: each use with its least and most rows, from sizing.toml."""
    return tomllib.loads((Path(__file__).parent / "sizing.toml").read_text("utf-8"))


class Sizing:
    """Counts rows against the sizing table; `use` is one of its uses, or None if none is chosen.

    Without a use the size is no finding: the audit says which uses it suits. Findings about the
    whole dataset stand at its first row.
    """

    def __init__(self, use: str | None = None) -> None:
        if use is not None and use not in uses():
            raise BadInput(f"unknown use {use!r}: one of {', '.join(uses())}")
        self._use = use
        self._places = Places()
        self._answers = array("q")
        self._shapes: Counter[str] = Counter()
        self._labels: Counter[bool] = Counter()
        self._turns: Counter[int] = Counter()
        self._offered: set[str] = set()
        self._called: Counter[str] = Counter()
        self._offering = self._calling = 0

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Count the rows of a batch; broken ones can't be trained on and don't count."""
        said = texts_of(rows).said
        self._places.extend([row for row, _, _ in said], [a[0] if a else "" for _, _, a in said])
        self._answers.extend(
            [0 if a is None or blank(a[1]) else hash(a[1].strip()) for _, _, a in said]
        )
        self._shapes.update([row.shape for row, _, _ in said])
        self._labels.update([row.label for row, _, _ in said if row.label is not None])
        for row, _, _ in said:
            self._count_turns(row)
        return iter(())

    def _count_turns(self, row: Row) -> None:
        calls = answers = 0
        for message in row.messages or ():
            if message.role == "assistant":
                answers += 1
                if message.tool_calls:
                    calls += 1
                    self._called.update(map(_name, message.tool_calls))
        if row.messages is not None:
            self._turns[answers] += 1
        if row.tools:
            self._offering += 1
            self._offered.update(map(_name, row.tools))
        self._calling += calls > 0

    @property
    def rows(self) -> int:
        """Rows that can be trained on."""
        return len(self._places)

    def end(self) -> Iterator[Finding]:
        """Too few rows for the chosen use, one label or one answer that outweighs the others."""
        if not self.rows:
            return
        if self._use is not None and self.rows < (least := uses()[self._use]["least"]):
            need = uses()[self._use]
            yield self._places.found(
                0,
                "sizing",
                f"{self._rows_are()} few for {need['words']}: {least} to {need['most']} "
                f"{need['unit']} are usual",
                kind="too_small",
                field="",
                score=float(self.rows),
            )
        yield from self._one_sided()
        yield from self._one_answer()

    def _one_sided(self) -> Iterator[Finding]:
        labels = self._labels.total()
        if labels < ENOUGH:
            return
        label, count = self._labels.most_common(1)[0]
        if count > ONE_LABEL * labels:
            yield self._places.found(
                0,
                "sizing",
                f"{count} of {labels} answers are marked {'good' if label else 'bad'}: weigh the "
                "two sides (TRL's desirable_weight, undesirable_weight) or add to the other",
                kind="one_sided",
                field="label",
                score=round(count / labels, 4),
            )

    def _one_answer(self) -> Iterator[Finding]:
        import numpy as np

        answers = np.array(self._answers)
        answered = answers[answers != 0]
        if len(answered) < ENOUGH:
            return
        values, counts = np.unique(answered, return_counts=True)
        top = int(counts.argmax())
        if counts[top] > ONE_ANSWER * len(answered):
            first = int(np.flatnonzero(answers == values[top])[0])
            yield self._places.found(
                first,
                "sizing",
                f"{counts[top]} of {len(answered)} answers are this very one: a model that always "
                "gives it would be right as often",
                kind="one_answer",
                score=round(float(counts[top] / len(answered)), 4),
            )

    def audit(self) -> dict[str, Any]:
        """Which uses the size suits, and what the rows are like."""
        use = self._use or ("preference" if self._only_preferences() else None)
        suits = [
            name
            for name, need in uses().items()
            if (name == "preference") == self._only_preferences() and self.rows >= need["least"]
        ]
        audit: dict[str, Any] = {"rows": self.rows, "use": use, "suits": suits}
        if self.rows and not suits and self._use is None:
            possible = [uses()[use]] if use else list(uses().values())
            need = min(possible, key=lambda entry: int(entry["least"]))
            audit["note"] = (
                f"{self._rows_are()} fewer than the {need['least']:,} {need['unit']} that "
                f"{need['words']} takes"
            )
        if self._labels:
            audit["good_share"] = round(self._labels[True] / self._labels.total(), 4)
        if self._turns:
            audit["single_turn_share"] = round(self._turns[1] / self._turns.total(), 4)
        if self._offering:
            audit["tools"] = {
                "rows_that_offer": self._offering,
                "rows_that_call": self._calling,
                "offered": len(self._offered),
                "never_called": sorted(self._offered - self._called.keys())[:20],
                "most_called": dict(self._called.most_common(5)),
            }
        return audit

    def _rows_are(self) -> str:
        return f"{counted(self.rows, 'row')} {'is' if self.rows == 1 else 'are'}"

    def _only_preferences(self) -> bool:
        pairs = self._shapes["preference"] + self._shapes["kto"]
        return self.rows > 0 and pairs == self.rows


def _name(tool: dict[str, Any]) -> str:
    """The name of a tool, offered or called, as a report can hold it."""
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, dict) else None
    return quote(str(name).encode("utf-8", "replace").decode("utf-8"))
