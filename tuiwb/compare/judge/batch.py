"""Judging through message batches: send what the budget surely covers, wait, collect, again.

A batch can't be stopped by what it has cost so far, so each holds only as many questions as the
budget covers at the longest answers allowed; what is left of the money sends the next one.
"""

import asyncio
import time
from collections import Counter

from tuiwb.compare.judge import batch_log as log
from tuiwb.compare.judge.batch_log import BATCHES, PendingBatch, Sending, Sent, Settled
from tuiwb.compare.judge.client import JudgeClient
from tuiwb.compare.judge.plan import JUDGE, waiting_batches
from tuiwb.compare.judge.protocol import Question, Verdict
from tuiwb.compare.judge.run import JudgeRun
from tuiwb.errors import JobFailed, MissingHere
from tuiwb.llm.anthropic_batches import AnthropicBatches, BatchRequest, BatchResult, BatchState
from tuiwb.llm.client import Cut, NoAnswer, Refused, Reply

# The provider's own limit on requests is ten times that; its limit on bytes is 256 MB.
MOST_REQUESTS = 10_000
MOST_BYTES = 100 << 20
# A question is sent in at most this many batches.
TRIES = 3
# Looks in a row that may fail: ten minutes at the usual pace.
LOST_AFTER = 20
# How far this clock and the provider's may differ when a batch of ours is looked for, in seconds.
CLOCKS = 300.0


