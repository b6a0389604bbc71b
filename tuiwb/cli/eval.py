"""`tuiwb eval RUN`: what the fine-tune may have lost, measured against its base."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import (
    FollowOption,
    JsonOption,
    ProjectOption,
    RunArgument,
    from_project,
    project_at,
    say,
    say_json,
    say_started,
    say_table,
    single,
)
from tuiwb.errors import EXIT_FINE, JobFailed

app = single()


@app.command(name="eval")
def evaluate(
    run: RunArgument,
    tasks: Annotated[
        str,
        typer.Option(
            help="canary, ood, general, seen, or lm-evaluation-harness tasks (mmlu, hellaswag, "
            "arc_challenge, truthfulqa, gsm8k, ...), with commas (default: the first four)."
        ),
    ] = "",
    canary: Annotated[
        Path | None, typer.Option(help="The canary set (default: data/canary.jsonl).")
    ] = None,
    ood: Annotated[Path | None, typer.Option(help="Odd prompts (default: data/ood.jsonl).")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Prompts answered at once.")] = 16,
    limit: Annotated[
        int | None, typer.Option(help="At most this many items of each harness task.")
    ] = None,
    follow: FollowOption = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Ask base and fine-tune the canary set, odd prompts, a 200-item probe of general ability.

    One model load for all; a second call goes on where it stopped, and tasks done before stay.
    A benchmark whose data is not cached here is told as not run, and left out of the next call that
    does not ask it. Exit codes: 0 fine, 2 bad input,
    3 something missing here, 4 the job failed.
    """
    from tuiwb.cli.compare import watch
    from tuiwb.compare.evaluation.plan import EVAL, answered, plan, start
    from tuiwb.compare.evaluation.results import read_results
    from tuiwb.compare.evaluation.tasks import leave_out

    home = project_at(project)
    spec = plan(
        home,
        run,
        tasks=tasks.split(","),
        canary=None if canary is None else from_project(canary, project).absolute(),
        ood=None if ood is None else from_project(ood, project).absolute(),
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        limit=limit,
    )
    folder = home.run(run) / EVAL
    if answered(spec):
        leave_out(folder, spec["tasks"])
    else:
        start(home, spec)
        if not follow:
            return say_started(f"{run}/{EVAL}", folder, json=json)
        watch(folder)
    results = read_results(folder)
    if results is None:
        raise JobFailed(f"{folder} has no results: its evaluation was stopped before the end")
    if json:
        import msgspec

        say_json({"name": run, "folder": str(folder), **msgspec.to_builtins(results)})
    else:
        say_results(run, home.shorten(folder), results)
    raise typer.Exit(EXIT_FINE)


def say_results(run: str, folder: str, results: Any) -> None:
    """The suites as a table, what was not run, and where the items are."""
    from tuiwb.compare.left_out import left_out_sentence

    done = [suite for suite in results.suites if suite.state == "done"]
    say(f"{run}: what the fine-tune kept of its base")
    say()
    if done:
        say_table(
            ("suite", "n", "base", "fine-tune", "change [95%]", "won/lost", "p (two-sided)"),
            [_row(suite) for suite in done],
        )
        say()
    for suite in done:
        if suite.flip_n:
            say(
                f"{suite.name}: the base answered twice, {suite.flips} of {suite.flip_n} flip; a "
                f"gate at 5% would trip by chance {suite.false_alarm:.1%} of the time (at most "
                f"{suite.false_alarm_high:.1%})"
            )
        if suite.notes:
            say(
                f"{suite.name}: {sum(suite.notes.values())} of {suite.n} answers hold facts that "
                "the prompt doesn't"
            )
    for suite in results.suites:
        if suite.state == "not run":
            say(f"{suite.name} not run: {suite.reason}")
        elif left_out := left_out_sentence(suite.left_out):
            say(f"{suite.name}: {left_out}")
    if results.seen is not None:
        say(
            f"{results.seen.seen} of {results.seen.n} held-out prompts stand in the "
            f"{results.seen.rows:,} training rows"
        )
    say(f"items: {folder}/items.jsonl; the verdict: tuiwb gate {run}")


def _row(suite: Any) -> tuple[str, ...]:
    interval = suite.interval
    bounds = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if interval else ""
    p = "<.001" if suite.p is not None and suite.p < 0.001 else f"{suite.p or 0:.3f}"
    return (
        suite.name,
        str(suite.n),
        f"{suite.base:.1%}",
        f"{suite.adapter:.1%}",
        f"{0 - 100 * suite.regression:+.1f}{bounds}",
        f"{suite.better}/{suite.worse}",
        p,
    )
