"""What a person chooses before a judge is asked, in words for a dialog: judge, rubric, batch."""

from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.judge.plan import Estimate, estimate, plan_judge
from tuiwb.compare.judge.rubric import DEFAULT, RubricFile, rubrics
from tuiwb.compare.judge.summary import judge_folders
from tuiwb.jobs.folder import load
from tuiwb.llm.address import ANTHROPIC_KEYS, has_key
from tuiwb.llm.prices import read_prices
from tuiwb.project import Project


class JudgeChoices(msgspec.Struct, kw_only=True):
    """What can be chosen: judges as words for plan_judge's `model`, the project's own first,
    each with its price or where it is; rubrics with what they are about. `judge` and `rubric`
    are what is set to begin with, `max_usd` the budget."""

    judges: list[tuple[str, str]]
    rubrics: list[RubricFile]
    judge: str
    rubric: str
    max_usd: float


class JudgeOffer(msgspec.Struct, kw_only=True):
    """A planned judge run in lines for the person who confirms it. `batch` offers the same at half
    the price, empty where it is no choice."""

    spec: dict[str, Any]
    cost: Estimate
    pairs: str
    calls: str
    price: str
    endpoint: str
    batch: str


def judge_choices(project: Project, run: Path) -> JudgeChoices:
    """The choices of the judge dialog; reads files only."""
    settings = project.settings.judge
    found: dict[str, str] = {settings.model: "the project's judge"}
    for folder in judge_folders(run):
        spec = load(folder).spec
        api, model = str(spec.get("api", "anthropic")), str(spec["model"])
        local = api == "openai"
        found.setdefault(
            f"openai:{spec['base_url']}#{model}" if local else model, "judged this run before"
        )
    table = read_prices(project.root / "prices.yaml")
    for model, price in table.models.items():
        told = f"${price.input:g} in, ${price.output:g} out a million tokens"
        found[model] = f"{found[model]}, {told}" if model in found else told
    return JudgeChoices(
        judges=list(found.items()),
        rubrics=[rubric for rubric in rubrics(project) if not rubric.problem],
        judge=settings.model,
        rubric=DEFAULT,
        max_usd=settings.max_usd,
    )


def judge_offer(project: Project, run: str, **choice: Any) -> JudgeOffer:
    """Plan what was chosen (the arguments of `plan_judge`) and put it into words.

    Raises what `plan_judge` raises. `start_judge(offer.spec)` starts it.
    """
    spec = plan_judge(project, run, **choice)
    cost = estimate(spec)
    differ = cost.pairs - cost.identical
    same = f"; {cost.identical} are identical, a tie without a call" if cost.identical else ""
    done = f"; {cost.cached} more are on record" if cost.cached else ""
    done += f"; {cost.waiting} more wait in a batch" if cost.waiting else ""
    keys = ANTHROPIC_KEYS if spec["api"] == "anthropic" else (spec["key_variable"],)
    dollars = f"about ${cost.usd:.2f}" if cost.usd is not None else "unknown: no price for it"
    return JudgeOffer(
        spec=spec,
        cost=cost,
        pairs=f"{differ} pairs in both orders and the planted controls{same}",
        calls=f"{cost.calls} calls, about {cost.input_tokens:,} tokens in and "
        f"{cost.output_tokens:,} out{done}",
        price=f"{dollars}, at most ${spec['max_usd']:g}"
        + (f" (prices of {cost.prices_of})" if cost.usd is not None else ""),
        endpoint=f"{spec['model']} at {spec['base_url']}"
        + ("" if any(map(has_key, keys)) else ", without a key"),
        batch=cost.offer.replace("(--batch)", "(b)"),  # the dialog's key
    )
