"""Where rows come from: the column that says so, and the share of rows people wrote. Pure.

`provenance` of a generated row: {"kind": "synthetic", "model", "prompt_sha256", "seeds" (row
numbers in the seed file, from 0), "created" (UTC, ISO 8601), "batch" (number of the request)}.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from tuiwb.data.rows import Row

COLUMN = "provenance"
SYNTHETIC = "synthetic"


class HumanShare(msgspec.Struct, kw_only=True):
    """Rows by origin. Rows that say nothing (`unmarked`) count as human: nobody can tell."""

    rows: int
    synthetic: int
    unmarked: int

    @property
    def human(self) -> int:
        """Rows that are not marked synthetic."""
        return self.rows - self.synthetic

    @property
    def share(self) -> float:
        """Human rows of all, 0 to 1; 1 for no rows."""
        return self.human / self.rows if self.rows else 1.0


def provenance_of(row: Row) -> dict[str, Any] | None:
    """What a row says of its origin, from an object or its JSON (CSV, Parquet); None: nothing."""
    value = row.tags.get(COLUMN)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
    return value if isinstance(value, dict) and isinstance(value.get("kind"), str) else None


def human_share(rows: Iterable[Row]) -> HumanShare:
    """Count rows by origin; broken rows are no rows to train on and count for nothing."""
    total = synthetic = unmarked = 0
    for row in rows:
        if row.shape == "broken":
            continue
        total += 1
        origin = provenance_of(row)
        if origin is None:
            unmarked += 1
        elif origin["kind"] == SYNTHETIC:
            synthetic += 1
    return HumanShare(rows=total, synthetic=synthetic, unmarked=unmarked)
