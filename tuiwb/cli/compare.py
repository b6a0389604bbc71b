"""`tuiwb compare RUN`: base against fine-tune on held-out prompts, measured."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, project_at, say, say_json, say_table, single
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE

app = single()


@app.command()
def compare(
    run: Annotated[str, typer.Argument(help="The run's name.", show_default=False)],
    prompts: Annotated[
        Path | None,
        typer.Option(help="A dataset of prompts (default: the run's held-out file)."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most this many prompts.")] = 50,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    batch_size: Annotated[int, typer.Option(help="Prompts answered at once.")] = 16,
    seed: Annotated[int, typer.Option(help="Chooses the prompts of a longer file.")] = 0,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, float16 (default: the run's).")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="A system turn for prompts that have none.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--detach", help="Wait for the result, or return at once.")
    ] = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Generate with base and adapter on one model load, and print what they got right.

    The job goes on without this terminal, and a second call goes on where it stopped. Exit codes:
    0 fine, 1 the adapter changes nothing, 2 bad input, 3 something missing here, 4 the job failed.
    """
    from tuiwb.compare.completions import read_summary
    from tuiwb.compare.plan import COMPARE, answered, plan, start

    home = project_at(project)
    spec = plan(
        home,
        run,
        prompts=None if prompts is None else prompts.absolute(),
        limit=limit,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        dtype=dtype,
        system=system,
    )
    folder = home.run(run) / COMPARE
    if not answered(spec):
        start(home, spec)
        if not follow:
            return _detached(folder, json)
        watch(folder)
    summary = read_summary(folder)
    if summary is None:
        from tuiwb.errors import JobFailed

        raise JobFailed(f"{folder} has no summary: its comparison was stopped before the end")
    if json:
        say_json({"name": run, "folder": str(folder), **_plain(summary)})
    else:
        _say_summary(run, home.shorten(Path(spec["prompts"])), home.shorten(folder), summary)
    raise typer.Exit(EXIT_FINDINGS if summary.adapter_applied is False else EXIT_FINE)


def watch(folder: Path) -> None:
    """Say on stderr what the job does until it ends; raise the error it ended with."""
    import time

    from tuiwb.cli.common import note
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
            for event in events:
                if isinstance(event, State):
                    exit_code = event.exit_code
                # A job that goes on tells its old story again: that was said before.
                if event.t >= begun - 5:
                    printer.show(event, follower.state)
            if follower.state.state in ENDED and not events:
                break
            if not events:
                time.sleep(POLL)
    except KeyboardInterrupt:
        name = run_name(folder)
        note(f"{name} goes on: 'tuiwb runs follow {name}' watches it, 'runs stop' stops it")
        raise typer.Exit(INTERRUPTED) from None
    state = follower.state
    if state.state == "cancelled":
        raise JobFailed(f"{state.name} was stopped: the same command goes on where it was")
    if state.state != "finished":
        kinds = {EXIT_BAD_INPUT: BadInput, EXIT_MISSING: MissingHere}
        raise kinds.get(exit_code or 0, JobFailed)(state.message or f"{state.name} {state.state}")


def _detached(folder: Path, json: bool) -> None:
    from tuiwb.monitor.runs import run_name

    name = run_name(folder)
    if json:
        say_json({"name": name, "folder": str(folder)})
    else:
        say(f"started {name}: 'tuiwb runs follow {name}' watches it")


def _plain(summary: Any) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(summary)
    return plain


def _say_summary(run: str, prompts: str, folder: str, summary: Any) -> None:
    from tuiwb.compare.figure_text import difference, figure, p_value

    say(f"{run}: base against fine-tune, {summary.done} of {summary.total} prompts from {prompts}")
    say()
    if summary.metrics:
        say_table(
            ("metric", "n", "base", "fine-tune", "difference [95%]", "better/worse", "p"),
            [
                (
                    line.label,
                    str(line.n),
                    figure(line, adapter=False),
                    figure(line, adapter=True),
                    difference(line),
                    f"{line.better}/{line.worse}" if line.adapter is not None else "-",
                    p_value(line.p),
                )
                for line in summary.metrics
            ],
        )
    else:
        say("the prompts have no reference answers: read and vote on them, or ask a judge")
    say()
    if summary.adapter_applied is not None:
        word = "applied" if summary.adapter_applied else "NOT APPLIED"
        say(
            f"adapter {word}: {summary.identical} of {summary.done} answers identical, largest "
            f"logit difference {summary.max_logit_difference:.3g}"
        )
    say(f"report: {folder}/report.md")
