"""Rows made for the tests of single checks, and what a check says of them."""

from collections.abc import Sequence
from typing import Any

from tuiwb.data.checks.check import Check
from tuiwb.data.checks.finding import Finding
from tuiwb.data.formats import to_row
from tuiwb.data.rows import Row


def chat(user: str, assistant: str = "Here you are.", system: str | None = None) -> dict[str, Any]:
    """A record of one question and its answer."""
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    if system is not None:
        turns.insert(0, {"role": "system", "content": system})
    return {"messages": turns}


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    """A record of a preference pair."""
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def rows_of(records: Sequence[Any]) -> list[Row]:
    """Records as the rows of one file."""
    return [to_row(record, "d.jsonl", i, i + 1) for i, record in enumerate(records)]


def findings(check: Check, records: Sequence[Any], batch: int = 7) -> list[Finding]:
    """All that a check finds in the records, given in small batches."""
    rows = rows_of(records)
    found: list[Finding] = []
    for first in range(0, len(rows), batch):
        found.extend(check.add(rows[first : first + batch]))
    found.extend(check.end())
    assert all((f.file, f.line) == ("d.jsonl", f.row + 1) for f in found)
    return found


def places(found: Sequence[Finding]) -> list[tuple[int, str]]:
    """Row and kind of each finding."""
    return [(finding.row, finding.kind) for finding in found]
