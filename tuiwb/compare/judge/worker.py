"""The judge job: both orders of every pair, a few at a time or in batches, within a budget.

Appends verdicts.jsonl as verdicts come; what is there is never asked again. Leaves summary.json.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from tuiwb.compare.judge.batch import BatchRun
from tuiwb.compare.judge.batch_log import BATCHES, pending, read
from tuiwb.compare.judge.client import JudgeClient
from tuiwb.compare.judge.protocol import Question, Verdict
from tuiwb.compare.judge.run import PHASE, JudgeRun
from tuiwb.jobs.events import Alert
from tuiwb.jobs.run import JobContext, Stopped
from tuiwb.llm.client import Reply
from tuiwb.llm.prices import Usage
from tuiwb.monitor import notify

# Seconds that calls under way have to come home when the job ends early.
GRACE = 10.0


def run(context: JobContext) -> None:
    """Do the judging that the job's spec asks for."""
    notify.attach(context)
    context.state("running", PHASE)
    judging = JudgeRun(context)
    ended = False
    context.progress(PHASE, judging.cached, judging.total, "verdicts")
    try:
        asyncio.run(_until_stopped(judging, _judge(judging)))
        ended = True
    except Stopped:
        waiting = [b.id for b in pending(read(context.folder / BATCHES)) if b.id]
        if waiting:
            raise Stopped(
                f"stopped; batch {', '.join(waiting)} goes on at the provider: the same command "
                "collects it"
            ) from None
        raise
    finally:
        # A job that ends early without a single answer has nothing to sum up.
        if ended or judging.known or judging.calls:
            judging.write_summary()
    if judging.budget_reached:
        context.emit(
            Alert(
                rule="budget_reached",
                severity="warning",
                evidence=f"${judging.usd:.4f} of ${judging.spec['max_usd']:g} spent after "
                f"{judging.calls} calls",
                fix="judge again with more to spend (--max-usd, or max_usd under judge in "
                "tuiwb.yaml): what is there is not asked again",
            )
        )


async def _until_stopped(judging: JudgeRun, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` unless a stop command comes first."""

    async def watch() -> None:
        while True:
            judging.context.stop_if_asked()
            await asyncio.to_thread(judging.sync)
            await asyncio.sleep(0.2)

    watching, working = asyncio.create_task(watch()), asyncio.create_task(work)
    try:
        await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            judging.ending = True
            until = time.monotonic() + GRACE
            # What is paid for shall be kept.
            while judging.in_flight and not working.done() and time.monotonic() < until:
                await asyncio.wait({working}, timeout=0.1)
            watching.result()
        working.result()
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _judge(judging: JudgeRun) -> None:
    """Ask what is left; the first hopeless error ends it all."""
    client = JudgeClient(judging.spec, judging.rubric.system, judging.worked)
    try:
        batches = None
        if client.batches is not None:
            batches = BatchRun(judging, client, client.batches)
            await batches.finish_pending()
        left = list(judging.left())
        if left and not client.client.proven:
            # Alone: it writes the prompt cache that the others read, and a key or a model that is
            # wrong costs one call.
            await _Calls(judging, client, [left.pop(0)]).make()
        if judging.budget_reached:
            return
        if batches is not None and judging.spec.get("batch"):
            await batches.judge()
        else:
            await _Calls(judging, client, left).make()
    finally:
        await client.close()


class _Calls:
    """Questions asked a few at a time, none that the budget may not cover."""

    def __init__(self, judging: JudgeRun, client: JudgeClient, questions: list[Question]) -> None:
        self._judging, self._client = judging, client
        self._questions = iter(questions)
        self._ended = asyncio.Condition()

    async def make(self) -> None:
        """Ask them all, or until the budget is reached."""
        # How many of them really ask at once is the client's pace.
        most = int(self._judging.spec.get("most_at_once") or self._judging.spec["concurrency"])
        tasks = [asyncio.create_task(self._work()) for _ in range(most)]
        try:
            done, under_way = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if under_way:
                # One is hopeless; what the others have asked is paid for.
                self._judging.ending = True
                await asyncio.wait(under_way, timeout=GRACE)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        judging = self._judging
        for question in self._questions:
            async with self._ended:
                # What a call under way really costs may leave room for one more.
                while judging.in_flight and not (judging.ending or self._may_begin(question)):
                    await self._ended.wait()
                if judging.ending:
                    return
                if judging.budget_reached or not judging.affordable(question):
                    judging.budget_reached = True
                    return
                judging.in_flight += 1
            try:
                await self._ask(question)
            except Exception:
                # Nobody begins another call after a hopeless error, or on a full disk.
                judging.ending = True
                raise
            finally:
                judging.in_flight -= 1
                async with self._ended:
                    self._ended.notify_all()

    async def _ask(self, question: Question) -> None:
        """Ask and keep what is said at once: waiting for anything, a call that is paid could still
        be lost."""
        begun, paid = time.monotonic(), list[Usage]()
        try:
            reply = await self._client.ask(question, paid)
        except BaseException:
            if paid:
                spent: Reply[Verdict] = Reply(reason="given up", usage=sum(paid, start=Usage()))
                self._judging.keep(question, spent, 0.0)
            raise
        self._judging.keep(question, reply, time.monotonic() - begun)

    def _may_begin(self, question: Question) -> bool:
        """Whether the money is there, and the endpoint's pace lets a call begin at once: none
        waits half begun."""
        at_once = self._client.client.pace.limit
        return self._judging.in_flight < at_once and self._judging.affordable(question)
