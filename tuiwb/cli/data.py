"""`tuiwb data`: list datasets, show a row as the model will see it, check a file, work on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuiwb.cli import curate, generate, rows
from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    from_project,
    group,
    index_cache,
    note,
    project_at,
    say,
    say_json,
    say_table,
)
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Row
from tuiwb.errors import EXIT_FINDINGS, BadInput, TuiwbError
from tuiwb.project import Project, is_dataset
from tuiwb.text import counted, short_bytes

if TYPE_CHECKING:
    from tuiwb.data.checks.finding import Report
    from tuiwb.data.columns import RowColumns

app = group("Show rows as the model will see them; check a dataset, and work on it.")

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
    """Name the datasets here, or of a folder, with rows and formats."""
    if folder is not None:
        if not folder.is_dir():
            raise BadInput(f"{folder} is not a folder")
        paths = sorted(p for p in folder.iterdir() if is_dataset(p))
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
    beside: Annotated[
        str | None, typer.Option("--compare-model", help="Another model: how its template differs.")
    ] = None,
    max_length: LengthOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a row: its conversation, or with --model its tokens.

    They are those that TRL will train on. In the rendered text special tokens stand in ⟦ ⟧ and
    trained stretches between ▶ and ◀.
    """
    dataset = open_dataset(from_project(file, project), cache=index_cache(project))
    shown = dataset.row(row)
    if shown.shape == "broken":
        raise BadInput(f"{shown.where} {shown.problem}")
    if model is None and beside is not None:
        raise BadInput("--compare-model sets a model beside another: give --model too")
    if model is None:
        _show_conversation(dataset, shown, as_json)
    elif beside is not None:
        models = (_model(model, project), _model(beside, project))
        _show_beside(shown, models, max_length, dataset.format == "mixed", as_json)
    else:
        mixed = dataset.format == "mixed"
        _show_rendered(shown, _model(model, project), max_length, mixed, as_json)


@app.command("check")
def check(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="A dataset; several files are checked as one."),
    ],
    against: Annotated[
        Path | None, typer.Option("--against", help="A held-out set to look for leaks of.")
    ] = None,
    model: ModelOption = None,
    max_length: LengthOption = None,
    use: Annotated[
        str | None,
        typer.Option("--use", help="What it is for: format, domain, new_capability, preference."),
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every row of a dataset and say what was found.

    Exit codes: 0 nothing, 1 findings, 2 the file can't be read. The report on a single file of
    the project is kept, as the Data screen keeps its own.
    """
    from tuiwb.data.checks import MAX_LENGTH, check_dataset

    files = [from_project(file, project) for file in files]
    against = None if against is None else from_project(against, project)
    cache = index_cache(project)
    one = files[0] if len(files) == 1 else None
    named = None if model is None else _model(model, project)
    home = project_at(project)
    inside = one is not None and cache is not None and one.resolve().is_relative_to(home.root)
    kept = _Kept(one) if one is not None and inside else None
    report = check_dataset(
        one or files,
        against,
        model=named,
        max_length=max_length or MAX_LENGTH,
        use=use,
        cache=cache,
        keep_columns=None if kept is None else kept.columns.append,
    )
    if kept is not None:
        spec = {
            "path": str(kept.path),
            "against": None if against is None else str(against.resolve()),
            "model": named,
            "max_length": max_length,
            "use": use,
            "cache": str(cache),
        }
        said = kept.keep(home, spec, report)
        if not as_json:
            note(said)
    if as_json:
        say_json(report)
    else:
        _say_report(report)
    if report.findings:
        raise typer.Exit(EXIT_FINDINGS)


class _Kept:
    """A check that is to be kept in the project: its file as it was before, its columns."""

    def __init__(self, file: Path) -> None:
        from tuiwb.data.reports import stamp_of

        self.path = file.resolve()
        self.columns: list[RowColumns] = []
        self._stamp = stamp_of(self.path) if file.exists() else []

    def keep(self, project: Project, spec: dict[str, Any], report: "Report") -> str:
        """Keep it; where, in words."""
        from tuiwb.data.reports import keep_check

        columns = next(iter(self.columns), None)
        folder = keep_check(project.runs / "checks", spec, report, self._stamp, columns)
        if folder is None:
            return "the report could not be kept in the project"
        return f"kept as {project.shorten(folder)}: rows and facets go by it"


def _say_report(report: Any) -> None:
    from tuiwb.data.audit_text import audit_lines

    for finding in report.findings:
        mark = "!" if finding.severity == "error" else " "
        say(f"{mark} {finding.file}:{finding.line} {finding.check}: {finding.sentence}")
    if report.findings:
        say()
    for line in audit_lines(report.audit):
        say({"head": "", "fact": "  ", "warn": "! "}[line.kind] + line.text)
    say()
    kinds = ", ".join(f"{n} {name}" for name, n in report.audit["checks"].items())
    flagged = counted(report.audit["rows_with_findings"], "row")
    total = f"{counted(len(report.findings), 'finding')} in {flagged}" if kinds else "nothing found"
    say(f"{counted(report.rows, 'row')} in {report.seconds:.1f} s: {total}")
    if kinds:
        say(kinds)


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
    # Beside other folders it is one that isn't there, not a hub id.
    meant = inside.is_dir() or ("/" in model and inside.parent.is_dir())
    return str(inside) if meant else model


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


def _show_rendered(
    row: Row, model: str, max_length: int | None, as_chat: bool, as_json: bool
) -> None:
    from tuiwb.data.render import Sidecar

    sidecar = Sidecar()
    try:
        rendered = sidecar.render(model, row, max_length, as_chat=as_chat)
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


def _show_beside(
    row: Row, models: tuple[str, str], max_length: int | None, as_chat: bool, as_json: bool
) -> None:
    from tuiwb.data.render import Sidecar
    from tuiwb.data.template_diff import compare_rendered, comparison_lines

    sidecar = Sidecar()
    try:
        one, other = (sidecar.render(model, row, max_length, as_chat=as_chat) for model in models)
    finally:
        sidecar.close()
    if as_json:
        import msgspec

        told = msgspec.to_builtins(compare_rendered(row, one, other))
        say_json({"file": row.file, "row": row.index, "line": row.line, "models": models, **told})
        return
    say(f"{row.where}  row {row.index}")
    names = (Path(models[0]).name, Path(models[1]).name)
    for line in comparison_lines(row, one, other, names):
        say(line)


curate.register(app)
app.command("rows")(rows.rows)
app.command("facets")(rows.facets)
app.command("generate")(generate.generate)
