"""`tuiwb train CONFIG`: start a run that outlives this terminal, or go on with one."""

from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    from_project,
    group,
    note,
    project_at,
    project_of,
    say,
    say_json,
    there,
)
from tuiwb.errors import EXIT_FINE, BadInput
from tuiwb.project import Project

app = group("Start a training run that outlives this terminal.")


@app.command()
def train(
    config: Annotated[
        Path | None, typer.Argument(help="The run's config (YAML).", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run's name (default: the config's name with -v1, ...).")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Go on with this run from its last checkpoint."),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait until a GPU has the memory it needs.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch it until it ends.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Check the config, start the run detached, and say how to watch it.

    Exit codes: 0 started (with --follow: finished or stopped), 2 bad input, 3 something missing
    here, 4 (with --follow) the run failed or died.
    """
    from tuiwb.train.start import resume as go_on
    from tuiwb.train.start import start

    if config is None:
        home = project_at(project)
    else:
        config = from_project(config, project)
        home = project_of(config, project)
    if (config is None) == (resume is None):
        raise BadInput("give either a config to start a run, or --resume NAME to go on with one")
    if resume is not None:
        if name is not None:
            raise BadInput("--name goes with a config: a resumed run keeps its name")
        folder = home.run(resume)
        checkpoint = go_on(folder, python=home.train_python, queue=queue)
        does = "waits for its turn to go on" if queue else "goes on"
        what = f"{folder.name} {does} from {checkpoint.name}"
    elif config is not None:
        advice(home, config)
        folder = start(home, config, name, queue=queue)
        what = f"{'queued' if queue else 'started'} {folder.name}"
    if not json:
        say(f"{what}: {folder if there(folder) else home.shorten(folder)}")
    if follow:
        from tuiwb.cli.follow import follow as watch

        raise typer.Exit(watch(folder, json=json))
    if json:
        say_json({"name": folder.name, "folder": str(folder)})
    else:
        for line in what_next(folder, queue=queue):
            say(line)
    raise typer.Exit(EXIT_FINE)


def what_next(folder: Path, *, queue: bool) -> list[str]:
    """The commands that a run just started can be watched and stopped with, from here."""
    where = there(folder)
    name = f"{folder.name}{where}"
    return [
        f"watch it:  tuiwb runs follow {name}   or on the Train screen of tuiwb",
        f"stop it:   tuiwb runs stop {name}",
        *([f"the line:  tuiwb runs queue{where}"] if queue else []),
    ]


def advice(home: Project, config: Path) -> None:
    """Say what a config's check has to say but for errors on stderr; those are start's to raise."""
    from tuiwb.train.check import examine
    from tuiwb.train.config import read_config
    from tuiwb.train.machine import look

    for problem in examine(home, read_config(config), look(home), named=True, quick=True).problems:
        if problem.severity != "error":
            note(problem.at(config))
