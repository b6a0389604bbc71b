"""One judge job while it runs: what was asked, what is known, what it cost. Appends
verdicts.jsonl, leaves summary.json; knows no network."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.completions import LABELS, Completion
from tuiwb.compare.judge.plan import all_questions, completions_of, known_verdicts
from tuiwb.compare.judge.protocol import (
    VERDICT_TOKENS,
    VERDICTS,
    FailureRecord,
    Question,
    Verdict,
    VerdictRecord,
    on_record,
    read_verdicts,
)
from tuiwb.compare.judge.rubric import Rubric
from tuiwb.compare.judge.summary import JUDGE_SUMMARY, summarise_verdicts
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import JobContext
from tuiwb.llm.client import Reply
from tuiwb.llm.prices import Usage, read_prices, tokens_of

PHASE = "judging"
WAITING = "waiting for the batch"


class JudgeRun:
    """The state of one judge job."""

    def __init__(self, context: JobContext) -> None:
        self.context, self.spec = context, context.spec
        self.path = context.folder / VERDICTS
        self.completions: list[Completion] = completions_of(self.spec)
        self.rubric = Rubric(**self.spec["rubric"])
        self.prices = read_prices(Path(self.spec["prices"]))
        self.asked = all_questions(self.spec, self.completions)
        # Pairs of the same texts are one question: it is asked and paid once.
        self.total = len({question.key for question in self.asked})
        self.known, failures = known_verdicts(self.spec, self.asked)
        # Verdicts that were borrowed from another judge's folder are this one's too.
        own, _ = read_verdicts(self.path)
        borrowed = [record for key, record in self.known.items() if key not in own]
        if borrowed:
            append_lines(self.path, borrowed)
        self.cached = len(self.known)
        worked = [self.known[q.key].mode for q in self.asked if q.key in self.known]
        self.worked = worked[-1] if worked else ""
        self.failures: list[FailureRecord] = []
        self.usage = Usage()
        self.calls = self.in_flight = 0
        # What this very job spent before it was interrupted counts against its budget.
        mine = context.job.created
        before: list[VerdictRecord | FailureRecord] = [*own.values(), *failures]
        self.usd = sum((record.usd or 0.0 for record in before if record.job == mine), 0.0)
        self._dearest_call = 0.0
        self._done = self.cached
        self._batch_done = -1
        self._unsynced = False
        self.budget_reached = False
        # No more calls are begun; those under way are still kept.
        self.ending = False
        self.begun = time.monotonic()

    def left(self) -> Iterator[Question]:
        """Questions without a verdict, controls first, each once."""
        once: dict[str, Question] = {}
        for question in self.asked:
            once.setdefault(question.key, question)
        return (question for key, question in once.items() if key not in self.known)

    @property
    def money_left(self) -> float:
        """US dollars until the budget is spent."""
        return float(self.spec["max_usd"]) - self.usd

    def dearest(self, question: Question, most: int, *, batch: bool = False) -> float:
        """US dollars of a call whose answer is as long as allowed, the prompt written to the
        cache; 0 for a model without a price."""
        tokens = tokens_of(self.rubric.system) + tokens_of(question.text) + 60
        usage = Usage(cache_write=tokens, output=most)
        return self.prices.cost(self.spec["model"], usage, batch=batch) or 0.0

    def guess(self, question: Question) -> float:
        """US dollars of a call as estimates assume it; 0 for a model without a price."""
        tokens = tokens_of(self.rubric.system) + tokens_of(question.text)
        usage = Usage(input=tokens, output=VERDICT_TOKENS)
        return self.prices.cost(self.spec["model"], usage) or 0.0

    def affordable(self, question: Question) -> bool:
        """Whether one more call keeps within the budget, each under way taken to cost as much as
        the dearest so far."""
        if self.prices.of(self.spec["model"]) is None:
            return True
        each = max(self.guess(question), self._dearest_call)
        return bool(each * (self.in_flight + 1) <= self.money_left + 1e-9)

    def keep(
        self,
        question: Question,
        reply: Reply[Verdict],
        seconds: float,
        *,
        batch: str = "",
        final: bool = True,
    ) -> None:
        """Append a reply to the record and count it; a failure that is not `final` is asked
        again."""
        self.calls += 1
        usd = self.prices.cost(self.spec["model"], reply.usage, batch=bool(batch))
        if usd is not None and reply.unanswered:
            # Their answers never came, and may be paid all the same.
            usd += reply.unanswered * self.guess(question)
        self.usd += usd or 0.0
        self._dearest_call = max(self._dearest_call, usd or 0.0)
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
                job=self.context.job.created,
            )
            if final:
                self.failures.append(failure)
            self._append(failure)
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
                batch=batch,
                t=time.time(),
                job=self.context.job.created,
            )
            self.known[question.key] = record
            self._append(record)
        self._done += final
        self.context.progress(PHASE, self._done, self.total, "verdicts")

    def _append(self, record: VerdictRecord | FailureRecord) -> None:
        """Write a line that outlives this process; `sync` has it outlive the machine. A sync for
        each would hold up every other call."""
        append_lines(self.path, [record], durable=False)
        self._unsynced = True

    def sync(self) -> None:
        """Have all lines outlive the machine."""
        if self._unsynced:
            self._unsynced = False
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def batch_progress(self, done: int) -> None:
        """Say how many of a batch's requests the provider has done; only where it changed."""
        if done != self._batch_done:
            self._batch_done = done
            self.context.progress(WAITING, self._done + done, self.total, "verdicts")

    def write_summary(self) -> None:
        """Fold what is known into summary.json."""
        self.sync()
        verdicts, failures = on_record(self.asked, self.known, self.failures)
        summary: Any = summarise_verdicts(
            self.completions,
            verdicts,
            failures,
            model=self.spec["model"],
            rubric=self.rubric.name,
            sides=tuple(self.spec.get("side_labels") or LABELS),
        )
        summary.label = self.spec.get("label", "")
        summary.endpoint = self.spec["base_url"]
        summary.calls, summary.cached = self.calls, self.cached
        summary.input_tokens = self.usage.input + self.usage.cache_read + self.usage.cache_write
        summary.cache_read_tokens = self.usage.cache_read
        summary.cache_write_tokens = self.usage.cache_write
        summary.output_tokens = self.usage.output
        summary.usd = self.usd if self.prices.of(self.spec["model"]) else None
        summary.batched = sum(bool(verdict.batch) for verdict in self.known.values())
        summary.budget_reached = self.budget_reached
        summary.seconds = time.monotonic() - self.begun
        write_atomically(
            self.context.folder / JUDGE_SUMMARY,
            msgspec.json.format(msgspec.json.encode(summary), indent=2),
        )
        if self.path.exists():
            self.context.artifact("verdicts", VERDICTS)
        self.context.artifact("summary", JUDGE_SUMMARY)
