"""`tuiwb runs compare A B ...`: what was asked differently, where each stands, their curves."""

import math
import os
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, say, say_json, say_table
from tuiwb.cli.run_folder import NamesArgument, folder_of, project_of
from tuiwb.errors import BadInput
from tuiwb.jobs.events import spell
from tuiwb.monitor.runs import RunSummary, summarise
from tuiwb.text import short_bytes, short_count, short_seconds

if TYPE_CHECKING:
    from tuiwb.monitor.diff import ConfigDiff
    from tuiwb.monitor.watched import Watched

AXES = ("step", "tokens", "epoch", "time")
DRAWN = ("loss", "eval_loss")
JSON_COLUMNS = 250  # curves in --json are thinned to a thousand points at most


def compare(
    context: typer.Context,
    names: NamesArgument,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="Curves to draw: loss and eval_loss unless named."),
    ] = None,
    by: Annotated[str, typer.Option(help="The x axis: step, tokens, epoch or time.")] = "step",
    log_y: Annotated[bool, typer.Option("--log-y", help="A logarithmic y axis.")] = False,
    height: Annotated[int, typer.Option(help="Rows of a chart.", min=3, max=60)] = 12,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Two or more runs beside each other: config that differs, best and last values, curves."""
    from tuiwb.monitor.diff import config_diff
    from tuiwb.monitor.export import read_whole

    if by not in AXES:
        raise BadInput(f"there is no axis {by!r}: one of {', '.join(AXES)}")
    home = project_of(context, project)
    folders = list(dict.fromkeys(folder_of(home, name) for name in names))
    diff = config_diff(folders)
    watched = [read_whole(folder)[0] for folder in folders]
    price = home.settings.gpu_price_per_hour
    runs = [summarise(w.folder, w.state, price) for w in watched]
    drawn = _drawn(watched, metric or [])
    if json:
        say_json(
            {
                "runs": [run.as_json() for run in runs],
                "differs": diff.differs,
                "axis": by,
                "curves": {name: _points(watched, runs, name, by) for name in drawn},
            }
        )
        return
    _say_diff(diff)
    say()
    _say_values(runs)
    for name in drawn:
        say()
        _say_chart(name, watched, runs, by, log_y, height)


def _drawn(watched: "list[Watched]", asked: list[str]) -> list[str]:
    known = list(dict.fromkeys(name for one in watched for name in one.series.names()))
    for name in asked:
        if name not in known:
            raise BadInput(f"none of the runs logged {name!r}: there are {', '.join(known)}")
    return asked or [name for name in DRAWN if name in known]


def _say_diff(diff: "ConfigDiff") -> None:
    if not diff.differs:
        say("the runs were asked the same, of the same data and base, with the same versions")
        return
    say_table(("DIFFERS", *diff.runs), diff.table(), capitals=False)


def _say_values(runs: list[RunSummary]) -> None:
    rows = [
        (
            run.name,
            run.word,
            f"{run.step}/{run.total_steps}" if run.total_steps else "-",
            _number(run.best_loss),
            "-" if run.best_step is None else str(run.best_step),
            {"eval_loss": "held-out", "loss": "training"}.get(run.best_of, "-"),
            _number(run.loss),
            _number(run.eval_loss),
            "-" if run.tokens_per_second is None else short_count(run.tokens_per_second),
            "-" if run.peak_memory is None else short_bytes(run.peak_memory),
            "-" if run.took is None else short_seconds(run.took),
            "-" if run.cost is None else f"{run.cost:.2f}",
        )
        for run in runs
    ]
    header = ("run", "state", "step", "best", "at", "of", "last loss", "held-out")
    whole = (*header, "tokens/s", "memory", "took", "cost")
    # Eighty columns are few: what no run has is left out.
    kept = [n for n in range(len(whole)) if n < 3 or any(row[n] != "-" for row in rows)]
    say_table([whole[n] for n in kept], [[row[n] for n in kept] for row in rows])


def _say_chart(
    name: str, watched: "list[Watched]", runs: list[RunSummary], by: Any, log_y: bool, height: int
) -> None:
    from tuiwb.monitor.text_chart import TextCurve, text_chart

    curves = [
        TextCurve(run.name, *one.series.points(name, by))
        for run, one in zip(runs, watched, strict=True)
        if name in one.series.names()
    ]
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = min(160, shutil.get_terminal_size((100, 24)).columns)
    lines = text_chart(
        f"{name} by {by}",
        curves,
        width,
        height,
        colour=colour,
        log_y=log_y,
        x_unit="time" if by == "time" else "count",
    )
    # Our own colours: `say` would show them as symbols.
    sys.stdout.write("\n".join(lines) + "\n")


def _points(
    watched: "list[Watched]", runs: list[RunSummary], name: str, by: Any
) -> dict[str, dict[str, list[Any]]]:
    """A curve of each run, thinned to the extremes; NaN and infinity spelled."""
    import numpy as np

    from tuiwb.monitor.svg import thinned

    found = {}
    for run, one in zip(runs, watched, strict=True):
        if name not in one.series.names():
            continue
        x, y = one.series.points(name, by)
        if len(x) > 4 * JSON_COLUMNS:
            good = np.isfinite(x) & np.isfinite(y)
            ends = (float(x[good].min()), float(x[good].max())) if good.any() else (0.0, 1.0)
            x, y = thinned(x[good], y[good], *ends, JSON_COLUMNS)
        found[run.name] = {"x": _spelled(x), "y": _spelled(y)}
    return found


def _spelled(values: Any) -> list[Any]:
    return [v if math.isfinite(v) else spell(v) for v in values.tolist()]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
