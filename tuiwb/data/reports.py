"""What checks of datasets left behind: the newest one of a file, whether it still holds.

In: a project's check jobs. Out: summaries (counts, audit), findings by row, the columns rows are
sorted by. report.json holds all of it, for whoever wants one document.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tuiwb import jobs
from tuiwb.data.checks.finding import Report, encodable
from tuiwb.data.columns import RowColumns
from tuiwb.data.facets import Facet, found_facets
from tuiwb.data.found import FINDINGS, FoundRows, found_rows, keep_findings
from tuiwb.data.sources import files_of
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import write_atomically
from tuiwb.project import Project

__all__ = ["COLUMNS", "FINDINGS", "REPORT", "Checked", "Summary", "newest_report", "report_of"]

REPORT = "report.json"
SUMMARY = "summary.json"
COLUMNS = "rows.npz"
Stamp = list[tuple[str, int, int, int]]


class Summary(msgspec.Struct, kw_only=True):
    """A check without its findings: how many, what was counted, what the files were."""

    rows: int
    seconds: float
    findings: int
    audit: dict[str, Any]
    facets: list[Facet]
    stamp: Stamp


class Checked(NamedTuple):
    """What a check left; None for what can't be read. stale: the dataset changed since."""

    summary: Summary | None
    found: FoundRows | None
    columns: RowColumns | None
    stale: bool


def stamp_of(path: Path | str) -> Stamp:
    """What a dataset's files are now: name, size, modification time (ns) and inode of each."""
    stats = [(encodable(str(file.resolve())), file.stat()) for file in files_of(path)]
    return [(name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats]


def keep_report(folder: Path, report: Report, stamp: Stamp) -> None:
    """Write a check's report into its folder, whole and in parts that are read as needed."""
    keep_findings(folder, report.findings)
    summary = Summary(
        rows=report.rows,
        seconds=report.seconds,
        findings=len(report.findings),
        audit=report.audit,
        facets=found_facets(report.findings),
        stamp=stamp,
    )
    write_atomically(folder / SUMMARY, msgspec.json.encode(summary))
    write_atomically(folder / REPORT, msgspec.json.encode(report))


def report_of(folder: Path, path: Path) -> Checked:
    """What the check in `folder` found in the dataset at `path`."""
    try:
        summary = msgspec.json.decode((folder / SUMMARY).read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError):
        return Checked(None, None, None, False)
    try:
        stale = stamp_of(path) != summary.stamp
    except (OSError, TuiwbError):
        stale = True
    columns = RowColumns.load(folder / COLUMNS)
    return Checked(
        summary,
        found_rows(folder),
        columns if columns and len(columns) == summary.rows else None,
        stale,
    )


def newest_report(project: Project, path: Path) -> Checked | None:
    """The newest finished check of a dataset in a project; None when there is none."""
    wanted = str(path.resolve())
    for folder in reversed(project.job_folders("check")):
        if checked_path(folder) == wanted and jobs.status(folder).state == "finished":
            return report_of(folder, path)
    return None


@lru_cache(maxsize=256)
def checked_path(folder: Path) -> str:
    """The dataset a check job was asked about; '' when its folder can't be read."""
    try:
        return str(jobs.load(folder).spec.get("path"))
    except TuiwbError:
        return ""
