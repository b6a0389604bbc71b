"""`tuiwb data rows` and `facets`: the Data screen's filter, order and counts, headless."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    from_project,
    index_cache,
    project_at,
    say,
    say_json,
    say_table,
)
from tuiwb.data.checks.finding import Finding
from tuiwb.data.facets import facets as facets_of
from tuiwb.data.found import weight
from tuiwb.data.marks import Marks
from tuiwb.data.query import SORTS, parse, size_of
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.reports import newest_report
from tuiwb.data.rows import Row
from tuiwb.data.search import search
from tuiwb.errors import BadInput
from tuiwb.text import counted, short_count

FileArgument = Annotated[Path, typer.Argument(help="A dataset: a file, or a folder of shards.")]


def rows(
    file: FileArgument,
    query: Annotated[str, typer.Argument(metavar="[FILTER]", help="As typed after / there.")] = "",
    sort: Annotated[str, typer.Option("--sort", help=f"{', '.join(SORTS)}.")] = "row",
    descending: Annotated[bool, typer.Option("--descending", help="Biggest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="0 lists all.")] = 50,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the rows that pass a filter.

    Its words: text, /regex/, role:user, check:pii, mark:drop, turns>4, column=value; a leading
    minus turns a word round. Words about checks read the newest check of the file in the
    project, or check it now.
    """
    if sort not in SORTS:
        raise BadInput(f"--sort {sort} is no order: one of {', '.join(SORTS)}")
    file = from_project(file, project)
    dataset, wanted = open_dataset(file, cache=index_cache(project)), parse(query)
    marks = Marks(file, dataset)
    by_row = _found(file, project) if wanted.found or sort == "found" else {}

    def mark_of(row: Row) -> tuple[str | None, str | None, bool]:
        state = marks.state(row)
        return state.flag, state.verdict, state.record is not None

    found = [n for some in search(dataset, wanted, by_row, mark_of) for n in some.rows]
    shown = _in_order(dataset, found, sort, descending, by_row)
    kept = [dataset.row(n) for n in (shown[:limit] if limit else shown)]
    if as_json:
        entries = [
            {"row": r.index, "line": r.line, "file": r.file, "turns": size_of(r, "turns"),
             "chars": size_of(r, "chars"), "mark": mark_of(r)[0], "verdict": mark_of(r)[1],
             "checks": sorted({f.check for f in by_row.get(r.index, ())})}
            for r in kept
        ]  # fmt: skip
        say_json({"rows": len(dataset), "matching": len(found), "shown": entries})
        return
    cells = [
        [str(r.index), str(r.line), " ".join(filter(None, mark_of(r)[:2])),
         str(size_of(r, "turns")), short_count(size_of(r, "chars")), _words(r)]
        for r in kept
    ]  # fmt: skip
    say_table(["row", "line", "mark", "turns", "chars", "text"], cells)
    say(f"{len(kept):,} of {counted(len(found), 'matching row')}, {len(dataset):,} in all")


def facets(file: FileArgument, project: ProjectOption = None, as_json: JsonOption = False) -> None:
    """Count checks, marks, formats and columns, by rows.

    Each with the filter for its rows; of columns those with few values. Reads the newest check
    of the file in the project; without one, only marks are counted.
    """
    file = from_project(file, project)
    dataset = open_dataset(file, cache=index_cache(project))
    checked = newest_report(project_at(project), file)
    told = checked.summary if checked else None
    found = facets_of(
        told.facets if told else (),
        checked.columns if checked else None,
        Marks(file, dataset).counts(),
    )
    if as_json:
        say_json({"checked": told is not None, "stale": bool(checked and checked.stale),
                  "facets": [facet._asdict() for facet in found]})  # fmt: skip
        return
    say_table(
        ["group", "value", "rows", "filter"],
        [[facet.group, facet.value, f"{facet.rows:,}", facet.word] for facet in found],
    )
    if told is None:
        say("no check of this file is kept in the project yet: c on the Data screen runs one")


def _found(file: Path, project: Path | None) -> Mapping[int, Sequence[Finding]]:
    checked = newest_report(project_at(project), file)
    if checked is not None and checked.found is not None and not checked.stale:
        return checked.found
    from tuiwb.data.checks import check_dataset

    by_row: dict[int, list[Finding]] = {}
    for finding in check_dataset(file, cache=index_cache(project)).findings:
        by_row.setdefault(finding.row, []).append(finding)
    return by_row


def _in_order(
    dataset: Dataset,
    found: list[int],
    by: str,
    descending: bool,
    by_row: Mapping[int, Sequence[Finding]],
) -> list[int]:
    if by == "row":
        return found[::-1] if descending else found
    if by == "found":
        return sorted(found, key=lambda n: weight(by_row.get(n, ())), reverse=not descending)
    sizes = {n: size_of(dataset.row(n), by) for n in found}
    return sorted(found, key=lambda n: sizes[n], reverse=descending)


def _words(row: Row) -> str:
    texts = [row.text or ""] if row.shape == "broken" else [t for _, _, t in row.fields()]
    return "  →  ".join(" ".join(text[:60].split()) for text in texts[:3])[:100]
