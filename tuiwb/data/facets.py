"""How often each thing occurs in a dataset, and the filter that shows its rows.

In: a check's findings, the row columns it left, the marks a person made. Out: facets, grouped.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tuiwb.data.checks.finding import Finding
from tuiwb.data.columns import RowColumns
from tuiwb.data.query import of_facet


class Facet(NamedTuple):
    """A value and the number of rows that have it; `word` is the filter for these rows."""

    group: str
    value: str
    rows: int
    word: str


def facets(
    found: Sequence[Facet],
    columns: RowColumns | None = None,
    marks: Mapping[str, int] | None = None,
) -> list[Facet]:
    """Checks and their kinds (`found`), marks, format, label, and columns with few values."""
    return [*found, *_marks(marks or {}), *_columns(columns)]


def found_facets(findings: Iterable[Finding]) -> list[Facet]:
    """Rows by check and by kind, the checks with most rows first."""
    rows: dict[tuple[str, str], set[int]] = {}
    for finding in findings:
        rows.setdefault((finding.check, ""), set()).add(finding.row)
        if finding.kind:
            rows.setdefault((finding.check, finding.kind), set()).add(finding.row)
    sizes = {key: len(found) for key, found in rows.items()}
    order = sorted(sizes, key=lambda key: (-sizes[key[0], ""], key[0], key[1] != "", -sizes[key]))
    return [
        Facet("found", f"{check}/{kind}" if kind else check, sizes[check, kind],
              f"check:{check}/{kind}" if kind else f"check:{check}")
        for check, kind in order
    ]  # fmt: skip


def _marks(marks: Mapping[str, int]) -> list[Facet]:
    return [
        Facet("marks", mark, count, "is:edited" if mark == "edited" else f"mark:{mark}")
        for mark, count in marks.items()
        if count
    ]


def _columns(columns: RowColumns | None) -> list[Facet]:
    if columns is None:
        return []
    return [
        Facet(name.removeprefix("tag."), value, rows, word)
        for name, values in columns.counts().items()
        for value, rows in values
        if rows and not (name == "format" and len(values) == 1)
        if (word := of_facet(name, value)) is not None
    ]
