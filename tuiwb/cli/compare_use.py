"""`tuiwb compare use NAME`: an earlier comparison of a run in its place again."""

from typing import Annotated

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, note, project_at, say, say_json, single

app = single()


@app.command()
def use(
    name: Annotated[
        str,
        typer.Argument(help="As 'tuiwb compare list' has it: RUN/compare-1.", show_default=False),
    ],
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put a comparison where the Compare screen, vote, judge and gate look for its run's.

    The one that stood there is set aside, votes and all. Nothing is asked again. Exit codes: 0
    fine, 2 a name that is none, or a comparison at work.
    """
    from tuiwb.compare.listed import use as put_back

    moved = put_back(project_at(project), name, note)
    run = name.partition("/")[0]
    if json:
        say_json({"run": run, "moved": moved})
    else:
        say(f"{run}/compare is {name} now" if moved else f"{name} stands there already")
