"""What the checks of single rows find in a few rows, without a check of the whole dataset.

In: rows. Out: their findings. Checks that compare rows (duplicates, leakage, format drift) or
count tokens say nothing here.
"""

from collections.abc import Iterator, Sequence

from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.run import ROW_CHECKS
from tuiwb.data.rows import Row

NAMES = ("malformed", "empty", "role_order", "tool_calls", "same_answers", "pii", "injection")


def findings_of(rows: Sequence[Row]) -> Iterator[Finding]:
    """All that the row checks find in `rows`."""
    for row in rows:
        for check in ROW_CHECKS:
            yield from check(row)
