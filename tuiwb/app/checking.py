"""Checks of datasets as jobs of the project: start one, find the newest, read what it found."""

from pathlib import Path

from tuiwb import jobs
from tuiwb.data.render import check_tokenizer
from tuiwb.data.reports import Checked, checked_path, free_folder, report_of
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.project import Project
from tuiwb.text import counted
from tuiwb.train.base_model import hub_snapshot
from tuiwb.train.choices import configured_base

__all__ = [
    "Checked",
    "base_model",
    "free_folder",
    "latest",
    "progress_words",
    "report_of",
    "running",
    "start",
    "summary",
]

HELD_OUT = ("heldout", "held_out", "held-out", "eval", "valid", "validation", "test", "dev")


def base_model(project: Project) -> str | None:
    """The project's base model as a folder's path or a hub id: of tuiwb.yaml, else what the newest
    config trains, where that is here; None when there is none."""
    if name := project.settings.base_model:
        folder = project.resolve(name)
        return str(folder) if folder.exists() or name.count("/") != 1 else name
    if name := configured_base(project):
        folder = project.resolve(name)
        here = folder if folder.is_dir() else hub_snapshot(name)
        return None if here is None else str(here)
    return None


def start(project: Project, path: Path) -> Path:
    """Launch a check of `path`, against the project's held-out set and by its tokenizer if any."""
    others = [p for p in project.datasets() if p != path and p.stem.lower() in HELD_OUT]
    others.sort(key=lambda p: p.parent != path.parent)
    against = next(iter(others), None) if path.stem.lower() not in HELD_OUT else None
    model = base_model(project)
    try:
        if model is not None:
            check_tokenizer(model)
    except TuiwbError:
        model = None
    folder = free_folder(project.runs / "checks", path.stem)
    spec = {
        "path": str(path),
        "against": None if against is None else str(against),
        "model": model,
        "max_length": None,
        "cache": str(project.cache / "index"),
    }
    jobs.create(folder, "check", spec)
    jobs.launch(folder)
    return folder


def latest(states: dict[Path, JobState], path: Path) -> tuple[Path, JobState] | None:
    """The newest check of `path`: its folder and state."""
    found = [
        (folder, state)
        for folder, state in states.items()
        if state.kind == "check" and checked_path(folder) == str(path)
    ]
    return max(found, key=lambda pair: pair[1].created) if found else None


def running(states: dict[Path, JobState], path: Path) -> Path | None:
    """The folder of the check of `path` that runs, if one does."""
    newest = latest(states, path)
    return newest[0] if newest is not None and newest[1].running else None


def no_report_words(states: dict[Path, JobState], path: Path) -> str:
    """Why nothing is known of what a check finds in `path`, and what to do."""
    newest = latest(states, path)
    if newest is None or newest[1].state == "finished":
        return "no check yet: c runs one"
    if newest[1].running:
        return "the check is running: what it finds stands here when it ends"
    return f"the check {newest[1].word}: c runs one again"


def progress_words(state: JobState) -> str:
    """One line on a check that runs."""
    done = state.progress
    if done is None or not done.total:
        return f"check: {state.phase or state.word}"
    return f"check: {done.phase} {done.done / done.total:.0%}"


def summary(checked: Checked) -> str:
    """One line on what a check found."""
    told = checked.summary
    if told is None:
        return "the check left no report: c checks again"
    old = "changed since its check, c checks again: " if checked.stale else ""
    if not told.findings:
        return f"{old}checked, nothing found"
    kinds = ", ".join(f"{count:,} {name}" for name, count in told.audit["checks"].items())
    rows = counted(told.audit["rows_with_findings"], "row")
    return f"{old}{counted(told.findings, 'finding')} in {rows}: {kinds}"
