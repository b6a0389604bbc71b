"""What checks of datasets left behind: the newest one of a file, whether it still holds.

In: a project's check jobs. Out: summaries (counts, audit), findings by row, the columns rows are
sorted by. report.json holds all of it, for whoever wants one document.
"""

import shutil
import time
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
from tuiwb.jobs.events import Artifact, EventWriter, State
from tuiwb.jobs.folder import EVENTS, write_atomically
from tuiwb.prepared import prepared
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


def keep_check(
    parent: Path, spec: dict[str, Any], report: Report, stamp: Stamp, columns: RowColumns | None
) -> Path | None:
    """A check that was made here and now as the job in `parent` that a worker would have left;
    None where it can't be written. `spec` is the check worker's, its path absolute."""
    try:
        folder = free_folder(parent, Path(spec["path"]).stem)
        jobs.create(folder, "check", spec)
    except (OSError, TuiwbError):
        return None
    try:
        if columns is not None:
            columns.save(folder / COLUMNS)
        keep_report(folder, report, stamp)
        writer = EventWriter(folder / EVENTS)
        writer.emit(State(state="running", phase="checking rows", t=time.time() - report.seconds))
        writer.emit(Artifact(kind="findings", path=FINDINGS))
        writer.emit(Artifact(kind="report", path=REPORT))
        writer.emit(State(state="finished"))
        writer.close()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return folder


def free_folder(parent: Path, stem: str) -> Path:
    """A folder in `parent` that is not there yet, named after a dataset."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in stem)
    name = kept.strip("-_")[:48] or "data"
    n = 1
    while (parent / f"{name}-{n}").exists():
        n += 1
    return parent / f"{name}-{n}"


def report_of(folder: Path, path: Path) -> Checked:
    """What the check in `folder` found in the dataset at `path`."""
    try:
        summary = msgspec.json.decode((folder / SUMMARY).read_bytes(), type=prepared(Summary))
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
