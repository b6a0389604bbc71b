"""What asking API sides will cost, before anything is asked."""

from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.plan import to_ask
from tuiwb.compare.prompts import held_out
from tuiwb.llm.prices import Usage, read_prices, tokens_of
from tuiwb.project import Project


class ApiCost(msgspec.Struct, kw_only=True):
    """Calls to one API side; dollars are at most, with every answer as long as it may be, and
    None for a model without a price."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    prices_of: str

    @property
    def sentence(self) -> str:
        """The cost in one line, for the person who confirms it."""
        dollars = (
            f"at most about ${self.usd:.2f} at prices of {self.prices_of}"
            if self.usd is not None
            else f"cost unknown: no price for {self.model} in prices.yaml, so no budget stops it"
        )
        return (
            f"{self.calls} calls to {self.model}, about {self.input_tokens:,} tokens in and up to "
            f"{self.output_tokens:,} out, {dollars}"
        )


def api_costs(project: Project, spec: dict[str, Any]) -> list[ApiCost]:
    """One line for each API side that has prompts left to answer; BadInput for bad prompts."""
    asked, kept = to_ask(spec)
    sides = [side for side in asked if side["kind"] == "api"]
    if not sides:
        return []
    chosen = held_out(
        Path(spec["prompts"]), limit=spec["limit"], seed=spec["seed"], system=spec["system"]
    )
    prices = read_prices(project.root / "prices.yaml")
    found = []
    for side in sides:
        left = [p for p in chosen.prompts if (side["name"], p.id) not in kept]
        texts = [p.raw or "".join(str(m.get("content") or "") for m in p.messages) for p in left]
        usage = Usage(input=sum(map(tokens_of, texts)), output=len(left) * spec["max_new_tokens"])
        if left:
            found.append(
                ApiCost(
                    model=side["model"],
                    calls=len(left),
                    input_tokens=usage.input,
                    output_tokens=usage.output,
                    usd=prices.cost(side["model"], usage),
                    prices_of=str(prices.date),
                )
            )
    return found
