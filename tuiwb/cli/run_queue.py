"""`tuiwb runs queue`: who waits for a GPU; queue configs, let one go first."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, note, say, say_json, say_table
from tuiwb.cli.run_folder import folder_of, project_of
from tuiwb.jobs.queue import Place, line, move_to_front
from tuiwb.monitor.runs import run_name
from tuiwb.project import Project
from tuiwb.text import ago, short_bytes


def queue(
    context: typer.Context,
    configs: Annotated[
        list[Path] | None,
        typer.Argument(help="Configs to queue, a run each.", show_default=False),
    ] = None,
    first: Annotated[
        str | None, typer.Option(metavar="NAME", help="Let this waiting run go first.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """List the runs that wait for a GPU on this machine, of all projects; queue CONFIGS first.

    A run starts when a GPU has the memory it needs; runs stop takes it out of the line.
    """
    home = project_of(context, project)
    queued = _enqueue(home, configs, quiet=json) if configs else []
    if first is not None:
        move_to_front(folder_of(home, first))
    places = line()
    if json:
        names = [run_name(folder) for folder in queued]
        say_json({"queued": names, "line": [_plain(place) for place in places]})
        return
    if not places:
        say("nothing waits for a GPU: tuiwb train CONFIG --queue lets a run wait")
        return
    rows = [
        (
            "runs" if place.place == 0 else str(place.place),
            run_name(place.folder),
            "a whole GPU" if place.needs is None else short_bytes(place.needs),
            "any" if place.gpus is None else ", ".join(map(str, place.gpus)),
            ago(place.since),
            str(place.folder),
        )
        for place in places
    ]
    say_table(("place", "run", "needs", "GPU", "since", "folder"), rows)


def _enqueue(home: Project, configs: list[Path], *, quiet: bool) -> list[Path]:
    """Queue a run for each config, none before all were checked; each is said as it is queued."""
    from tuiwb.cli.train import advice
    from tuiwb.train.plan import plan
    from tuiwb.train.start import start

    for config in configs:
        advice(home, config)
        plan(home, config)
    queued = []
    for config in configs:
        folder = start(home, config, queue=True)
        queued.append(folder)
        # On stderr beside JSON: should a later one fail, who waits is said all the same.
        (note if quiet else say)(f"queued {folder.name}: {home.shorten(folder)}")
    return queued


def _plain(place: Place) -> dict[str, Any]:
    return {
        "name": run_name(place.folder),
        "folder": str(place.folder),
        "place": place.place,
        "needs": place.needs,
        "gpus": place.gpus,
        "since": place.since,
    }