class BatchRun:
    """The batches of one judge job."""

    def __init__(self, judging: JudgeRun, client: JudgeClient, batches: AnthropicBatches) -> None:
        self.judging, self._client, self._batches = judging, client, batches
        self._path = judging.context.folder / BATCHES
        self._tries: Counter[str] = Counter()
        self._hopeless: set[str] = set()
        self._longest: dict[str, int] = {}

    async def finish_pending(self) -> None:
        """Collect what an earlier run of this judge sent and did not live to see."""
        for batch in waiting_batches(self.judging.spec):
            if {question.key for question in self.judging.left()}.isdisjoint(batch.keys):
                continue
            if not batch.n:
                self._take_over(batch)
            if not batch.id:
                await self._look_for(batch)
            if batch.id:
                self.judging.context.log(f"batch {batch.id} was sent before: its results are due")
                await self._collect(batch)

    async def judge(self) -> None:
        """Send what is left until all of it has a verdict, is hopeless, or the money is spent."""
        while True:
            left = [question for question in self.judging.left() if self._worth(question)]
            if not left:
                return
            chosen = self._within_budget(left)
            if not chosen:
                self.judging.budget_reached = True
                return
            await self._collect(await self._send(chosen))

    def _worth(self, question: Question) -> bool:
        return self._tries[question.key] < TRIES and question.key not in self._hopeless

    def _most(self, question: Question) -> int:
        return self._longest.get(question.key, int(self.judging.spec["max_tokens"]))

    def _within_budget(self, left: list[Question]) -> list[Question]:
        """The first questions that the money covers whatever their answers' length."""
        money, size = self.judging.money_left, 0
        chosen = []
        for question in left[:MOST_REQUESTS]:
            money -= self.judging.dearest(question, self._most(question), batch=True)
            size += len(question.text.encode()) + len(self.judging.rubric.system) + 2000
            if money < 0 or size > MOST_BYTES:
                break
            chosen.append(question)
        return chosen

    async def _send(self, chosen: list[Question]) -> PendingBatch:
        """Put the batch on record, send it, put its id on record."""
        mode = self._client.client.mode
        keys = [question.key for question in chosen]
        requests = [
            BatchRequest(custom_id=q.key, text=q.text, max_tokens=self._most(q)) for q in chosen
        ]
        number, tries = log.next_number(log.read(self._path)), 0
        begun = time.time()
        log.write(self._path, Sending(n=number, keys=keys, mode=mode, t=begun))
        batch = PendingBatch(n=number, keys=keys, mode=mode, t=begun)
        while not batch.id:
            tries += 1
            try:
                self._is_sent(batch, await self._batches.send(requests, mode))
            except (Refused, Cut, NoAnswer, TimeoutError) as error:
                last = tries >= TRIES
                if isinstance(error, Refused) and error.status < 500:
                    self._settle(batch, f"refused ({error.status})")
                    self._stop_if_hopeless(error)
                # Without an answer, or with a gateway's, it may have arrived all the same.
                elif await self._look_for(batch, settle=last):
                    break
                if last:
                    raise self._not_sent(error) from None
                await asyncio.sleep(min(self._poll, 2.0**tries))
                log.write(self._path, Sending(n=number, keys=keys, mode=mode, t=begun))
        self.judging.context.log(
            f"batch {batch.id} with {len(keys)} questions is sent: half the price, ready within "
            "24 hours, usually much sooner"
        )
        return batch

    def _not_sent(self, error: Exception) -> JobFailed:
        words = self._client.client.sentence(error) or type(error).__name__
        if isinstance(error, Refused):
            return JobFailed(
                f"{self._where} takes no batch ({error.status}: {words}): run the same again later"
            )
        return JobFailed(
            f"the connection to the judge at {self._where} is lost ({words}): run the same again, "
            "nothing is asked twice"
        )

    async def _look_for(self, batch: PendingBatch, *, settle: bool = True) -> bool:
        """Find a batch whose sending had no answer among the latest; whether it was there."""
        # Another judge of this run may have sent one of the same size at the same time.
        folders = self._path.parent.parent.glob(f"{JUDGE}*/{BATCHES}")
        known = {r.id for path in folders for r in log.read(path) if isinstance(r, Sent)}
        try:
            recent = await self._batches.recent()
        except Refused as error:
            self._stop_if_hopeless(error)
            recent = []
        except (Cut, NoAnswer, TimeoutError):
            # Nobody knows: the next run looks again.
            return False
        for state in reversed(recent):
            ours = state.requests == len(batch.keys) and state.created >= batch.t - CLOCKS
            if ours and state.id not in known:
                self._is_sent(batch, state)
                return True
        if settle:
            self._settle(batch, "it never went out")
        return False

    async def _collect(self, batch: PendingBatch) -> None:
        """Wait until a batch ended and keep what it says."""
        await self._until_ended(batch)
        results = await self._results(batch)
        asked = {question.key: question for question in self.judging.asked}
        mine = set(batch.keys)
        if mine.isdisjoint(result.custom_id for result in results):
            # Not ours after all, or nothing that we can read: its questions are still open.
            if await self._look_for(batch, settle=False):
                await self._collect(batch)
                return
            self._tries.update(mine)
            self._settle(batch, "none of the results is ours")
            return
        for result in results:
            question = asked.get(result.custom_id)
            known = result.custom_id in self.judging.known
            if question is not None and not known and result.custom_id in mine:
                self._keep(question, result, batch)
        # A request that the results leave out is asked again.
        for key in mine - {result.custom_id for result in results}:
            self._tries[key] += 1
        self.judging.sync()
        self._settle(batch, "collected")

    def _keep(self, question: Question, result: BatchResult, batch: PendingBatch) -> None:
        self._tries[question.key] += 1
        if result.answer is None:
            reply: Reply[Verdict] = Reply(
                reason=self._client.client.sentence(NoAnswer(result.reason))
            )
            again = result.again
        else:
            reply = self._client.read(result.answer, batch.mode)
            again = reply.reason != "refusal"
            if reply.reason == "max_tokens":
                again = question.key not in self._longest
                self._longest[question.key] = 2 * int(self.judging.spec["max_tokens"])
        if not again:
            self._hopeless.add(question.key)
        final = not self._worth(question)
        self.judging.keep(question, reply, 0.0, batch=batch.id, final=final)

    async def _until_ended(self, batch: PendingBatch) -> None:
        lost = looks = 0
        while True:
            try:
                state = await self._batches.state(batch.id)
            except Refused as error:
                if error.status == 404:
                    raise JobFailed(
                        f"{self._where} knows no batch {batch.id} (404): give the key that it was "
                        f"sent with, or delete {self._path} to pay for its questions anew"
                    ) from None
                self._stop_if_hopeless(error)
                lost = self._lost(batch, lost, error)
            except (Cut, NoAnswer, TimeoutError) as error:
                lost = self._lost(batch, lost, error)
            else:
                lost = 0
                self.judging.batch_progress(state.done)
                if state.ended:
                    return
            # A small batch is done in a minute, a large one takes hours.
            looks += 1
            await asyncio.sleep(min(self._poll, 2.0 * 1.3 ** min(looks, 20)))

    async def _results(self, batch: PendingBatch) -> list[BatchResult]:
        lost = 0
        while True:
            try:
                return await self._batches.results(batch.id)
            except Refused as error:
                self._stop_if_hopeless(error)
                lost = self._lost(batch, lost, error)
            except (Cut, NoAnswer, TimeoutError) as error:
                lost = self._lost(batch, lost, error)
            await asyncio.sleep(self._poll)

    def _lost(self, batch: PendingBatch, lost: int, error: Exception) -> int:
        if lost + 1 >= LOST_AFTER:
            words = self._client.client.sentence(error) or type(error).__name__
            raise JobFailed(
                f"batch {batch.id} at {self._where} can't be looked at ({words}): run the same "
                "again later, it is not sent twice"
            ) from None
        return lost + 1

    def _stop_if_hopeless(self, error: Refused) -> None:
        if error.status in (401, 403):
            raise MissingHere(
                f"{self._where} refused the key ({error.status}): check ANTHROPIC_API_KEY"
            ) from None

    def _is_sent(self, batch: PendingBatch, state: BatchState) -> None:
        batch.id = state.id
        log.write(self._path, Sent(n=batch.n, id=state.id, t=time.time()))

    def _take_over(self, batch: PendingBatch) -> None:
        """Put a batch that was sent from another folder on this one's record."""
        batch.n = log.next_number(log.read(self._path))
        sent = Sending(n=batch.n, keys=batch.keys, mode=batch.mode, t=batch.t)
        log.write(self._path, sent)
        log.write(self._path, Sent(n=batch.n, id=batch.id, t=time.time()))

    def _settle(self, batch: PendingBatch, note: str) -> None:
        log.write(self._path, Settled(n=batch.n, note=note, t=time.time()))

    @property
    def _poll(self) -> float:
        return float(self.judging.spec["poll"])

    @property
    def _where(self) -> str:
        return str(self.judging.spec["base_url"])
