"""`tuiwb compare RUN`: a run against its base or any other model on held-out prompts, measured."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuiwb.cli.common import (
    FollowOption,
    JsonOption,
    ProjectOption,
    from_project,
    note,
    project_at,
    say,
    say_json,
    say_started,
    say_table,
    single,
    there,
)
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE, BadInput

if TYPE_CHECKING:
    from tuiwb.project import Project

app = single()


@app.command()
def compare(
    run: Annotated[
        str, typer.Argument(help="The run's name, or RUN:checkpoint-100.", show_default=False)
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="What the run is compared against: base, another run, RUN:checkpoint-100, a "
            "model's or adapter's folder, URL#MODEL of a server, anthropic:MODEL. Repeat for more "
            "sides; the first is the one in focus.",
            show_default="base",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A dataset of prompts (default: the run's held-out file)."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most this many prompts.")] = 50,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    batch_size: Annotated[
        int | None, typer.Option(help="Prompts answered at once (default: as many as fit).")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Chooses the prompts of a longer file, and what is drawn.")
    ] = 0,
    temperature: Annotated[
        float, typer.Option(help="0 takes the likeliest token; above, tokens are drawn by seed.")
    ] = 0.0,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, float16 (default: the run's).")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="A system turn for prompts that have none.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="auto (vLLM on a GPU where installed), transformers or vllm.")
    ] = "auto",
    max_usd: Annotated[
        float | None, typer.Option(help="Stop an API side when this much is spent, in US dollars.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before spending on an API side.")
    ] = False,
    follow: FollowOption = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Let a run and what it is compared against answer held-out prompts; print what they got right.

    Sides on one base share one model load. A side that joins later is the only one to answer then.
    'tuiwb compare export RUN' makes preference data of the votes and verdicts on it, 'tuiwb compare
    list' names all comparisons, 'tuiwb compare use NAME' shows an earlier one again.

    The job goes on without this terminal, and a second call goes on where it stopped. Exit codes:
    0 fine, 1 the adapter changes nothing, 2 bad input, 3 something missing here, 4 the job failed.
    """
    from tuiwb.compare.completions import label_of, read_summary, side_names
    from tuiwb.compare.plan import COMPARE, answered, bring_back, plan, start
    from tuiwb.jobs.folder import load
    from tuiwb.monitor.runs import run_name

    home = project_at(project)
    spec = plan(
        home,
        run,
        prompts=None if prompts is None else from_project(prompts, project).absolute(),
        limit=limit,
        max_new_tokens=max_new_tokens,
        against=tuple(against or ["base"]),
        batch_size=batch_size,
        seed=seed,
        temperature=temperature,
        dtype=dtype,
        system=system,
        engine=engine,
        max_usd=max_usd,
    )
    folder = Path(spec["run"]) / COMPARE
    if answered(spec):
        bring_back(spec, note)
    else:
        _confirm(home, spec, yes)
        start(home, spec, note)
        if not follow:
            return say_started(run_name(folder), folder, json=json)
        watch(folder)
    summary = read_summary(folder)
    if summary is None:
        from tuiwb.errors import JobFailed

        raise JobFailed(f"{folder} has no summary: its comparison was stopped before the end")
    asked = load(folder).spec
    if json:
        sides = [{"name": name, "label": label_of(asked, name)} for name in side_names(asked)]
        say_json({"name": run, "folder": str(folder), "sides": sides, **_plain(summary)})
    else:
        _say_summary(folder.parent.name, asked, home, summary)
    raise typer.Exit(EXIT_FINDINGS if summary.adapter_applied is False else EXIT_FINE)


