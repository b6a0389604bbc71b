"""`tuiwb score RUN`: measure a comparison's kept answers again, without any model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, project_at, say, say_json, say_table, single
from tuiwb.errors import BadInput

if TYPE_CHECKING:
    from tuiwb.compare.completions import Summary
    from tuiwb.compare.metrics.measure import Figures, Options
    from tuiwb.compare.metrics.task import MetricSummary

app = single()


@app.command()
def score(
    run: Annotated[str | None, typer.Argument(help="The run's name.", show_default=False)] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A side of the comparison to measure against (default: base); repeat."),
    ] = None,
    side: Annotated[
        str, typer.Option(help="The side under test, by its name in the comparison.")
    ] = "adapter",
    schema: Annotated[
        Path | None, typer.Option(help="A JSON Schema that answers should keep to.")
    ] = None,
    regex: Annotated[
        list[str] | None,
        typer.Option(help="An expression that answers should match (RE2; ^...$ for all); repeat."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="A tag to slice by, or 'length' (default: all tags); repeat."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric of the slices (default: the main one).")
    ] = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Write report.md and report.html with votes and judges."),
    ] = False,
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="Answers of another tool, a line each; repeat for base, then new."),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="What those answers should be: a dataset or a line each.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Every metric of the kept answers, with intervals, slices and JSON fields; no model is run.

    Exit codes: 0 fine, 2 bad input, 3 something missing here.
    """
    options = _options(schema, regex or [], by or [], metric)
    if answers:
        if run is not None or against or report or side != "adapter":
            raise BadInput(
                "--answers are measured by themselves: leave out the run, --against, --side and "
                "--report"
            )
        return _foreign(answers, references, options, json)
    if references is not None:
        raise BadInput("--references go with --answers: a run has its references with its prompts")
    if run is None:
        raise BadInput("which run? 'tuiwb score RUN', or --answers FILE --references FILE")
    _run(
        project,
        run,
        [(one, side) for one in dict.fromkeys(against or ["base"])],
        options,
        report,
        json,
    )


def _options(schema: Path | None, regex: list[str], by: list[str], metric: str | None) -> "Options":
    from tuiwb.compare.metrics.json_schema import read_schema
    from tuiwb.compare.metrics.measure import Options
    from tuiwb.compare.metrics.patterns import Pattern

    return Options(
        schema=None if schema is None else read_schema(schema),
        patterns=[Pattern(text) for text in dict.fromkeys(regex)],
        by=list(dict.fromkeys(by)),
        sliced=metric,
    )


def _run(
    project: Path | None,
    run: str,
    pairs: list[tuple[str, str]],
    options: "Options",
    report: bool,
    json: bool,
) -> None:
    from tuiwb.compare.left_out import left_out_sentence
    from tuiwb.compare.plan import COMPARE
    from tuiwb.compare.report.html import write_report
    from tuiwb.compare.rescore import page, rescore

    home = project_at(project)
    found = [rescore(home, run, options, sides) for sides in pairs]
    folder = home.run(run) / COMPARE
    pages = [page(one) for one in found]
    written = []
    if report:
        for one, said in zip(found, pages, strict=True):
            written += write_report(folder, said, one.sides)
    if json:
        import msgspec

        say_json(
            {
                "name": run,
                "folder": str(folder),
                "comparisons": [
                    {
                        "sides": list(one.sides),
                        "labels": list(one.labels),
                        **msgspec.to_builtins(one.summary),
                    }
                    for one in found
                ],
                "reports": [str(path) for path in written],
            }
        )
        return
    for one, said in zip(found, pages, strict=True):
        if said is not pages[0]:
            say()
        say(f"{said.title}, {one.summary.done} of {one.summary.total} prompts")
        if left_out := left_out_sentence(one.summary.left_out):
            say(left_out)
        for alarm in said.alarms:
            say(f"! {alarm}")
        if said.conclusion:
            say(said.conclusion)
        _say_figures(one.summary, one.labels)
    for path in written:
        say(f"wrote {home.shorten(path)}")


def _foreign(answers: list[Path], references: Path | None, options: "Options", json: bool) -> None:
    from tuiwb.compare.foreign_answers import foreign_pairs
    from tuiwb.compare.metrics.measure import measure

    figures = measure(foreign_pairs(answers, references), options)
    if json:
        say_json({"answers": [str(path) for path in answers], "figures": figures})
        return
    names = [path.name for path in answers]
    if len(set(names)) < len(names):
        names = [str(path) for path in answers]
    say(f"{' against '.join(names)}, {figures.n} answers")
    _say_figures(figures, (names[0], names[1] if len(names) == 2 else "-"))


def _say_figures(figures: "Figures | Summary", labels: tuple[str, str]) -> None:
    from tuiwb.compare.report.figure_text import (
        field_head,
        field_rows,
        figure_rows,
        head,
        slice_rows,
        slices_by_tag,
    )

    def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        if rows:
            say()
            say_table(header, rows, capitals=False)

    def cells(lines: "list[MetricSummary]") -> list[tuple[str, ...]]:
        return [row.cells for row in figure_rows(lines)]

    table(head(*labels), cells(figures.metrics))
    if not figures.metrics:
        say("no reference answers: nothing to measure against")
    table(head(*labels, first="of the answers"), cells(figures.quantities))
    table(field_head(*labels), field_rows(figures.fields))
    if figures.slices:
        say()
        say(f"slices: {figures.slices[0].line.label}, the worst first, those of few prompts last")
    for tag, chosen in slices_by_tag(figures.slices).items():
        table(head(*labels, first=tag), [row.cells for row in slice_rows(chosen)])
    if figures.not_run:
        say()
    for name, why in figures.not_run.items():
        say(f"{name}: {why}")
