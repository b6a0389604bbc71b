"""What a dataset holds, in numbers: formats, turns, sizes. Finds nothing, only counts."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tuiwb.data.checks.finding import Finding, quote
from tuiwb.data.rows import Row

# Roles that are told apart: templates know a dozen, hostile rows name one each.
MOST_ROLES = 50
OTHER_ROLES = "other roles"
LONGEST = 100


class Overview:
    """Counts formats, shapes, turns by role, labels, and characters a row."""

    def __init__(self) -> None:
        self._formats: Counter[str] = Counter()
        self._shapes: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._characters = array("Q")

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Count the next rows."""
        for row in rows:
            self._formats[row.format] += 1
            self._shapes[row.shape] += 1
            if row.shape == "broken":
                continue
            characters = 0
            for _field, role, text in row.fields():
                self._roles[self._known(role or "text")] += 1
                characters += len(text)
            self._characters.append(characters)
            if row.label is not None:
                self._labels["good" if row.label else "bad"] += 1
        return iter(())

    def _known(self, role: str) -> str:
        """The role as it is counted: one of the first MOST_ROLES, or one of the others."""
        role = role[:LONGEST]
        return role if role in self._roles or len(self._roles) < MOST_ROLES else OTHER_ROLES

    def end(self) -> Iterator[Finding]:
        """Counts find nothing."""
        return iter(())

    def audit(self) -> dict[str, Any]:
        """formats, shapes, turns, labels (KTO) with their counts; characters: median, p95, most."""
        sizes = sorted(self._characters) or [0]
        turns: Counter[str] = Counter()
        for role, count in self._roles.items():
            turns[quote(role) or "blank"] += count
        return {
            "formats": dict(self._formats),
            "shapes": dict(self._shapes),
            "turns": turns,
            "characters": {
                "median": sizes[len(sizes) // 2],
                "p95": sizes[int(0.95 * (len(sizes) - 1))],
                "longest": sizes[-1],
            },
            **({"labels": dict(self._labels)} if self._labels else {}),
        }
