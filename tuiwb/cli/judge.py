"""`tuiwb judge RUN`: LLMs judge a finished comparison, both orders, within a budget."""

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
    note,
    project_at,
    say,
    say_json,
    say_started,
    say_table,
    single,
)
from tuiwb.errors import EXIT_FINDINGS, EXIT_FINE, BadInput

app = single()


@app.command()
def judge(
    run: Annotated[str | None, typer.Argument(help="The run's name.", show_default=False)] = None,
    judges: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            "--model",
            metavar="JUDGE",
            help="MODEL, anthropic:URL#MODEL or openai:URL#MODEL (default: the project's "
            "setting). Several judge one after another and are told apart by their model.",
        ),
    ] = None,
    base_url: BaseUrlOption = None,
    key_env: Annotated[
        str | None,
        typer.Option(help="The variable with an openai: judge's key (default: OPENAI_API_KEY)."),
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(help="Stop each judge when it spent this, in US dollars.")
    ] = None,
    rubric: Annotated[
        str, typer.Option(help="A rubric's name (see --rubrics), or a YAML file of your own.")
    ] = "helpfulness",
    rubrics: Annotated[
        bool, typer.Option("--rubrics", help="List the rubrics and do nothing else.")
    ] = False,
    agreement: Annotated[
        bool,
        typer.Option("--agreement", help="Say how far the judges so far agree; asks nobody."),
    ] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="As a message batch: half price, within 24 hours.")
    ] = False,
    repeats: Annotated[
        int, typer.Option(help="Ask this many pairs a second time: the judge's own noise.")
    ] = 0,
    sides: Annotated[
        str | None, typer.Option(help="Two other sides of the comparison: ONE,OTHER.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses first orders and repeats.")] = 0,
    concurrency: Annotated[
        int | None,
        typer.Option(help="At most this many calls at once (default: 8, rising to 16)."),
    ] = None,
    yes: YesOption = False,
    follow: FollowOption = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show the cost, ask, then let the judge compare base and fine-tune blind, both orders.

    The key comes from ANTHROPIC_API_KEY. Verdicts are kept: nothing is ever asked or paid twice.
    Exit codes: 0 fine, 1 a judge is not to be trusted or the budget ended it, 2 bad input,
    3 no key or a refused one, 4 the job failed.
    """
    from tuiwb.compare.judge.plan import (
        check_free,
        estimate,
        judge_folder,
        plan_judges,
        start_judge,
    )

    home = project_at(project)
    if rubrics:
        return _list_rubrics(home, json)
    if run is None:
        raise BadInput("name the run to judge: tuiwb judge RUN")
    both = _sides(sides)
    if agreement:
        return _say_agreement(home.run(run), both, json)

    def plan(as_batch: bool) -> list[dict[str, Any]]:
        return plan_judges(
            home,
            run,
            judges=judges or [],
            base_url=base_url,
            max_usd=max_usd,
            rubric=rubric,
            seed=seed,
            concurrency=concurrency,
            batch=as_batch,
            repeats=repeats,
            key_env=key_env,
            sides=both,
        )

    specs = plan(batch)
    # Before the first one is started: several are started together or not at all.
    for spec in specs:
        check_free(spec)
    costs = [estimate(spec) for spec in specs]
    for spec, cost in zip(specs, costs, strict=True):
        most = f", at most ${spec['max_usd']:g}" if cost.usd is not None else ""
        note(f"{cost.sentence}; at {spec['base_url']}{most}")
    offers = [cost.offer for cost in costs if cost.offer]
    for offer in offers:
        note(offer)
    if not yes and any(cost.calls for cost in costs):
        if not sys.stdin.isatty():
            raise BadInput("nobody is here to confirm the cost: give --yes to go ahead")
        can_batch = offers and all(spec["api"] == "anthropic" for spec in specs)
        if can_batch and typer.confirm("as a batch, at half the price?", err=True):
            specs = plan(True)
        if not typer.confirm("judge now?", err=True):
            raise typer.Exit(EXIT_FINE)
    folders = [judge_folder(spec) for spec in specs]
    for spec in specs:
        start_judge(spec)
    if not follow:
        return _say_started(folders, json)
    raise typer.Exit(_follow(run, folders, both, json))


def _follow(run: str, folders: list[Path], sides: tuple[str, str] | None, json: bool) -> int:
    """Wait for each judge, say what they found; the exit code."""
    import msgspec

    from tuiwb.cli.compare import watch
    from tuiwb.compare.judge.agreement import judges_agreement
    from tuiwb.compare.judge.summary import read_judge_summary

    summaries = []
    for folder in folders:
        watch(folder)
        summary = read_judge_summary(folder)
        if summary is None:
            raise BadInput(f"{folder} has no summary.json: judge again")
        summaries.append(summary)
    agreed = judges_agreement(folders[0].parent, sides)
    plain = [
        {"folder": str(folder), **msgspec.to_builtins(summary)}
        for folder, summary in zip(folders, summaries, strict=True)
    ]
    if json:
        said = {"agreement": msgspec.to_builtins(agreed)}
        # One judge is the document itself, several stand in a list.
        say_json({"name": run, **(plain[0] if len(plain) == 1 else {"judges": plain}), **said})
    else:
        for at, summary in enumerate(summaries):
            if at:
                say()
            _say_summary(run, summary)
        if agreed:
            say()
        for line in agreed:
            say(line.sentence)
    fine = all(summary.trusted and not summary.budget_reached for summary in summaries)
    return EXIT_FINE if fine else EXIT_FINDINGS


def _sides(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise BadInput(f"sides is {text[:80]!r}: give two names of sides, ONE,OTHER")
    return names[0], names[1]


def _list_rubrics(home: Any, json: bool) -> None:
    from tuiwb.compare.judge.rubric import DEFAULT, rubrics

    found = rubrics(home)
    if json:
        say_json(found)
        return
    say_table(
        ("rubric", "prefers", "from"),
        [
            (
                rubric.choice + (" (default)" if rubric.choice == DEFAULT else ""),
                rubric.problem or rubric.about,
                "tuiwb" if rubric.shipped else "rubrics/",
            )
            for rubric in found
        ],
    )


def _say_agreement(run: Path, sides: tuple[str, str] | None, json: bool) -> None:
    from tuiwb.compare.judge.agreement import judges_agreement, read_judgements

    agreed = judges_agreement(run, sides)
    if json:
        say_json({"name": run.name, "agreement": agreed})
        return
    if not agreed:
        judged = [judge.model for judge in read_judgements(run, sides)]
        raise BadInput(
            f"{run.name} was judged by {', '.join(judged) or 'nobody'}: name two judges with "
            "--judge A --judge B to see how far they agree"
        )
    for line in agreed:
        say(line.sentence)
        if line.opposite:
            say(f"  opposite winners on {', '.join(line.opposite[:20])}")


def _say_started(folders: list[Path], json: bool) -> None:
    names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    if json:
        started: list[dict[str, str]] = [
            {"name": name, "folder": str(folder)}
            for name, folder in zip(names, folders, strict=True)
        ]
        say_json(started[0] if len(started) == 1 else started)
        return
    for name, folder in zip(names, folders, strict=True):
        say_started(name, folder, json=False)


def _say_summary(run: str, summary: Any) -> None:
    from tuiwb.compare.judge.summary import manipulated
    from tuiwb.compare.stats.counts import power_sentence

    said, counts = summary.preference, summary.preference.counts
    against, tested = summary.sides
    say(f"{run}: {summary.model} judged {summary.judged} of {summary.pairs} pairs")
    say()
    say(
        f"{tested} won {counts.wins}, lost {counts.losses}, tied {counts.ties} "
        f"({summary.identical} identical)" + (f", against {against}" if against != "base" else "")
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
    if told := manipulated(summary):
        say(told)
    if summary.repeats is not None:
        again = summary.repeats
        say(
            f"asked again: {again.changed} of {again.asked} verdicts changed, "
            f"{_percent(again.share)} [{_percent(again.interval.low)}, "
            f"{_percent(again.interval.high)}]; {again.outcomes_changed} of {again.pairs} pairs "
            "came out otherwise"
        )
    spent = "unknown" if summary.usd is None else f"${summary.usd:.4f}"
    batched = f", {summary.batched} verdicts from batches" if summary.batched else ""
    say(f"{summary.calls} calls, {summary.cached} from the record{batched}, cost {spent}")
    if summary.cache_read_tokens:
        share = summary.cache_read_tokens / summary.input_tokens
        say(f"{_percent(share)} of the tokens in came from the endpoint's prompt cache")
    if summary.budget_reached:
        say("the budget ended the run before all pairs were judged: raise --max-usd to go on")
    for doubt in summary.doubts:
        say(f"NOT TRUSTED: {doubt}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _share(share: float | None) -> str:
    return "-" if share is None else _percent(share)
