"""`tuiwb watch PATH`: one run on one screen, no project: a job folder, or another trainer's."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, project_at, say, say_json, single
from tuiwb.errors import EXIT_FINE, EXIT_JOB_FAILED, BadInput
from tuiwb.jobs.events import Metrics, spell
from tuiwb.jobs.state import with_reason
from tuiwb.project import expanded

if TYPE_CHECKING:
    from tuiwb.monitor.watched import Watched

app = single()


@app.command()
def watch(
    path: Annotated[
        str,
        typer.Argument(
            help="A job folder, an output folder of TRL or transformers, TensorBoard events, a "
            "W&B run file or folder; or a run's name.",
            show_default=False,
        ),
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Print where it stands, without the screen.")
    ] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Watch one run: on a screen in a terminal, else printed once. Nothing of it is changed.

    Exit codes: 0, 2 for a path without a run, 3 when the package that reads it isn't installed, 4
    (printed) for a run that failed or died.
    """
    from tuiwb.monitor.watched import open_watched

    folder = _folder(path, project)
    if once or json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from tuiwb.monitor.export import read_whole

        watched, _shown = read_whole(folder)
        if unread := getattr(watched, "unread", ""):  # another tool's files alone can be so
            raise BadInput(f"nothing of the run can be read: {unread}")
        if json:
            say_json(_plain(watched))
        else:
            _say(watched)
        failed = watched.state.state in ("failed", "died")
        raise typer.Exit(EXIT_JOB_FAILED if failed else EXIT_FINE)
    from tuiwb.app.watch_app import watch as on_screen

    raise typer.Exit(on_screen(open_watched(folder)))


def _folder(path: str, project: Path | None) -> Path:
    """What a path names; a run of the project by its name."""
    here = expanded(path)
    if here.exists():
        return here
    home = project_at(project)
    parts = Path(path).parts
    if len(parts) <= 2 and (home.runs / path / "job.yaml").is_file():
        return home.runs / path
    raise BadInput(f"there is no file, folder or run {path}: give the folder a run writes into")


def _plain(watched: "Watched") -> dict[str, Any]:
    """The state, and the last value of every metric with its step."""
    last: dict[str, Any] = {}
    for name in watched.series.names():
        series = watched.series.get(name)
        value = float(series.values[-1])
        last[name] = {
            "step": int(series.steps[-1]),
            "value": value if math.isfinite(value) else spell(value),
            "points": len(series),
        }
    return {
        **watched.state.as_json(),
        "name": watched.name,
        "folder": str(watched.folder),
        "commands": sorted(watched.commands),
        "last": last,
    }


def _say(watched: "Watched") -> None:
    """Where it stands, in a few lines."""
    from tuiwb.cli.follow import metrics_line

    state = watched.state
    phase = f" ({state.phase})" if state.running and state.phase else ""
    said = with_reason(f"{state.word}{phase}", state.message)
    facts: list[tuple[str, str]] = [("run", watched.name), ("state", said)]
    if state.of_steps:
        epoch = f", epoch {state.epoch:.2f}" if state.epoch is not None else ""
        facts.append(("step", f"{state.at_step} of {state.of_steps}{epoch}"))
    elif state.step:
        facts.append(("step", str(state.step)))
    if state.metrics:
        latest = Metrics(step=state.step, total_steps=state.total_steps, values=state.metrics)
        facts.append(("metrics", metrics_line(latest)))
    if state.best_loss is not None:
        facts.append(("best", f"held-out loss {state.best_loss:.4g}"))
    facts += [("alert", f"{alert.severity}: {alert.evidence}") for alert in state.alerts]
    if (saved := state.last_checkpoint) is not None:
        facts.append(("checkpoint", saved.path))
    facts.append(("folder", str(watched.folder)))
    for label, said in facts:
        say(f"{label:<12} {said}")
