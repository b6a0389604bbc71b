"""`tuiwb config check FILE` and `tuiwb config new`."""

from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    from_project,
    group,
    project_at,
    project_of,
    say,
    say_json,
)
from tuiwb.errors import EXIT_BAD_INPUT, EXIT_FINE, EXIT_MISSING, BadInput
from tuiwb.project import Project

app = group("Check a run's config, start a new one.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The run's config (YAML).", show_default=False)],
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Say every problem with file:line: errors, warnings and notes. Nothing is started.

    Exit codes: 0 `tuiwb train` starts it here, 2 it has errors or can't be read, 3 only this
    machine lacks something for it ("missing here").
    """
    from tuiwb.train.check import check_config

    file = from_project(file, project)
    problems = check_config(project_of(file, project), file)
    errors = [p for p in problems if p.severity == "error"]
    only_here = bool(errors) and all(p.here for p in errors)
    if json:
        say_json({"file": str(file), "ok": not errors, "problems": problems})
    else:
        for problem in problems:
            say(f"{file}:{problem.line}: {problem.kind}: {problem.message}")
        if only_here:
            say(f"{file}: right, but this machine lacks what it wants")
        elif not errors:
            say(f"{file}: fine")
    raise typer.Exit(EXIT_FINE if not errors else EXIT_MISSING if only_here else EXIT_BAD_INPUT)


@app.command()
def new(
    file: Annotated[
        str | None,
        typer.Argument(
            help="A name for configs/NAME.yaml, or a path (default: configs/DATASET-lora.yaml)."
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model (default: the one the project knows).")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Training data (default: the newest version, else the largest file)."),
    ] = None,
    heldout: Annotated[str | None, typer.Option(help="Held-out data.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a commented starter config; an existing file is never overwritten."""
    from tuiwb.train.choices import bases
    from tuiwb.train.config import load_config
    from tuiwb.train.template import new_config

    home = project_at(project)
    if base is None and not bases(home):
        raise BadInput(
            "no base model is known: give --base FOLDER-OR-HUB-ID, or set base_model in tuiwb.yaml"
        )
    data, heldout = _from_here(home, data), _from_here(home, heldout)
    path = new_config(home, file, base=base, data=data, heldout=heldout)
    config, _ = load_config(path)
    if json:
        say_json({"file": str(path)})
        return
    say(f"wrote {home.shorten(path)}")
    if config is not None:
        held = f", held out: {config.data.heldout}" if config.data.heldout else ""
        say(f"it trains {config.model.base} on {config.data.train}{held}")
    if path.absolute() not in home.configs():
        say("it stands outside configs/: the Config screen does not list it")
    say(f"check it:  tuiwb config check {home.shorten(path)}")
    say(f"start it:  tuiwb train {home.shorten(path)}")


def _from_here(home: Project, named: str | None) -> str | None:
    """A file as the config has to name it: from the project's root, though it was named from the
    folder the command was given in."""
    if not named or home.resolve(named).exists():
        return named
    here = Path(named).expanduser().absolute()
    return home.shorten(here.resolve()) if here.exists() else named
