"""The check as a job: findings.jsonl and report.json in the job's folder.

spec: {"path", "against": path or null, "model": folder, hub id or null, "max_length": int or null,
"use": one of sizing.toml's or null, "cache": folder or null}. rows.npz holds the columns that rows
are sorted and counted by.
"""

from pathlib import Path

from tuiwb.data.checks import MAX_LENGTH
from tuiwb.data.checks.run import COMPARING, check_dataset
from tuiwb.data.reports import COLUMNS, FINDINGS, REPORT, keep_report, stamp_of
from tuiwb.errors import BadInput
from tuiwb.jobs.run import JobContext
from tuiwb.text import counted


def run(context: JobContext) -> None:
    """Check the dataset of the job's spec; what is found never fails the job."""
    spec = context.spec
    if not spec.get("path"):
        raise BadInput(f"{context.folder}/job.yaml names no dataset: give spec.path")
    context.state("running", "checking rows")
    phase = ""

    def progress(name: str, done: int, total: int) -> None:
        nonlocal phase
        context.stop_if_asked()
        if name != phase:
            phase = name
            context.state("running", name)
        context.progress(name, done, total, "checks" if name == COMPARING else "rows")

    stamp = stamp_of(spec["path"])
    report = check_dataset(
        spec["path"],
        spec.get("against"),
        model=spec.get("model"),
        max_length=spec.get("max_length") or MAX_LENGTH,
        use=spec.get("use"),
        cache=Path(spec["cache"]) if spec.get("cache") else None,
        progress=progress,
        keep_columns=lambda columns: columns.save(context.folder / COLUMNS),
    )
    keep_report(context.folder, report, stamp)
    context.artifact("findings", FINDINGS)
    context.artifact("report", REPORT)
    findings, rows = counted(len(report.findings), "finding"), counted(report.rows, "row")
    words = f"{findings}, {rows} in {report.seconds:.1f} s"
    context.log(words)
