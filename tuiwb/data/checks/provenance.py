"""Too few rows that people wrote: a model trained on models' words drifts from the real ones."""

from collections.abc import Iterator, Sequence
from typing import Any

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.provenance import SYNTHETIC, HumanShare, human_share, provenance_of
from tuiwb.data.rows import Row

CHECK = "synthetic_share"
FEW = 0.2
HARDLY_ANY = 0.1


class SyntheticShare:
    """Counts rows by the origin they name; one finding at the first synthetic row."""

    def __init__(self) -> None:
        self._counted = HumanShare(rows=0, synthetic=0, unmarked=0)
        self._first: Row | None = None

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Count these rows; what they add up to is known at the end."""
        counted = human_share(rows)
        if counted.synthetic and self._first is None:
            self._first = next(row for row in rows if _synthetic(row))
        self._counted = HumanShare(
            rows=self._counted.rows + counted.rows,
            synthetic=self._counted.synthetic + counted.synthetic,
            unmarked=self._counted.unmarked + counted.unmarked,
        )
        return iter(())

    def end(self) -> Iterator[Finding]:
        """A warning under 20% human rows, an error under 10%."""
        counted = self._counted
        if self._first is None or counted.share >= FEW:
            return
        yield found(
            self._first,
            CHECK,
            f"{counted.synthetic} of {counted.rows} rows are synthetic, only "
            f"{counted.share:.0%} are people's: mix in real rows, at least {FEW:.0%}",
            severity="error" if counted.share < HARDLY_ANY else "warning",
            score=round(counted.share, 4),
        )

    def audit(self) -> dict[str, Any]:
        """Rows by origin, and the share of human ones."""
        counted = self._counted
        return {
            "human_share": round(counted.share, 4),
            "rows": counted.rows,
            "synthetic": counted.synthetic,
            "unmarked": counted.unmarked,
        }


def _synthetic(row: Row) -> bool:
    if row.shape == "broken":
        return False
    origin = provenance_of(row)
    return origin is not None and origin["kind"] == SYNTHETIC
