"""Plan a judge run: the pairs, the endpoint, what it will cost; start its job."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import msgspec

from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, Completion, read_completions
from tuiwb.compare.judge import (
    VERDICT_TOKENS,
    VERDICTS,
    Question,
    Rubric,
    control_questions,
    questions,
    read_rubric,
    read_verdicts,
)
from tuiwb.compare.plan import COMPARE
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.reopen import open_job
from tuiwb.llm.address import (
    ANTHROPIC_KEYS,
    ANTHROPIC_URL,
    check_key_travels_safely,
    check_url,
    has_anthropic_key,
)
from tuiwb.llm.prices import Usage, read_prices, tokens_of
from tuiwb.project import Project

JUDGE = "judge"


class Estimate(msgspec.Struct, kw_only=True):
    """What a judge run will take, before it is started. `usd` is None for an unknown price."""

    model: str
    pairs: int
    identical: int
    calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    prices_of: str = ""

    @property
    def sentence(self) -> str:
        """The cost in one line, for the person who confirms it."""
        cached = f" ({self.cached} more are cached)" if self.cached else ""
        dollars = (
            f"about ${self.usd:.2f} at prices of {self.prices_of}"
            if self.usd is not None
            else f"cost unknown: no price for {self.model} in prices.yaml, so no budget can stop it"
        )
        return (
            f"{self.calls} calls to {self.model}{cached}, about {self.input_tokens:,} tokens in "
            f"and {self.output_tokens:,} out, {dollars}"
        )


def plan_judge(
    project: Project,
    run_name: str,
    *,
    model: str | None = None,
    base_url: str | None = None,
    max_usd: float | None = None,
    rubric: str = "helpfulness",
    seed: int = 0,
    concurrency: int = 4,
) -> dict[str, Any]:
    """The spec of a judge job on a run's finished comparison; settings fill what is not given.

    BadInput when there is nothing to judge or an argument is wrong; MissingHere, with the way out,
    when there is no key for the endpoint or the SDK is not installed. The key itself is in no
    spec: the worker finds it in its environment.
    """
    run = project.run(run_name)
    compare = run / COMPARE
    _pairs(compare, run_name)
    settings = project.settings.judge
    named = base_url or settings.base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
    url = check_url(named or ANTHROPIC_URL, who="the judge", variable=ANTHROPIC_KEYS[0])
    if importlib.util.find_spec("anthropic") is None:
        raise MissingHere(
            "the judge needs the anthropic package: pip install 'tuiwb[judge]'; votes and metrics "
            "work without it"
        )
    key = has_anthropic_key()
    if not key and named is None:
        raise MissingHere(
            "there is no key for the judge: set ANTHROPIC_API_KEY, or name an endpoint that needs "
            "none with --base-url; votes and metrics work without a judge"
        )
    if key:
        check_key_travels_safely(url)
    budget = settings.max_usd if max_usd is None else max_usd
    if not budget > 0:
        raise BadInput(f"max-usd is {budget}: give the most to spend, above 0")
    if not 1 <= concurrency <= 8:
        raise BadInput(f"concurrency is {concurrency}: give 1 to 8")
    chosen = read_rubric(rubric, project.root)
    return {
        "run": str(run),
        "compare": str(compare),
        "model": model or settings.model,
        "base_url": url,
        "max_usd": budget,
        "rubric": {
            "name": chosen.name,
            "role": chosen.role,
            "criteria": chosen.criteria,
            "tie": chosen.tie,
        },
        "prices": str(project.root / "prices.yaml"),
        "seed": seed,
        "concurrency": concurrency,
        "max_tokens": 1024,
        "deadline": 120.0,
    }


def estimate(spec: dict[str, Any]) -> Estimate:
    """Calls, tokens and dollars of a judge run that is not started yet, cached verdicts left out.

    Tokens are counted at 3.5 characters each and 160 for a verdict; prompt caching is not
    assumed, so the true cost is rarely above it.
    """
    folder = Path(spec["run"]) / JUDGE
    completions = read_completions(Path(spec["compare"]))
    asked = all_questions(spec, completions)
    cached, _ = read_verdicts(folder / VERDICTS)
    left = [question for question in asked if question.key not in cached]
    system = tokens_of(_system_of(spec))
    tokens_in = sum(system + tokens_of(question.text) + 60 for question in left)
    tokens_out = VERDICT_TOKENS * len(left)
    table = read_prices(Path(spec["prices"]))
    return Estimate(
        model=spec["model"],
        pairs=len(completions),
        identical=sum(c.identical for c in completions),
        calls=len(left),
        cached=len(asked) - len(left),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        usd=table.cost(spec["model"], Usage(input=tokens_in, output=tokens_out)),
        prices_of=str(table.date or "an unknown date"),
    )


def prepare_judge(spec: dict[str, Any]) -> Path:
    """The job folder for `spec`, ready to launch; verdicts already there are kept."""
    run = Path(spec["run"])
    prints = {COMPLETIONS: jobs.fingerprint(Path(spec["compare"]) / COMPLETIONS)}
    name = f"{run.name}-judge"
    open_job(run / JUDGE, "judge", spec, prints, name=name, carry=(VERDICTS,))
    return run / JUDGE


def start_judge(spec: dict[str, Any]) -> Path:
    """Start, or go on with, the judge run of `spec` as a detached job; returns its folder."""
    folder = prepare_judge(spec)
    # The key travels in the inherited environment alone.
    jobs.launch(folder)
    return folder


def all_questions(spec: dict[str, Any], completions: list[Completion]) -> list[Question]:
    """Every call of a judge run: the planted controls first, then both orders of each pair."""
    rubric = Rubric(**spec["rubric"])
    model, url = spec["model"], spec["base_url"]
    return [
        *control_questions(rubric=rubric, model=model, base_url=url),
        *questions(completions, rubric=rubric, model=model, base_url=url, seed=spec["seed"]),
    ]


def _system_of(spec: dict[str, Any]) -> str:
    return Rubric(**spec["rubric"]).system


def _pairs(compare: Path, run_name: str) -> None:
    if not (compare / "job.yaml").is_file():
        raise BadInput(
            f"run {run_name} has not been compared yet: run 'tuiwb compare {run_name}' first"
        )
    if jobs.status(compare).running:
        raise BadInput(f"the comparison of {run_name} is still running: judge it when it is done")
    if not any(c.adapter is not None for c in read_completions(compare)):
        raise BadInput(f"{compare} holds no pairs to judge: compare a run with an adapter")
