"""Find the rows of a dataset that pass a filter, a batch at a time, so that a screen can show them
as they come and give up when it likes.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from tuiwb.data.checks.finding import Finding
from tuiwb.data.columns import RowColumns
from tuiwb.data.formats import SHAREGPT_ROLES
from tuiwb.data.found import FoundRows
from tuiwb.data.query import Query, Seen, roles_of
from tuiwb.data.read import Dataset
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 500
_PLAIN = re.compile(r"[a-z0-9 _.,:;!?'()@#$%&*+=<>~-]+")
# Of chat templates in use; no dataset has to hold them to be asked for them.
ROLES = ("system", "developer", "user", "assistant", "tool")
MarkOf = Callable[[Row], tuple[str | None, str | None, bool]]


class Found(NamedTuple):
    """Rows that match, in file order, and how many rows have been looked at."""

    rows: list[int]
    seen: int


def unmarked(_row: Row) -> tuple[str | None, str | None, bool]:
    """The marks of a dataset nobody has marked."""
    return None, None, False


def search(
    dataset: Dataset,
    query: Query,
    findings: Mapping[int, Sequence[Finding]],
    mark_of: MarkOf = unmarked,
) -> Iterator[Found]:
    """What `query` matches, batch by batch.

    `findings` by row number; `mark_of` gives a row's flag, its verdict, and whether it
    was edited. A filter that wants findings opens only rows that have some. BadInput where it asks
    for a role that no row has.
    """
    for role in query.roles:
        _check_role(dataset, role)
    for rows, seen in _candidates(dataset, query, findings):
        kept = [
            row.index
            for row in rows
            if query.matches(Seen(row, findings.get(row.index, ()), *mark_of(row)))
        ]
        yield Found(kept, seen)


def _check_role(dataset: Dataset, role: str) -> None:
    """BadInput for a role that is neither usual nor in the dataset: it is mistyped."""
    if role in ROLES:
        return
    plain = _PLAIN.fullmatch(role) is not None
    seen = set(ROLES)
    for rows in (
        (some for some, _ in dataset.holding(role.encode())) if plain else dataset.batches(BATCH)
    ):
        for row in rows:
            roles = roles_of(row)
            if role in roles:
                return
            seen |= roles
    for some in dataset.batches(BATCH):
        seen = seen.union(*map(roles_of, some))
        break
    known = sorted(seen - {""}, key=lambda one: (one not in ROLES, one))
    near = get_close_matches(role, known, 1)
    meant = SHAREGPT_ROLES.get(role) or (near[0] if near else "")
    hint = f"did you mean role:{meant}?" if meant else f"one of {', '.join(known)}"
    raise BadInput(f"there is no role {role!r}: {hint}")


def _candidates(
    dataset: Dataset, query: Query, findings: Mapping[int, Sequence[Finding]]
) -> Iterator[tuple[list[Row], int]]:
    """Rows that may match, with the number of rows behind them."""
    if query.found:
        dataset.wait()
        total = len(dataset)
        numbers = sorted(n for n in findings if n < total)
        for at in range(0, len(numbers), BATCH):
            part = numbers[at : at + BATCH]
            yield [dataset.row(n) for n in part], part[-1] + 1
        return
    plain = next((n for n in query.needles if _PLAIN.fullmatch(n)), None)
    if plain is not None:
        yield from dataset.holding(plain.encode())
        return
    seen = 0
    for rows in dataset.batches(BATCH):
        seen += len(rows)
        yield rows, seen


def ordered(
    rows: "NDArray[np.int64] | None",
    by: str,
    descending: bool,
    total: int,
    columns: RowColumns | None,
    found: FoundRows | None,
) -> "NDArray[np.int64] | range":
    """Row numbers (all where `rows` is None) in an order: 'row', 'found', or a column's.

    'found' puts rows with errors first, then by the number of findings. Without `columns` of these
    very rows only these two are known; any other leaves file order.
    """
    import numpy as np

    if by == "row":
        every = range(total) if rows is None else rows
        return every[::-1] if descending else every
    if by == "found":
        weight = np.zeros(total, np.int64) if found is None else found.weight_of(total)
        order = np.argsort(weight if descending else -weight, kind="stable")
    elif columns is not None and len(columns) == total:
        order = columns.order(by, descending)
    else:
        return range(total) if rows is None else rows
    if rows is None:
        return order
    wanted = np.zeros(total, bool)
    wanted[rows] = True
    kept: NDArray[np.int64] = order[wanted[order]]
    return kept
