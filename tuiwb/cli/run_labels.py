"""`tuiwb runs tag|note|archive`: what people say of a run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, say, say_json
from tuiwb.cli.run_folder import NameArgument, NamesArgument, folder_of, project_of
from tuiwb.jobs import labels as on_disk
from tuiwb.jobs.labels import Labels, add_tags, read_labels, remove_tags, set_note
from tuiwb.monitor.runs import run_name


def tag(
    context: typer.Context,
    name: NameArgument,
    tags: Annotated[
        list[str] | None, typer.Argument(help="Tags to add.", show_default=False)
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", "-r", help="A tag to take off; may be repeated.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Give a run tags, take some off, print those it has."""
    folder = folder_of(project_of(context, project), name)
    labels = add_tags(folder, tags) if tags else read_labels(folder)
    labels = remove_tags(folder, remove) if remove else labels
    _said(json, folder, labels, " ".join(labels.tags) or f"{name} has no tags")


def write_note(
    context: typer.Context,
    name: NameArgument,
    text: Annotated[
        str | None,
        typer.Argument(
            help="The note; '-' reads it from stdin, '' removes it.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a run's note, or print it."""
    folder = folder_of(project_of(context, project), name)
    if text == "-":
        text = sys.stdin.read().rstrip("\n")
    labels = read_labels(folder) if text is None else set_note(folder, text)
    _said(json, folder, labels, labels.note or f"{name} has no note")


def archive(
    context: typer.Context,
    names: NamesArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Take them out again.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put runs away: lists leave them out. Nothing is moved or deleted."""
    home = project_of(context, project)
    folders = list(dict.fromkeys(folder_of(home, name) for name in names))
    for folder in folders:
        on_disk.archive(folder, not undo)
    if json:
        say_json([{"name": run_name(folder), "archived": not undo} for folder in folders])
        return
    said = "taken out of the archive" if undo else "archived"
    say(f"{said}: {', '.join(run_name(folder) for folder in folders)}")


def _said(json: bool, folder: Path, labels: Labels, text: str) -> None:
    if json:
        say_json(
            {
                "name": run_name(folder),
                "tags": labels.tags,
                "note": labels.note,
                "archived": labels.archived,
            }
        )
    else:
        say(text)
