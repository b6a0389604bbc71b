"""`tuiwb judge RUN`: an LLM judges a finished comparison, both orders, within a budget."""

import sys
from typing import Annotated, Any

import typer

from tuiwb.cli.common import JsonOption, ProjectOption, note, project_at, say, say_json, single
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE, BadInput

app = single()


@app.command()
def judge(
    run: Annotated[str, typer.Argument(help="The run's name.", show_default=False)],
    model: Annotated[
        str | None, typer.Option(help="The judge (default: the project's setting).")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Any Anthropic-compatible endpoint, without /v1.")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(help="Stop when this much is spent, in US dollars.")
    ] = None,
    rubric: Annotated[
        str, typer.Option(help="A shipped rubric's name, or a YAML file of your own.")
    ] = "helpfulness",
    concurrency: Annotated[int, typer.Option(help="Calls at once, 1 to 8.")] = 4,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow/--detach", help="Wait for the result, or return at once.")
    ] = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show the cost, ask, then let the judge compare base and fine-tune blind, both orders.

    The key comes from ANTHROPIC_API_KEY. Verdicts are kept: nothing is ever asked or paid twice.
    Exit codes: 0 fine, 1 the judge is not to be trusted or the budget ended it, 2 bad input,
    3 no key or a refused one, 4 the job failed.
    """
    from tuiwb.cli.compare import watch
    from tuiwb.compare.judge_plan import JUDGE, estimate, plan_judge, start_judge
    from tuiwb.compare.judge_summary import read_judge_summary

    home = project_at(project)
    spec = plan_judge(
        home,
        run,
        model=model,
        base_url=base_url,
        max_usd=max_usd,
        rubric=rubric,
        concurrency=concurrency,
    )
    cost = estimate(spec)
    note(f"{cost.sentence}; at {spec['base_url']}, at most ${spec['max_usd']:g}")
    if not yes and cost.calls:
        if not sys.stdin.isatty():
            raise BadInput("nobody is here to confirm the cost: give --yes to go ahead")
        if not typer.confirm("judge now?", err=True):
            raise typer.Exit(EXIT_FINE)
    folder = home.run(run) / JUDGE
    start_judge(spec)
    if not follow:
        say_json({"name": f"{run}/{JUDGE}", "folder": str(folder)}) if json else say(
            f"started {run}/{JUDGE}: 'tuiwb runs follow {run}/{JUDGE}' watches it"
        )
        return
    watch(folder)
    summary = read_judge_summary(folder)
    if summary is None:
        raise BadInput(f"{folder} has no summary.json: judge again")
    if json:
        import msgspec

        say_json({"name": run, "folder": str(folder), **msgspec.to_builtins(summary)})
    else:
        _say_summary(run, summary)
    fine = summary.trusted and not summary.budget_reached
    raise typer.Exit(EXIT_FINE if fine else EXIT_FINDINGS)


def _say_summary(run: str, summary: Any) -> None:
    from tuiwb.compare.stats import power_sentence

    said, counts = summary.preference, summary.preference.counts
    say(f"{run}: {summary.model} judged {summary.judged} of {summary.pairs} pairs")
    say()
    say(
        f"fine-tune won {counts.wins}, lost {counts.losses}, tied {counts.ties} "
        f"({summary.identical} identical)"
    )
    if said.win_rate is not None:
        low, high = said.win_rate_interval.low, said.win_rate_interval.high
        say(f"win rate {_percent(said.win_rate)} [{_percent(low)}, {_percent(high)}] without ties")
    if said.win_rate_with_ties is not None:
        interval = said.win_rate_with_ties_interval
        say(
            f"         {_percent(said.win_rate_with_ties)} "
            f"[{_percent(interval.low)}, {_percent(interval.high)}] ties as half"
        )
    say(said.verdict)
    if counts.wins + counts.losses:
        say(power_sentence(counts.wins + counts.losses))
    say()
    say(
        f"flips {summary.flips}, half wins {summary.weak}, invalid {summary.invalid}, open "
        f"{summary.open}; first response won {_share(summary.first_slot_share)}, longer one "
        f"{_share(summary.longer_win_share)} of decided"
    )
    spent = "unknown" if summary.usd is None else f"${summary.usd:.4f}"
    say(f"{summary.calls} calls, {summary.cached} from the record, cost {spent}")
    if summary.budget_reached:
        say("the budget ended the run before all pairs were judged: raise --max-usd to go on")
    for doubt in summary.doubts:
        say(f"NOT TRUSTED: {doubt}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _share(share: float | None) -> str:
    return "-" if share is None else _percent(share)
