"""`tuiwb config check FILE` and `tuiwb config new`."""

from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, group, project_at, say, say_json
from tuiwb.errors import EXIT_BAD_INPUT, EXIT_FINE

app = group("Check a run's config, start a new one.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The run's config (YAML).", show_default=False)],
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Say every problem with file:line: errors, warnings and notes. Nothing is started.

    Exit codes: 0 it can run, 2 it has errors or can't be read.
    """
    from tuiwb.train.check import check_config

    problems = check_config(project_at(project), file)
    errors = [p for p in problems if p.severity == "error"]
    if json:
        say_json({"file": str(file), "ok": not errors, "problems": problems})
    else:
        for problem in problems:
            say(problem.at(file))
        if not errors:
            say(f"{file}: fine")
    raise typer.Exit(EXIT_BAD_INPUT if errors else EXIT_FINE)


@app.command()
def new(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it (default: configs/DATASET-lora.yaml).")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base model (default: the project's base_model).")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Training data (default: the project's first dataset).")
    ] = None,
    heldout: Annotated[str | None, typer.Option(help="Held-out data.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a commented starter config; an existing file is never overwritten."""
    from tuiwb.train.template import new_config

    home = project_at(project)
    path = new_config(home, file, base=base, data=data, heldout=heldout)
    if json:
        say_json({"file": str(path)})
    else:
        say(f"wrote {home.shorten(path)}")
        say(f"check it:  tuiwb config check {home.shorten(path)}")
        say(f"start it:  tuiwb train {home.shorten(path)}")
