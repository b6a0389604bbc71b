"""`tuiwb data generate`: synthetic rows from seed examples, by a model, within a budget."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import (
    BaseUrlOption,
    FollowOption,
    JsonOption,
    ProjectOption,
    YesOption,
    from_project,
    note,
    project_at,
    say,
    say_json,
    say_started,
)
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE, BadInput


def generate(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A dataset of real examples to take form and tone from: the seeds."
        ),
    ] = None,
    seeds: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The same as an option.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="What the model shall learn, in words.")] = None,
    task_file: Annotated[
        Path | None, typer.Option(help="The same from a text file.", show_default=False)
    ] = None,
    rows: Annotated[int | None, typer.Option(help="How many new rows. [default: 100]")] = None,
    out: Annotated[
        str | None, typer.Option(help="The name of run and dataset. [default: SEEDS-synthetic]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Who writes (default: the project's judge).")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server instead, such as http://127.0.0.1:8000."),
    ] = None,
    base_url: BaseUrlOption = None,
    key_env: Annotated[
        str, typer.Option(help="The variable that holds the key for --endpoint.")
    ] = "OPENAI_API_KEY",
    max_usd: Annotated[
        float | None, typer.Option(help="Stop before this much is spent, in US dollars.")
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option(help="Stop after so many requests (default: 3 times the plan).")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Stop before so many tokens are taken, in and out.")
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="More datasets whose rows must not be repeated.")
    ] = None,
    heldout: Annotated[
        Path | None, typer.Option(help="A held-out set that must not leak into the rows.")
    ] = None,
    persona: Annotated[
        list[str] | None, typer.Option(help="Vary by who asks; give several.")
    ] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Vary by topic; give several.")] = None,
    difficulty: Annotated[
        list[str] | None, typer.Option(help="Vary by difficulty; give several.")
    ] = None,
    vary: Annotated[
        bool, typer.Option("--vary/--no-vary", help="Ask the model once what to vary by.")
    ] = True,
    per_request: Annotated[int, typer.Option(help="Rows asked for at once, 1 to 50.")] = 5,
    shots: Annotated[int, typer.Option(help="Seeds shown in a request, 1 to 20.")] = 3,
    seed: Annotated[int, typer.Option(help="Draws seeds, personas, topics, difficulties.")] = 0,
    concurrency: Annotated[int, typer.Option(help="Requests at once, 1 to 32.")] = 4,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this run; limits may be given anew.")
    ] = None,
    yes: YesOption = False,
    follow: FollowOption = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Have a model write rows like FILE's; the cost is shown first.

    None repeats the seeds or another one. The key comes from the environment. Every answer is
    kept: the same command goes on where it stopped, and nothing is asked or paid twice. Exit
    codes: 0 all rows are there, 1 a budget or a lack of new rows ended it, 2 bad input, 3 no
    key or a refused one, 4 the job failed.
    """
    from tuiwb.cli.compare import watch
    from tuiwb.data.generate.plan import (
        estimate,
        plan_generation,
        resume_generation,
        start_generation,
    )
    from tuiwb.data.generate.results import read_generate_summary

    if file is not None and seeds is not None:
        raise BadInput("FILE and --seeds name the same: give the seed examples once")
    seeds = file or seeds
    home = project_at(project)
    limits: dict[str, Any] = {
        "max_usd": max_usd,
        "max_requests": max_requests,
        "max_tokens": max_tokens,
    }
    if resume is not None:
        if seeds or task or task_file or out:
            raise BadInput("--resume goes on with what the run was asked: leave out the seeds, "
                           "--task and --out")  # fmt: skip
        spec = resume_generation(home, resume, rows=rows, **limits)
    else:
        if seeds is None:
            raise BadInput("give a dataset of seed examples: tuiwb data generate FILE, "
                           "or --resume RUN")  # fmt: skip
        given = {"persona": persona, "topic": topic, "difficulty": difficulty}
        axes = {name: values for name, values in given.items() if values}
        spec = plan_generation(
            home,
            seeds=from_project(seeds, project).absolute(),
            task=_task(task, task_file),
            rows=100 if rows is None else rows,
            out=out,
            model=model,
            endpoint=endpoint,
            base_url=base_url,
            key_env=key_env,
            against=[from_project(path, project).absolute() for path in against or ()],
            heldout=None if heldout is None else from_project(heldout, project).absolute(),
            axes=axes if axes or not vary else None,
            per_request=per_request,
            shots=shots,
            seed=seed,
            concurrency=concurrency,
            **limits,
        )
    cost = estimate(spec)
    note(f"{cost.sentence}; at {spec.base_url}")
    if cost.left_out:
        note(f"{cost.left_out} rows of {spec.seeds} can't be seeds and are left out")
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("nobody is here to confirm the cost: give --yes to go ahead")
        if not typer.confirm("generate now?", err=True):
            raise typer.Exit(EXIT_FINE)
    folder = start_generation(spec)
    if not follow:
        return say_started(spec.out, folder, json=json)
    watch(folder)
    summary = read_generate_summary(folder)
    if summary is None:
        raise BadInput(f"{folder} has no summary.json: run the same again")
    if json:
        import msgspec

        say_json({"name": spec.out, "folder": str(folder), **msgspec.to_builtins(summary)})
    else:
        _say_summary(spec.out, home.shorten(Path(summary.dataset)), summary)
    raise typer.Exit(EXIT_FINE if summary.complete else EXIT_FINDINGS)


def _task(task: str | None, task_file: Path | None) -> str:
    if (task is None) == (task_file is None):
        raise BadInput("say what the model shall learn with --task TEXT or --task-file FILE")
    if task_file is None:
        return task or ""
    try:
        return task_file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"can't read {task_file}: {error}") from None


def _say_summary(name: str, dataset: str, summary: Any) -> None:
    from tuiwb.data.generate.results import REJECTED

    say(f"{name}: {summary.kept} of {summary.rows} rows by {summary.model}, in {dataset}")
    rejected = ", ".join(f"{n} {reason}" for reason, n in summary.rejected.items()) or "none"
    say(f"{summary.received} rows came, rejected: {rejected} (runs/{name}/{REJECTED})")
    if summary.problems:
        problems = "; ".join(f"{n} x {why}" for why, n in summary.problems.items())
        say(f"answers with a problem: {problems}")
    for axis, values in summary.axes.items():
        say(f"varied by {axis}: {', '.join(values)}")
    spent = "unknown" if summary.usd is None else f"${summary.usd:.4f}"
    say(
        f"{summary.calls} calls, {summary.input_tokens:,} tokens in, "
        f"{summary.output_tokens:,} out, cost {spent}"
    )
    say(summary.share_sentence)
    if summary.ended:
        say(f"ended early: {summary.ended}")
    say("have a person look at a sample before you train on it:")
    say(f"tuiwb data review {dataset} --only-synthetic")
