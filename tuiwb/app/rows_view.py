"""Which rows of a dataset the Data screen shows, in which order: filter, findings, sort."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuiwb.data.checks.finding import Finding
from tuiwb.data.columns import RowColumns
from tuiwb.data.found import FoundRows
from tuiwb.data.query import Query, parse
from tuiwb.data.search import ordered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RowsView:
    """Row numbers at table positions. Change a field through its method, then read `shown`."""

    def __init__(self) -> None:
        self.total = 0
        self.query: Query = parse("")
        self.by, self.descending = "row", False
        self.only_found = False
        self.searched = True
        self.columns: RowColumns | None = None
        self.found: FoundRows | None = None
        self._picked: list[int] | None = None
        self.shown: NDArray[np.int64] | range = range(0)

    def grow(self, total: int) -> None:
        """So many rows are there now."""
        if total != self.total:
            self.total = total
            self.order()

    def report(self, found: FoundRows | None, columns: RowColumns | None) -> None:
        """What the newest check found."""
        self.found, self.columns = found, columns
        self.order()

    def findings(self, row: int) -> Sequence[Finding]:
        """What was found in a row."""
        return self.found.get(row, ()) if self.found is not None else ()

    def filter(self, query: Query) -> None:
        """Show only what matches; matches are told by `match` as the search goes on."""
        self.query = query
        self._picked = [] if query.tests else None
        self.searched = not query.tests
        self.order()

    def match(self, rows: list[int], done: bool) -> None:
        """The rows the filter found so far, in file order."""
        self._picked, self.searched = rows, done
        self.order()

    def sort(self, by: str, descending: bool) -> None:
        """Another order."""
        self.by, self.descending = by, descending
        self.order()

    def clear(self) -> None:
        """All rows again, in the order that was chosen."""
        self.only_found = False
        self.filter(parse(""))

    @property
    def narrowed(self) -> bool:
        """Whether some rows are left out."""
        return self._picked is not None or self.only_found

    def order(self) -> None:
        """Work out what is shown."""
        import numpy as np

        rows = None if self._picked is None else np.array(self._picked, np.int64)
        if self.only_found:
            found = np.empty(0, np.int64) if self.found is None else self.found.numbers(self.total)
            rows = found if rows is None else np.intersect1d(rows, found)
        self.shown = ordered(rows, self.by, self.descending, self.total, self.columns, self.found)

    def row_at(self, position: int) -> int:
        """The number of the row at a table position."""
        return int(self.shown[position])

    def position_of(self, row: int) -> int | None:
        """Where a row stands; None when it is not shown."""
        import numpy as np

        if isinstance(self.shown, range):
            return self.shown.index(row) if row in self.shown else None
        at = np.flatnonzero(self.shown == row)
        return int(at[0]) if len(at) else None

    def near(self, row: int) -> int:
        """The position of a row, or of the one that would follow it."""
        at = self.position_of(row)
        if at is not None:
            return at
        return min(bisect_left(self.shown, row), max(0, len(self.shown) - 1))

    def finding_from(self, position: int, by: int) -> int | None:
        """The position of the next row with a finding (or the one before), around the ends."""
        import numpy as np

        if not self.found or not len(self.shown):
            return None
        flagged = np.zeros(self.total, bool)
        flagged[self.found.numbers(self.total)] = True
        at = np.flatnonzero(flagged[np.asarray(self.shown)])
        if not len(at):
            return None
        if by > 0:
            later = at[at > position]
            return int(later[0] if len(later) else at[0])
        earlier = at[at < position]
        return int(earlier[-1] if len(earlier) else at[-1])
