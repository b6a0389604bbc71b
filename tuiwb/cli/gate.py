"""`tuiwb gate RUN`: SHIP or NO-SHIP, each line with its number and what would change it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    RunArgument,
    note,
    project_at,
    say,
    say_json,
    single,
)
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE, BadInput, JobFailed, MissingHere

app = single()
MARKS = {True: "ok", False: "NO", None: "??"}


@app.command()
def gate(
    run: RunArgument,
    run_missing: Annotated[
        bool,
        typer.Option("--run-missing", help="Compare and evaluate first, where that is missing."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="A folder for gate.md and gate.html (default: the run's own)."),
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Say whether a fine-tune may be shipped, from its comparison, evaluation, judge and votes.

    Thresholds are the section `gate` of tuiwb.yaml. Writes gate.json, gate.md and gate.html.
    Exit codes: 0 SHIP, 1 NO-SHIP, 2 bad input, 3 something missing here, 4 a job failed.
    """
    import msgspec

    from tuiwb.compare.gate.report import write_reports
    from tuiwb.compare.gate.verdict import gate as judge
    from tuiwb.compare.gate.verdict import write_gate

    home = project_at(project)
    folder = home.run(run)
    if run_missing:
        _run_missing(home, run)
    found = judge(home, folder)
    write_gate(folder, found)
    pages = write_reports(folder, found, None if report is None else report.absolute())
    if json:
        say_json({**msgspec.to_builtins(found), "reports": [str(page) for page in pages]})
    else:
        _say(found, [home.shorten(page) for page in pages])
    raise typer.Exit(EXIT_FINE if found.verdict == "SHIP" else EXIT_FINDINGS)


def _run_missing(home: Any, run: str) -> None:
    """Compare and evaluate, each only where the gate says that it counts for nothing now."""
    from tuiwb.cli.compare import watch
    from tuiwb.compare.evaluation import plan as evaluating
    from tuiwb.compare.gate.evidence import gather
    from tuiwb.compare.go_on import go_on
    from tuiwb.compare.plan import COMPARE

    evidence = gather(home, home.run(run))
    if evidence.not_finite:
        return  # nothing can be asked of it, as the first line says
    if evidence.compare is None:
        note(f"compare: {evidence.compare_problem}")
        try:
            started = go_on(home, run, note) == "started"
        except (BadInput, MissingHere) as error:
            # What else is missing needs no comparison.
            note(f"compare: left out, {error}")
            started = False
        if started:
            try:
                watch(home.run(run) / COMPARE)
            except (BadInput, MissingHere, JobFailed) as error:
                note(f"compare: failed, {error}")
    wanted = evaluating.plan_missing(home, run)
    if not evaluating.answered(wanted):
        note(f"eval: {evidence.eval_problem or 'not all of it was done'}")
        evaluating.start(home, wanted)
        watch(home.run(run) / evaluating.EVAL)


def _say(found: Any, pages: list[str]) -> None:
    say(found.sentence)
    say()
    width = max(len(line.label) for line in found.lines)
    for line in found.lines:
        optional = "" if line.required else " (optional)"
        say(f"{MARKS[line.ok]}  {line.label:<{width}}  {line.figure}{optional}")
        if line.ok is not True:
            say(f"    {'':<{width}}  asked: {line.threshold}")
            if line.change:
                say(f"    {'':<{width}}  {line.change}")
    say()
    if found.missing:
        say("to know more:")
        for command in found.missing:
            say(f"    {command}")
        say(f"    (or all that is missing: tuiwb gate {found.run} --run-missing)")
        say()
    say(f"report: {', '.join(pages)}")
