"""`tuiwb data`: list the project's datasets, show a row as the model will see it, check a file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli import curate
from tuiwb.cli.common import JsonOption, ProjectOption, group, project_at, say, say_json, say_table
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Row
from tuiwb.errors import EXIT_FINDINGS, BadInput, TuiwbError
from tuiwb.project import DATASET_SUFFIXES, Project
from tuiwb.text import short_bytes

app = group("Show rows as the model will see them; check a dataset.")
curate.register(app)

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A model folder or cached hub id, for its tokenizer."),
]
LengthOption = Annotated[
    int | None, typer.Option("--max-length", min=1, help="Tokens the trainer keeps of a row.")
]


@app.command("list")
def list_datasets(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]")] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the datasets of the project, or of a folder, with their rows and formats."""
    if folder is not None:
        if not folder.is_dir():
            raise BadInput(f"{folder} is not a folder")
        files = [p for p in folder.iterdir() if p.suffix in DATASET_SUFFIXES and p.is_file()]
        paths = sorted(files)
        where: Project | None = None
    else:
        where = project_at(project)
        paths = where.datasets()
    rows = [_entry(path, where) for path in paths]
    if as_json:
        say_json(rows)
        return
    if not rows:
        say(f"no datasets in {folder or (where and where.root)}")
        return
    cells = [
        [row["name"], f"{row['rows']:,}" if row["rows"] is not None else "-", row["format"] or "-",
         short_bytes(row["bytes"]), row["problem"] or ""]
        for row in rows
    ]  # fmt: skip
    say_table(["file", "rows", "format", "size", ""], cells)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A dataset: .jsonl, .json, .csv or .parquet.")],
    row: Annotated[int, typer.Option("--row", "-r", min=0, help="Which row, from 0.")] = 0,
    model: ModelOption = None,
    max_length: LengthOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one row: its conversation, or with --model the tokens TRL will train on.

    In the rendered text special tokens stand in ⟦ ⟧ and trained stretches between ▶ and ◀.
    """
    dataset = open_dataset(file)
    shown = dataset.row(row)
    if shown.shape == "broken":
        raise BadInput(f"{shown.where} {shown.problem}")
    if model is None:
        _show_conversation(dataset, shown, as_json)
    else:
        _show_rendered(shown, _model(model, project), max_length, as_json)


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="A dataset: .jsonl, .json, .csv or .parquet.")],
    against: Annotated[
        Path | None, typer.Option("--against", help="A held-out set to look for leaks of.")
    ] = None,
    model: ModelOption = None,
    max_length: LengthOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every row; exit 0 when nothing is found, 1 with findings, 2 when it can't be read."""
    from tuiwb.data.checks import MAX_LENGTH, check_dataset

    report = check_dataset(
        file,
        against,
        model=None if model is None else _model(model, project),
        max_length=max_length or MAX_LENGTH,
    )
    if as_json:
        say_json(report)
    else:
        for finding in report.findings:
            mark = "!" if finding.severity == "error" else " "
            say(f"{mark} {finding.file}:{finding.line} {finding.check}: {finding.sentence}")
        kinds = ", ".join(f"{n} {name}" for name, n in report.audit["checks"].items())
        total = f"{len(report.findings)} findings in {report.audit['rows_with_findings']} rows"
        say(f"{report.rows} rows in {report.seconds:.1f} s: {total if kinds else 'nothing found'}")
        if kinds:
            say(kinds)
        if tokens := report.audit.get("tokens"):
            say(_token_line(tokens))
    if report.findings:
        raise typer.Exit(EXIT_FINDINGS)


def _entry(path: Path, project: Project | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": project.shorten(path) if project else path.name,
        "path": str(path),
        "bytes": path.stat().st_size,
        "rows": None,
        "format": None,
        "problem": None,
    }
    try:
        dataset = open_dataset(path)
        entry |= {"rows": len(dataset), "format": dataset.format}
    except TuiwbError as error:
        entry["problem"] = str(error)
    return entry


def _model(model: str, project: Path | None) -> str:
    """A model as the user names it: a path from here or from the project, else a hub id."""
    if Path(model).is_dir():
        return str(Path(model).resolve())
    inside = project_at(project).resolve(model)
    return str(inside) if inside.is_dir() else model


def _show_conversation(dataset: Dataset, row: Row, as_json: bool) -> None:
    from tuiwb.data.render import conversation_text

    if as_json:
        import msgspec

        plain = msgspec.to_builtins(row)
        say_json({**plain, "rows": len(dataset)})
        return
    say(f"{row.where}  row {row.index} of {len(dataset)}  {row.format}")
    say()
    say(conversation_text(row))


def _show_rendered(row: Row, model: str, max_length: int | None, as_json: bool) -> None:
    from tuiwb.data.render import Sidecar

    sidecar = Sidecar()
    try:
        rendered = sidecar.render(model, row, max_length)
    finally:
        sidecar.close()
    if as_json:
        import msgspec

        say_json({"file": row.file, "row": row.index, "line": row.line, "model": model,
                  **_named(msgspec.to_builtins(rendered))})  # fmt: skip
        return
    from tuiwb.data.render import marked_text

    view = rendered
    while True:
        part = f"{view.part}: " if view.part else ""
        say(f"{row.where}  {part}{view.total} tokens, {view.trained} trained")
        say()
        say(marked_text(view))
        for line in view.notes:
            say(f"note: {line}")
        if view.other is None:
            return
        view = view.other
        say()


def _named(rendered: dict[str, Any]) -> dict[str, Any]:
    """Tokens as objects, for readers that know no order of fields."""
    names = ("text", "id", "special", "trained")
    rendered["tokens"] = [dict(zip(names, token, strict=True)) for token in rendered["tokens"]]
    if rendered.get("other"):
        _named(rendered["other"])
    return rendered


def _token_line(tokens: dict[str, Any]) -> str:
    if not tokens["counted"]:
        return "tokens: no row counted"
    return (
        f"tokens: median {tokens['median']}, 95% up to {tokens['p95']}, longest "
        f"{tokens['longest']}; {tokens['trained_share']:.0%} trained "
        f"(max_length {tokens['max_length']}, {tokens['counted']} rows counted)"
    )
