"""What commands share: arguments and options, JSON out, a plain table."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tuiwb.project import SETTINGS, Project, find_project
from tuiwb.text import inert

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and no text.")]
ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", "-C", help="The project's folder (default: found from here up)."),
]
RunArgument = Annotated[str, typer.Argument(help="The run's name.", show_default=False)]
FollowOption = Annotated[
    bool, typer.Option("--follow/--detach", help="Wait for the result, or return at once.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
BaseUrlOption = Annotated[
    str | None, typer.Option(help="Any Anthropic-compatible endpoint, without /v1.")
]
SidesOption = Annotated[
    str | None, typer.Option(help="Two sides ONE,OTHER of a comparison of more than two.")
]


def group(help_text: str, *, alone: bool = False) -> typer.Typer:
    """A Typer app in the house's manner: plain help, no completion, our own error sentences.

    `alone`: what runs with no subcommand is the callback (e.g. `tuiwb runs` lists).
    """
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=not alone,
        invoke_without_command=alone,
    )


def single() -> typer.Typer:
    """A Typer app for a module with one command and no subcommands."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def project_at(folder: Path | None) -> Project:
    """The project named by --project, else the one found from here up."""
    return Project(folder) if folder is not None else find_project()


def from_project(file: Path, folder: Path | None) -> Path:
    """A file as it was named: from the folder the command is given in, else from its project;
    which of two it is, where a project is named, is said."""
    if file.is_absolute():
        return file
    if not file.exists():
        inside = (project_at(None).root if folder is None else folder) / file
        return inside if inside.exists() else file
    if folder is not None and (folder / file).exists() and not (folder / file).samefile(file):
        note(f"taken is {file.absolute()}, not {(folder / file).absolute()}")
    return file


def project_of(file: Path, folder: Path | None) -> Project:
    """The project named by --project, else the one that the file lies in, which is said where it
    is not that of this folder; a file in none belongs to the one found from here up."""
    here = project_at(folder)
    if folder is not None or not file.exists():
        return here
    own = find_project(file.absolute().parent)
    if own.root == here.root or not (own.root / SETTINGS).is_file():
        return here
    note(f"in the project {own.root}")
    return own


def there(folder: Path) -> str:
    """What a command on a job's folder needs besides its name, to be put behind it: ` -C DIR` where
    its project is not that of the folder the command was given in."""
    root = next((path.parent for path in folder.parents if path.name == "runs"), folder)
    return "" if root == project_at(None).root else f" -C {shlex.quote(str(root))}"


def index_cache(folder: Path | None) -> Path | None:
    """Where what opening a dataset finds out is kept; None outside a project."""
    project = project_at(folder)
    return project.cache / "index" if (project.root / SETTINGS).is_file() else None


def say(text: str = "") -> None:
    """One line for the user on stdout; anything hostile in it made visible."""
    sys.stdout.write(inert(text) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """One line for the user on stderr, so that stdout stays for the result."""
    sys.stderr.write(inert(text) + "\n")
    sys.stderr.flush()


def say_json(value: Any) -> None:
    """One JSON document on stdout, indented, any msgspec or plain value."""
    try:
        plain = msgspec.json.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.json.encode(_encodable(msgspec.to_builtins(value)))
    encoded = msgspec.json.format(plain, indent=2)
    sys.stdout.write(encoded.decode("utf-8") + "\n")
    sys.stdout.flush()


def say_started(name: str, folder: Path, *, json: bool) -> None:
    """A job that was started and is not waited for."""
    if json:
        say_json({"name": name, "folder": str(folder)})
    else:
        say(f"started {name}: 'tuiwb runs follow {name}{there(folder)}' watches it")


def _encodable(value: Any) -> Any:
    """Lone surrogates as U+FFFD: JSON on stdout must be UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list) else value


def say_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, capitals: bool = True
) -> None:
    """Aligned columns; cells are made inert and one line each. `capitals`: of the header."""
    cells = [[inert(c, one_line=True) for c in row] for row in rows]
    widths = [max(len(r[i]) for r in (list(header), *cells)) for i in range(len(header))]
    top = [inert(h.upper() if capitals else h, one_line=True) for h in header]
    for row in (top, *cells):
        say("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
