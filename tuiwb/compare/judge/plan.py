"""Plan a judge run: the pairs, the endpoint, what it will cost; start its job."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb import jobs
from tuiwb.compare.completions import (
    COMPLETIONS,
    ROLES,
    Completion,
    label_of,
    paired,
    read_completions,
    side_called,
    side_names,
)
from tuiwb.compare.judge import batch_log
from tuiwb.compare.judge.address import address_of, folder_names
from tuiwb.compare.judge.batch_log import BATCHES, PendingBatch
from tuiwb.compare.judge.protocol import (
    VERDICT_TOKENS,
    VERDICTS,
    FailureRecord,
    Question,
    VerdictRecord,
    control_questions,
    questions,
    read_verdicts,
    repeated,
)
from tuiwb.compare.judge.rubric import DEFAULT, Rubric, read_rubric
from tuiwb.compare.plan import COMPARE
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import JOB, load
from tuiwb.jobs.reopen import asks_the_same, open_job
from tuiwb.llm.address import check_answers
from tuiwb.llm.prices import Usage, read_prices, tokens_of
from tuiwb.project import Project

JUDGE = "judge"
# From this many calls on a batch is worth its wait, and is offered.
BATCH_FROM = 200
# Calls at once to begin with, and while the endpoint keeps up; a user's own number is never
# exceeded.
AT_ONCE, MOST_AT_ONCE = 8, 16


class Estimate(msgspec.Struct, kw_only=True):
    """What a judge run will take, before it is started. `usd` is None for an unknown price;
    `batch_usd` is what the same would cost as a batch, None where that is no choice. `waiting`
    calls are in a batch that was sent and paid before."""

    model: str
    pairs: int
    identical: int
    calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    prices_of: str = ""
    batch: bool = False
    batch_usd: float | None = None
    waiting: int = 0

    @property
    def sentence(self) -> str:
        """The cost in one line, for the person who confirms it."""
        cached = f" ({self.cached} more are cached)" if self.cached else ""
        waiting = f" ({self.waiting} more are in a batch already)" if self.waiting else ""
        how = " in batches at half price, within 24 hours" if self.batch else ""
        dollars = (
            f"about ${self.usd:.2f} at prices of {self.prices_of}"
            if self.usd is not None
            else f"cost unknown: no price for {self.model} in prices.yaml, so no budget stops it"
        )
        return (
            f"{self.calls} calls to {self.model}{cached}{waiting}{how}, about "
            f"{self.input_tokens:,} tokens in and {self.output_tokens:,} out, {dollars}"
        )

    @property
    def offer(self) -> str:
        """The offer of a batch in one line; empty where it is none."""
        if self.batch or self.batch_usd is None or self.calls <= BATCH_FROM:
            return ""
        return (
            f"as a batch (--batch) these {self.calls} calls cost about ${self.batch_usd:.2f}, half "
            "of it; the verdicts come within 24 hours, usually much sooner"
        )


def plan_judge(
    project: Project,
    run_name: str,
    *,
    model: str | None = None,
    base_url: str | None = None,
    max_usd: float | None = None,
    rubric: str = DEFAULT,
    seed: int = 0,
    concurrency: int | None = None,
    batch: bool = False,
    repeats: int = 0,
    key_env: str | None = None,
    sides: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """The spec of one judge's job: `plan_judges` with one judge."""
    (spec,) = plan_judges(
        project,
        run_name,
        judges=[model] if model else [],
        base_url=base_url,
        max_usd=max_usd,
        rubric=rubric,
        seed=seed,
        concurrency=concurrency,
        batch=batch,
        repeats=repeats,
        key_env=key_env,
        sides=sides,
    )
    return spec


