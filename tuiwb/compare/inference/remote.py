"""Answers of sides that are asked over HTTP: a served model, an API model (worker side).

Paced and retried by `tuiwb.llm.client`; keys come from the environment and reach no file.
"""

import asyncio
import contextlib
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from tuiwb.compare.completions import SideAnswer, Stop
from tuiwb.compare.inference.generation import Asking
from tuiwb.compare.inference.refusals import Reason, of_one_prompt
from tuiwb.compare.inference.remote_endpoints import AnthropicChat, OpenAIChat, Said
from tuiwb.compare.left_out import without_room
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.compare.sides import Side
from tuiwb.errors import JobFailed
from tuiwb.llm.client import Client, Endpoint, Refused
from tuiwb.llm.prices import Prices, Usage, tokens_of
from tuiwb.prepared import prepared

CONCURRENCY = {"served": 16, "api": 4}
DEADLINE = 180.0
TICK = 0.25
MOST_WORDS = 160  # of a refusal, in letters


class Budget:
    """Dollars spent of those that may be; a model without a price can't be held to one. What calls
    at work may cost at most is held back, so that they can't spend more together."""

    def __init__(self, model: str, prices: Prices, most: float, spent: float) -> None:
        self._model, self._prices, self._most, self.spent = model, prices, most, spent
        self._held = 0.0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def room(self, request: str, max_tokens: int) -> AsyncIterator[float]:
        """Room for one call, given with what it costs at most; waits for those at work where they
        hold it. JobFailed once there is none."""
        usage = Usage(input=tokens_of(request), output=max_tokens)
        worst = self._prices.cost(self._model, usage) or 0.0
        async with self._changed:
            while self._held and self.spent + self._held + worst > self._most:
                await self._changed.wait()
            self._check(worst)
            self._held += worst
        try:
            yield worst
        finally:
            # First of all: a cancelled call too must give back what it held.
            self._held = max(0.0, self._held - worst)
            if self._held < 1e-12:
                self._held = 0.0
            async with self._changed:
                self._changed.notify_all()

    def take(self, usage: Usage) -> float:
        """Count a call; returns its cost, 0 where no price is known."""
        cost = self._prices.cost(self._model, usage) or 0.0
        self.spent += cost
        return cost

    def _check(self, worst: float) -> None:
        if self.spent >= self._most or self.spent + worst > self._most:
            raise JobFailed(
                f"the budget of ${self._most:g} is spent (${self.spent:.4f} on {self._model}, the "
                f"next call may cost ${worst:.4f}): give a higher --max-usd to go on, nothing is "
                "asked twice"
            )


def ask_all(
    side: Side,
    prompts: Sequence[HeldOutPrompt],
    asking: Asking,
    *,
    budget: Budget | None,
    took: Callable[[SideAnswer], None],
    refused: Callable[[HeldOutPrompt, str], None],
    tick: Callable[[], None],
) -> None:
    """Ask a side for its answers, several at once; `took` gets each as it comes, `refused` each
    prompt that the side can't be asked, with why, worded to follow file:line.

    `tick` is called four times a second; what it raises ends all calls. JobFailed, when all is
    asked, for prompts that got no answer after retries; BadInput or MissingHere when going on is
    no use.
    """
    asyncio.run(_ask_all(side, prompts, asking, budget, took, refused, tick))


async def _ask_all(
    side: Side,
    prompts: Sequence[HeldOutPrompt],
    asking: Asking,
    budget: Budget | None,
    took: Callable[[SideAnswer], None],
    refused: Callable[[HeldOutPrompt, str], None],
    tick: Callable[[], None],
) -> None:
    endpoint = _endpoint(side)
    client = Client(
        endpoint,
        model=side["model"],
        deadline=DEADLINE,
        concurrency=CONCURRENCY[side["kind"]],
        who=side["label"],
        url_option="--against",
    )
    failed: list[str] = []

    async def ask(prompt: HeldOutPrompt) -> None:
        request, cost = request_of(prompt, asking), 0.0
        reasons: list[Reason] = []

        def of_prompt(error: Refused) -> bool:
            reasons.append(of_one_prompt(error, _texts(prompt)))
            return bool(reasons[-1])

        async with contextlib.AsyncExitStack() as paid:
            worst = 0.0
            if budget is not None:
                worst = await paid.enter_async_context(budget.room(request, asking.max_new_tokens))
            begun = time.perf_counter()
            reply = await client.ask(
                request,
                read_said,
                asking.max_new_tokens,
                insist=False,
                of_question=of_prompt,
            )
            if budget is not None:
                cost = budget.take(reply.usage)
                # Calls whose answer never came may have been paid for all the same.
                budget.spent += worst * reply.unanswered
        if reply.refused:
            words = textwrap.shorten(reply.refused, MOST_WORDS, placeholder=" …")
            why = f"was refused by {side['label']} {words}"
            if reasons[-1] == "room":
                why = f"{without_room(asking.max_new_tokens)}: it {why}"
            refused(prompt, why)
            return
        if reply.value is None:
            failed.append(f"line {prompt.line}: {reply.reason}")
            return
        seconds = time.perf_counter() - begun
        # A server may repeat what it was sent: the key reaches no file.
        reply.value.text = client.redact(reply.value.text)
        took(_answer(side["name"], prompt, reply.value, reply.usage, seconds, cost))

    todo = iter(prompts)

    async def work() -> None:
        for prompt in todo:
            await ask(prompt)

    workers = [asyncio.create_task(work()) for _ in range(CONCURRENCY[side["kind"]])]
    try:
        while workers:
            done, running = await asyncio.wait(
                workers, timeout=TICK, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                task.result()
            workers = list(running)
            tick()
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await client.close()
    if failed:
        raise JobFailed(
            f"{side['label']} left {len(failed)} of {len(prompts)} prompts without an answer "
            f"({failed[0]}): the same command asks only those again"
        )


def _endpoint(side: Side) -> Endpoint:
    if side["kind"] == "api":
        return AnthropicChat(model=side["model"], base_url=side["url"], deadline=DEADLINE)
    return OpenAIChat(
        model=side["model"],
        base_url=side["url"],
        deadline=DEADLINE,
        key_variable=side["key_variable"],
    )


def request_of(prompt: HeldOutPrompt, asking: Asking) -> str:
    """What an endpoint is sent, as one text: the protocol of `tuiwb.llm` carries texts."""
    plain: dict[str, Any] = {"temperature": asking.temperature, "seed": asking.seed}
    if prompt.raw is not None:
        plain["prompt"] = prompt.raw
    else:
        plain["messages"] = prompt.messages
        if prompt.tools:
            plain["tools"] = prompt.tools
    return msgspec.json.encode(plain).decode()


def _texts(prompt: HeldOutPrompt) -> list[str]:
    """What a prompt's turns say."""
    if prompt.raw is not None:
        return [prompt.raw]
    return [text for turn in prompt.messages if isinstance(text := turn.get("content"), str)]


def read_said(text: str) -> Said:
    """What an endpoint's text holds; ValueError for anything else."""
    return msgspec.json.decode(text, type=prepared(Said))


def _answer(
    name: str, prompt: HeldOutPrompt, said: Said, usage: Usage, seconds: float, cost: float
) -> SideAnswer:
    stops: dict[str, Stop] = {"max_tokens": "length", "refusal": "refusal"}
    return SideAnswer(
        id=prompt.id,
        side=name,
        text=said.text,
        tokens=usage.output,
        seconds=seconds,
        first_seconds=said.first_seconds,
        latency=seconds,
        stop=stops.get(said.stop, "eos"),
        usd=cost,
    )