def watch(folder: Path) -> None:
    """Say on stderr what the job does until it ends; raise the error it ended with."""
    import time

    from tuiwb.cli.follow import INTERRUPTED, POLL, Printer
    from tuiwb.errors import EXIT_BAD_INPUT, EXIT_MISSING, BadInput, JobFailed, MissingHere
    from tuiwb.jobs.events import State
    from tuiwb.jobs.follow import Follower
    from tuiwb.jobs.state import ENDED
    from tuiwb.monitor.runs import run_name

    follower, printer = Follower(folder), Printer(note)
    begun, exit_code = time.time(), None
    try:
        while True:
            events = follower.poll()
            starts = [
                n for n, e in enumerate(events) if isinstance(e, State) and e.state == "queued"
            ]
            for place, event in enumerate(events):
                if isinstance(event, State):
                    exit_code = event.exit_code
                    if event.state == "failed":
                        continue  # raised below
                # A job that goes on tells its old story again: that was said before.
                if event.t >= begun - 5 and place >= max(starts, default=0):
                    printer.show(event, follower.state)
            if follower.state.state in ENDED and not events:
                break
            if not events:
                time.sleep(POLL)
    except KeyboardInterrupt:
        name = run_name(folder)
        named = f"{name}{there(folder)}"
        note(f"{name} goes on: 'tuiwb runs follow {named}' watches it, 'runs stop' stops it")
        raise typer.Exit(INTERRUPTED) from None
    state = follower.state
    if state.state == "cancelled":
        raise JobFailed(f"{state.name} was stopped: the same command goes on where it was")
    if state.state != "finished":
        kinds = {EXIT_BAD_INPUT: BadInput, EXIT_MISSING: MissingHere}
        raise kinds.get(exit_code or 0, JobFailed)(state.message or f"{state.name} {state.word}")


def _plain(summary: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(summary)
    return plain


def _confirm(home: "Project", spec: dict[str, Any], yes: bool) -> None:
    """Show what API sides will cost and ask; BadInput when nobody is here to be asked."""
    from tuiwb.compare.api_cost import api_costs

    costs = api_costs(home, spec)
    for cost in costs:
        most = f"; at most ${spec['max_usd']:g} are spent" if cost.usd is not None else ""
        note(f"{cost.sentence}{most}")
    if costs and not yes:
        if not sys.stdin.isatty():
            raise BadInput("nobody is here to confirm the cost: give --yes to go ahead")
        if not typer.confirm("ask now?", err=True):
            raise typer.Exit(EXIT_FINE)


def _say_summary(run: str, spec: dict[str, Any], home: "Project", summary: Any) -> None:
    from tuiwb.compare.completions import LABELS, label_of, labels
    from tuiwb.compare.left_out import left_out_sentence
    from tuiwb.compare.plan import COMPARE
    from tuiwb.compare.report.figure_text import figure_rows, head

    base, tuned = labels(spec)
    folder = home.shorten(home.run(run) / COMPARE)
    say(
        f"{run}: {base} against {tuned}, {summary.done} of {summary.total} prompts from "
        f"{home.shorten(Path(spec['prompts']))}"
    )
    if left_out := left_out_sentence(summary.left_out):
        say(left_out)
    say()
    if summary.metrics:
        rows = [row.cells for row in figure_rows([*summary.metrics, *summary.quantities])]
        say_table(head(base, tuned), rows, capitals=False)
    else:
        say("the prompts have no reference answers: read and vote on them, or ask a judge")
    say()
    sides = {"base": summary.base, "adapter": summary.adapter, **summary.others}
    say_table(
        ("side", "tokens", "tokens/s", "first token", "whole answer", "cut", "empty"),
        [
            (
                label_of(spec, name),
                str(side.tokens),
                f"{side.tokens_per_second:.0f}",
                f"{side.first_seconds:.2f} s" if side.first_seconds else "-",
                f"{side.latency:.2f} s",
                str(side.cut),
                str(side.empty),
            )
            for name, side in sides.items()
            if side is not None
        ],
    )
    say()
    if summary.usd:
        say(f"API sides cost ${summary.usd:.4f}")
    if summary.adapter_applied is not None:
        change = ""
        if summary.max_logit_difference is not None:
            change = f", largest logit difference {summary.max_logit_difference:.3g}"
        word = "adapter applied" if summary.adapter_applied else "adapter NOT APPLIED"
        if base != LABELS[0]:
            word = "the sides differ" if summary.adapter_applied else "the sides DO NOT DIFFER"
        say(f"{word}: {summary.identical} of {summary.done} answers identical{change}")
    for name in summary.others:
        say(f"{label_of(spec, name)} against {tuned}: 'tuiwb score {run} --against {name}'")
    say(f"report: {folder}/report.md")
