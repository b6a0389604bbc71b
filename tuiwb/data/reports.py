"""What checks of datasets left behind: the newest one of a file, whether it still holds.

In: a project's check jobs. Out: reports with the columns rows are sorted by.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from tuiwb import jobs
from tuiwb.data.checks.finding import Report
from tuiwb.data.columns import RowColumns
from tuiwb.errors import TuiwbError
from tuiwb.project import Project

REPORT = "report.json"
FINDINGS = "findings.jsonl"
COLUMNS = "rows.npz"


class Checked(NamedTuple):
    """A check's report and columns, None where it left none; stale: the file changed since."""

    report: Report | None
    columns: RowColumns | None
    stale: bool


def report_of(folder: Path, path: Path) -> Checked:
    """What the check in `folder` found in the dataset at `path`."""
    try:
        report = msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
        stale = path.stat().st_mtime > jobs.load(folder).created
    except (OSError, msgspec.MsgspecError, TuiwbError):
        return Checked(None, None, False)
    columns = RowColumns.load(folder / COLUMNS)
    return Checked(report, columns if columns and len(columns) == report.rows else None, stale)


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
