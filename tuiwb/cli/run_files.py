"""`tuiwb runs export|report|remove`: a run's curves and report as files; its folder away."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, say, say_json
from tuiwb.cli.run_folder import NameArgument, folder_of, project_of
from tuiwb.errors import BadInput
from tuiwb.jobs.trash import purge, removable, restore, trashed
from tuiwb.jobs.trash import remove as to_trash
from tuiwb.monitor.runs import run_name
from tuiwb.project import Project, expanded

ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
MetricOption = Annotated[
    list[str] | None, typer.Option("--metric", "-m", help="Only this one; may be repeated.")
]


def export(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="The run's name, or a folder to watch.", show_default=False)
    ],
    curves: Annotated[Path, typer.Option(help="The file: .csv or .parquet.", show_default=False)],
    metric: MetricOption = None,
    long: Annotated[bool, typer.Option("--long", help="A row for each value logged.")] = False,
    force: ForceOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a run's curves: step, epoch, tokens, time (seconds) and every metric.

    NaN and infinity stand as such; what was not logged at a step is empty.
    """
    from tuiwb.monitor.export import SUFFIXES, check_target, export_curves, read_whole

    folder = _folder_or_path(project_of(context, project), name)
    check_target(curves, SUFFIXES, replace=force)
    watched, _shown = read_whole(folder)
    rows = export_curves(
        watched.series, curves, metric or (), "long" if long else "wide", replace=force
    )
    names = metric or watched.series.names()
    if json:
        say_json({"name": name, "file": str(curves), "rows": rows, "metrics": names})
    else:
        say(f"wrote {rows:,} rows of {len(names)} metrics to {curves}")


def report(
    context: typer.Context,
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="The file: .html or .md.", show_default=False)],
    force: ForceOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a run's report: config, data, curves, hardware, alerts, outputs, how it ended."""
    from tuiwb.monitor.report import write_report

    home = project_of(context, project)
    folder = folder_of(home, name)
    write_report(folder, out, home.settings.gpu_price_per_hour, replace=force)
    if json:
        say_json({"name": run_name(folder), "file": str(out)})
    else:
        say(f"wrote {out}")


def remove(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="The runs' names.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    undo: Annotated[
        str | None, typer.Option("--restore", metavar="NAME", help="Take a run out of the trash.")
    ] = None,
    empty: Annotated[
        bool, typer.Option("--purge", help="Empty the trash: deleted for good.")
    ] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Move runs to runs/.trash, after a question; --purge deletes what lies there."""
    home = project_of(context, project)
    if sum((bool(names), undo is not None, empty)) != 1:
        raise BadInput("name runs to remove, or give --restore NAME, or --purge")
    if undo is not None:
        folder = restore(home.runs, undo)
        _said(json, {"restored": run_name(folder)}, f"{undo} is back: {home.shorten(folder)}")
    elif empty:
        count = len(trashed(home.runs))
        if count:
            _confirm(yes, f"Delete {count} removed runs for good?")
        _said(json, {"deleted": purge(home.runs)}, f"deleted {count} runs for good")
    else:
        folders = list(dict.fromkeys(folder_of(home, name) for name in names or []))
        for folder in folders:
            removable(folder, home.runs)  # all of them, or none
        _confirm(
            yes, f"Move {', '.join(map(run_name, folders))} to {home.shorten(home.runs)}/.trash?"
        )
        gone = [run_name(folder) for folder in folders if to_trash(folder, home.runs)]
        back = f"tuiwb runs remove --restore {gone[0]} brings it back"
        _said(
            json, {"removed": gone}, f"removed {', '.join(gone)}: {back}, --purge deletes for good"
        )


def _confirm(yes: bool, question: str) -> None:
    """Ask on a terminal; BadInput where there is none, or for another answer than yes."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("nobody can be asked here: --yes says that you mean it")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise BadInput("nothing was done")


def _said(json: bool, value: dict[str, object], text: str) -> None:
    if json:
        say_json(value)
    else:
        say(text)


def _folder_or_path(project: Project, name: str) -> Path:
    """A run by its name; else any folder or file that can be watched."""
    path = expanded(name)
    if path.exists() and not (project.runs / name / "job.yaml").is_file():
        return path
    return folder_of(project, name)
