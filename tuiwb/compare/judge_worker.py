"""The judge job: both orders of every pair, a few at a time, within a budget.

Appends verdicts.jsonl as verdicts come; what is there is never asked again. Leaves summary.json.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.completions import Completion, read_completions
from tuiwb.compare.judge import (
    VERDICT_TOKENS,
    VERDICTS,
    FailureRecord,
    Question,
    Rubric,
    Verdict,
    VerdictRecord,
    read_verdicts,
)
from tuiwb.compare.judge_client import JudgeClient
from tuiwb.compare.judge_plan import all_questions
from tuiwb.compare.judge_summary import JUDGE_SUMMARY, summarise_verdicts
from tuiwb.jobs.events import Alert
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import JobContext
from tuiwb.llm.client import Reply
from tuiwb.llm.prices import Usage, read_prices, tokens_of
from tuiwb.monitor import notify

PHASE = "judging"


class JudgeRun:
    """The state of one judge job while it runs: what was asked, what it cost so far."""

    def __init__(self, context: JobContext) -> None:
        self.context, self.spec = context, context.spec
        self.path = context.folder / VERDICTS
        self.completions: list[Completion] = read_completions(Path(self.spec["compare"]))
        self.rubric = Rubric(**self.spec["rubric"])
        self.prices = read_prices(Path(self.spec["prices"]))
        self.asked = all_questions(self.spec, self.completions)
        self.known, failures = read_verdicts(self.path)
        self.cached = sum(question.key in self.known for question in self.asked)
        worked = [self.known[q.key].mode for q in self.asked if q.key in self.known]
        self.worked = worked[-1] if worked else ""
        self.failures: list[FailureRecord] = []
        self.usage = Usage()
        self.calls = self.in_flight = 0
        # What this very job spent before it was interrupted counts against its budget.
        since = context.job.created
        before = [(r.t, r.usd) for r in self.known.values()] + [(r.t, r.usd) for r in failures]
        self.before = sum((usd or 0.0 for t, usd in before if t >= since), 0.0)
        self.usd = self.before
        self.budget_reached = False
        self.begun = time.monotonic()

    def left(self) -> Iterator[Question]:
        """Questions without a verdict, controls first."""
        return (question for question in self.asked if question.key not in self.known)

    def affordable(self, question: Question) -> bool:
        """Whether one more call, at what calls cost so far, keeps within the budget."""
        guess = Usage(
            input=tokens_of(self.rubric.system) + tokens_of(question.text), output=VERDICT_TOKENS
        )
        cost = self.prices.cost(self.spec["model"], guess)
        if cost is None:
            return True
        mean = (self.usd - self.before) / self.calls if self.calls else 0.0
        return bool(self.usd + max(cost, mean) * (self.in_flight + 1) <= self.spec["max_usd"])

    def keep(self, question: Question, reply: Reply[Verdict], seconds: float) -> None:
        """Append a reply to the record and count it."""
        self.calls += 1
        usd = self.prices.cost(self.spec["model"], reply.usage)
        self.usd += usd or 0.0
        self.usage += reply.usage
        if reply.value is None:
            failure = FailureRecord(
                key=question.key,
                pair=question.pair,
                reason=reply.reason,
                raw=reply.raw,
                usage=reply.usage,
                usd=usd,
                t=time.time(),
            )
            self.failures.append(failure)
            append_lines(self.path, [failure])
            self.context.log(f"no verdict on {question.pair}: {reply.reason}", level="warning")
        else:
            record = VerdictRecord(
                key=question.key,
                pair=question.pair,
                first=question.first,
                second=question.second,
                verdict=reply.value,
                raw=reply.raw,
                model=self.spec["model"],
                mode=reply.mode,
                usage=reply.usage,
                usd=usd,
                seconds=seconds,
                t=time.time(),
            )
            self.known[question.key] = record
            append_lines(self.path, [record])
        done = self.cached + self.calls
        self.context.progress(PHASE, done, len(self.asked), "verdicts")


def run(context: JobContext) -> None:
    """Do the judging that the job's spec asks for."""
    notify.attach(context)
    context.state("running", PHASE)
    judging = JudgeRun(context)
    context.progress(PHASE, judging.cached, len(judging.asked), "verdicts")
    try:
        asyncio.run(_judge(judging))
    finally:
        _write_summary(judging)
    if judging.budget_reached:
        context.emit(
            Alert(
                rule="budget_reached",
                severity="warning",
                evidence=f"${judging.usd:.4f} of ${judging.spec['max_usd']:g} spent after "
                f"{judging.calls} calls",
                fix="judge again with a higher --max-usd: what is there is not asked again",
            )
        )


async def _judge(judging: JudgeRun) -> None:
    """Ask what is left; the first hopeless error, or a stop command, ends it all."""
    client = JudgeClient(judging.spec, judging.rubric.system, judging.worked)
    left = judging.left()

    async def work() -> None:
        for question in left:
            if judging.budget_reached or not judging.affordable(question):
                judging.budget_reached = True
                return
            judging.in_flight += 1
            begun = time.monotonic()
            try:
                reply = await client.ask(question)
            finally:
                judging.in_flight -= 1
            judging.keep(question, reply, time.monotonic() - begun)

    async def watch() -> None:
        while True:
            judging.context.stop_if_asked()
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    workers = [asyncio.create_task(work()) for _ in range(judging.spec["concurrency"])]
    everything = asyncio.gather(*workers)
    try:
        both: set[asyncio.Future[Any]] = {watching, everything}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if everything.done():
            everything.result()
        else:
            watching.result()
    finally:
        watching.cancel()
        for task in workers:
            task.cancel()
        await asyncio.gather(watching, *workers, return_exceptions=True)
        await client.close()


def _write_summary(judging: JudgeRun) -> None:
    verdicts = [judging.known[q.key] for q in judging.asked if q.key in judging.known]
    summary: Any = summarise_verdicts(
        judging.completions,
        verdicts,
        judging.failures,
        model=judging.spec["model"],
        rubric=judging.rubric.name,
    )
    summary.calls, summary.cached = judging.calls, judging.cached
    summary.input_tokens = (
        judging.usage.input + judging.usage.cache_read + judging.usage.cache_write
    )
    summary.output_tokens = judging.usage.output
    summary.usd = judging.usd if judging.prices.of(judging.spec["model"]) else None
    summary.budget_reached = judging.budget_reached
    summary.seconds = time.monotonic() - judging.begun
    write_atomically(
        judging.context.folder / JUDGE_SUMMARY,
        msgspec.json.format(msgspec.json.encode(summary), indent=2),
    )
    judging.context.artifact("verdicts", VERDICTS)
    judging.context.artifact("summary", JUDGE_SUMMARY)