def plan_judges(
    project: Project,
    run_name: str,
    *,
    judges: Sequence[str] = (),
    base_url: str | None = None,
    max_usd: float | None = None,
    rubric: str = DEFAULT,
    seed: int = 0,
    concurrency: int | None = None,
    batch: bool = False,
    repeats: int = 0,
    key_env: str | None = None,
    sides: tuple[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The specs of one job per judge on a run's finished comparison; settings fill what is not
    given. A judge is MODEL, anthropic:URL#MODEL or openai:URL#MODEL; the budget is each one's.
    `sides` are two sides by name where it is not about base and adapter.

    BadInput when there is nothing to judge or an argument is wrong; MissingHere, with the way out,
    when there is no key for an endpoint or the SDK is not installed. The key itself is in no
    spec: the worker finds it in its environment.
    """
    run = project.run(run_name)
    compare = run / COMPARE
    if sides is not None and (compare / "job.yaml").is_file():
        asked = jobs.load(compare).spec
        sides = (side_called(asked, sides[0]), side_called(asked, sides[1]))
    chosen_sides = None if sides in (None, ROLES) else sides
    labels = _check_sides(compare, run_name, chosen_sides or ROLES)
    pairs = _pairs(compare, run_name, chosen_sides)
    chosen = msgspec.to_builtins(read_rubric(rubric, project.root))
    settings = project.settings.judge
    url = base_url or settings.base_url
    addresses = [
        address_of(judge, base_url=url, key_env=key_env) for judge in judges or [settings.model]
    ]
    folders = folder_names(addresses, chosen_sides)
    budget = settings.max_usd if max_usd is None else max_usd
    if not budget > 0:
        raise BadInput(f"max-usd is {budget}: give the most to spend, above 0")
    if concurrency is not None and not 1 <= concurrency <= MOST_AT_ONCE:
        raise BadInput(f"concurrency is {concurrency}: give 1 to {MOST_AT_ONCE}")
    if not 0 <= repeats <= pairs:
        raise BadInput(f"repeats is {repeats}: give 0 to {pairs}, the pairs to ask a second time")
    for address in addresses:
        if batch and address.api != "anthropic":
            raise BadInput(
                f"{address.model} at {address.url} takes no batches: they are the Messages API's"
            )
    return [
        {
            "run": str(run),
            "compare": str(compare),
            "folder": folder,
            "label": address.label,
            "sides": list(chosen_sides) if chosen_sides else None,
            "side_labels": labels,
            "api": address.api,
            "model": address.model,
            "base_url": address.url,
            "key_variable": address.key_variable,
            "max_usd": budget,
            "rubric": chosen,
            "prices": str(project.root / "prices.yaml"),
            "seed": seed,
            "concurrency": concurrency or AT_ONCE,
            "most_at_once": concurrency or MOST_AT_ONCE,
            "batch": batch,
            "repeats": repeats,
            "poll": 30.0,
            "max_tokens": 1024,
            "deadline": 120.0,
        }
        for address, folder in zip(addresses, folders, strict=True)
    ]


def estimate(spec: dict[str, Any]) -> Estimate:
    """Calls, tokens and dollars of a judge run that is not started yet, cached verdicts left out.

    Tokens are counted at 3.5 characters each and 160 for a verdict; prompt caching is not
    assumed, so the true cost is rarely above it.
    """
    completions = completions_of(spec)
    asked = all_questions(spec, completions)
    cached, _ = known_verdicts(spec, asked)
    underway = {key for batch in waiting_batches(spec) for key in batch.keys}
    every = {question.key: question for question in asked}
    open_ones = [question for key, question in every.items() if key not in cached]
    left = [question for question in open_ones if question.key not in underway]
    system = tokens_of(Rubric(**spec["rubric"]).system)
    tokens_in = sum(system + tokens_of(question.text) + 60 for question in left)
    tokens_out = VERDICT_TOKENS * len(left)
    table = read_prices(Path(spec["prices"]))
    usage = Usage(input=tokens_in, output=tokens_out)
    batch = bool(spec.get("batch"))
    takes_batches = spec.get("api", "anthropic") == "anthropic"
    return Estimate(
        model=spec["model"],
        pairs=len(completions),
        identical=sum(c.identical for c in completions),
        calls=len(left),
        cached=len(every) - len(open_ones),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        usd=table.cost(spec["model"], usage, batch=batch),
        prices_of=str(table.date or "an unknown date"),
        batch=batch,
        batch_usd=table.cost(spec["model"], usage, batch=True) if takes_batches else None,
        waiting=len(open_ones) - len(left),
    )


def judge_folder(spec: dict[str, Any]) -> Path:
    """Where the job of `spec` lives."""
    return Path(spec["run"]) / str(spec.get("folder", JUDGE))


def check_free(spec: dict[str, Any]) -> None:
    """BadInput while the job of `spec` is running, or another one of its run asks the same judge
    by the same rubric about the same sides: each would pay for the same answers."""
    own = judge_folder(spec)
    same = ("api", "base_url", "model", "rubric", "sides")
    for path in sorted(own.parent.glob(f"{JUDGE}*/job.yaml")):
        folder, shown = path.parent, f"{own.parent.name}/{path.parent.name}"
        try:
            state, asked = jobs.status(folder), jobs.load(folder).spec
        except (TuiwbError, OSError):
            continue
        if not state.running or (folder == own and state.state == "queued"):
            continue
        if folder == own or all(asked.get(name) == spec.get(name) for name in same):
            raise BadInput(
                f"{shown} is {state.word} already, with the judge {asked.get('model')}: "
                f"'tuiwb runs follow {shown}' watches it, 'runs stop' stops it"
            )


def prepare_judge(spec: dict[str, Any]) -> Path:
    """The job folder for `spec`, ready to launch; verdicts and batches already there are kept."""
    check_free(spec)
    folder = judge_folder(spec)
    prints = {COMPLETIONS: jobs.fingerprint(Path(spec["compare"]) / COMPLETIONS)}
    name = f"{folder.parent.name}-{folder.name}"
    if (folder / JOB).is_file() and not asks_the_same(load(folder), spec, prints):
        # Verdicts that stand make room only for a judge that is there.
        check_answers(spec["base_url"], who="the judge")
    open_job(folder, JUDGE, spec, prints, name=name, carry=(VERDICTS, BATCHES))
    return folder


def start_judge(spec: dict[str, Any]) -> Path:
    """Start, or go on with, the judge run of `spec` as a detached job; returns its folder."""
    folder = prepare_judge(spec)
    # The key travels in the inherited environment alone.
    jobs.launch(folder)
    return folder


def completions_of(spec: dict[str, Any]) -> list[Completion]:
    """The answers that a judge run is about, its two sides in the roles base and adapter."""
    completions = read_completions(Path(spec["compare"]))
    return paired(completions, *spec["sides"]) if spec.get("sides") else completions


def all_questions(spec: dict[str, Any], completions: list[Completion]) -> list[Question]:
    """Every call of a judge run: the planted controls first, then both orders of each pair, then
    those asked a second time."""
    rubric = Rubric(**spec["rubric"])
    model, url, api = spec["model"], spec["base_url"], spec.get("api", "anthropic")
    seed = int(spec["seed"])
    pairs = questions(completions, rubric=rubric, model=model, base_url=url, seed=seed, api=api)
    return [
        *control_questions(rubric=rubric, model=model, base_url=url, api=api),
        *pairs,
        *repeated(pairs, int(spec.get("repeats", 0)), seed),
    ]


def known_verdicts(
    spec: dict[str, Any], asked: Sequence[Question]
) -> tuple[dict[str, VerdictRecord], list[FailureRecord]]:
    """What this run's judges said before of the questions asked, under any of their folders, and
    the failures of this one: an answer is paid once, whichever folder it was written to."""
    own = judge_folder(spec)
    keys = {question.key for question in asked}
    found: dict[str, VerdictRecord] = {}
    for path in sorted(own.parent.glob(f"{JUDGE}*/{VERDICTS}")):
        if path.parent != own:
            found |= {k: r for k, r in read_verdicts(path)[0].items() if k in keys}
    mine, failures = read_verdicts(own / VERDICTS)
    return found | {k: r for k, r in mine.items() if k in keys}, failures


def waiting_batches(spec: dict[str, Any]) -> list[PendingBatch]:
    """Batches with questions of this run whose results are still to come, whichever judge's
    folder they were sent from."""
    own = judge_folder(spec)
    others = sorted(own.parent.glob(f"{JUDGE}*/{BATCHES}"))
    return batch_log.waiting(own / BATCHES, others)


def _check_sides(compare: Path, run_name: str, sides: tuple[str, str]) -> list[str]:
    """How the two sides are called before people; BadInput for a side that is not there."""
    if not (compare / "job.yaml").is_file():
        raise BadInput(
            f"run {run_name} has not been compared yet: run 'tuiwb compare {run_name}' first"
        )
    asked = jobs.load(compare).spec
    there = side_names(asked)
    if sides != ROLES:
        for name in sides:
            if name not in there:
                raise BadInput(
                    f"the comparison of {run_name} has no side {name[:80]!r}: there are "
                    f"{', '.join(there)}"
                )
        if sides[0] == sides[1]:
            raise BadInput(f"a side can't be judged against itself: give two of {', '.join(there)}")
    return [label_of(asked, name) for name in sides]


def _pairs(compare: Path, run_name: str, sides: tuple[str, str] | None) -> int:
    """How many pairs there are to judge; BadInput where there is none."""
    if jobs.status(compare).running:
        raise BadInput(f"the comparison of {run_name} is still running: judge it when it is done")
    completions = completions_of({"compare": compare, "sides": sides})
    pairs = sum(c.adapter is not None for c in completions)
    if not pairs:
        raise BadInput(f"{compare} holds no pairs to judge: compare a run with an adapter")
    return pairs
