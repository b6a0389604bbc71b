"""A generation while it runs: what is known, what is in the air, what it may still cost."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar

import msgspec

from tuiwb.data.generate.prompts import Request
from tuiwb.data.generate.requests import REQUESTS, RequestLog
from tuiwb.data.generate.results import SUMMARY, GenerateSummary, Results, read_generate_summary
from tuiwb.data.generate.sift import Rows
from tuiwb.data.generate.spec import GenerateSpec, Questions, Seeds
from tuiwb.data.provenance import human_share
from tuiwb.data.read import open_dataset
from tuiwb.data.versions import Source
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.run import JobContext
from tuiwb.llm.client import Answer, Client
from tuiwb.llm.prices import Usage
from tuiwb.prepared import prepared

PHASE = "generating"
# Characters kept of an answer.
MOST_RAW = 1 << 20
T = TypeVar("T")


class Generation:
    """The state of one generate job while it runs."""

    def __init__(self, context: JobContext) -> None:
        self.context, self.folder = context, context.folder
        self.spec = msgspec.convert(context.spec, prepared(GenerateSpec))
        self.seeds = Seeds(self.spec.seeds)
        seeds = self.seeds.dataset
        self.source = Source(self.spec.seeds, len(seeds), seeds.files)
        self.questions = Questions(self.spec, self.seeds)
        self.log = RequestLog(self.folder / REQUESTS)
        self.prices = self.spec.prices
        self.results = Results(self.spec, self.questions, self.log)
        self.known: list[tuple[str, Rows]] = [(self.spec.seeds, self.seeds.dataset)]
        self.known += [(path, open_dataset(path)) for path in self.spec.against]
        heldout = self.spec.heldout
        self.held_out: tuple[str, Rows] | None = (
            (heldout, open_dataset(heldout)) if heldout else None
        )
        self.in_flight: dict[str, Usage] = {}
        # Set, and replaced, whenever a request comes back.
        self.landed = asyncio.Event()
        self.given_up: set[int] = set()
        self.ended = ""
        self.begun = time.monotonic()
        self._human = human_share(row for _file, rows in self.known for row in rows)
        self._sifted = (-1, 0)
        self._sha256 = ""

    def exceeded(self, asked: Request) -> str:
        """The budget that one more request, written to its limit, could pass; '' for none."""
        spent = self.log.spent + self._reserve(asked)
        for reserved in self.in_flight.values():
            spent += reserved
        usd = self.prices.cost(self.spec.model, spent)
        if self.log.calls + len(self.in_flight) >= self.spec.max_requests:
            return "max_requests"
        if self.spec.max_usd is not None and usd is not None and usd > self.spec.max_usd:
            return "budget"
        if self.spec.max_tokens is not None and spent.tokens > self.spec.max_tokens:
            return "max_tokens"
        return ""

    async def afford(self, asked: Request) -> bool:
        """Whether the budgets allow a request, once those in the air have told what they took."""
        while (budget := self.exceeded(asked)) and self.in_flight:
            await self.landed.wait()
        self.ended = self.ended or budget
        return not self.ended

    def _reserve(self, asked: Request) -> Usage:
        """The most a request may take; an endpoint that took more before may do so again."""
        most, dearest = self.questions.most(asked), self.log.dearest
        return dearest if dearest.tokens > most.tokens else most

    @property
    def missing(self) -> int:
        """Rows that are still wanted, as of the last sifting."""
        return max(0, self.spec.rows - len(self.results.kept))

    def unanswered(self) -> Iterator[Request]:
        """The requests without an answer, by number; endless."""
        for n in count():
            if n not in self.given_up:
                request = self.results.request_of(n)
                if request.key not in self.log.answers:
                    yield request

    async def ask(self, client: Client, asked: Request, read: Callable[[str], T]) -> T | None:
        """Ask once and keep what comes; the value read, or None."""
        self.log.asked(asked.key, asked.n, self.questions.guess(asked))
        self.in_flight[asked.key] = self._reserve(asked)

        def keep(answer: Answer, mode: str) -> None:
            self.log.answered(asked.key, asked.n, answer.text, answer.stop, mode, answer.usage)

        try:
            reply = await client.ask(
                asked.text, read, self.questions.limit(asked),
                most_raw=MOST_RAW, keep=keep, insist=asked.n < 0,
            )  # fmt: skip
        except TuiwbError as error:
            self.log.failed(asked.key, asked.n, str(error), calls=0)
            raise
        finally:
            del self.in_flight[asked.key]
            self.landed.set()
            self.landed = asyncio.Event()
        if reply.unanswered:
            self.log.unanswered(asked.key, asked.n, reply.unanswered)
        if asked.key not in self.log.answers:
            self.log.failed(asked.key, asked.n, reply.reason)
        if reply.value is None:
            self.given_up.add(asked.n)
            self.context.log(f"request {asked.n}: {reply.reason}", level="warning")
        return reply.value

    def sift(self) -> None:
        """Work out what is kept so far and leave the files."""
        if self._sifted != (self.log.calls, len(self.log.failures)):
            self.results.sift(self.known, self.held_out)
            self._sha256 = hashlib.sha256(self.results.write(self.folder)).hexdigest()
            self._sifted = (self.log.calls, len(self.log.failures))
        self.context.progress(PHASE, len(self.results.kept), self.spec.rows, "rows")
        self._write_summary()

    def _write_summary(self) -> None:
        before = read_generate_summary(self.folder)
        same = before is not None and before.generated_sha256 == self._sha256
        kept = len(self.results.kept)
        mixed = self._human.rows + kept
        spent = self.log.spent
        self.summary = GenerateSummary(
            model=self.spec.model,
            rows=self.spec.rows,
            kept=kept,
            received=self.results.received,
            rejected=_counts(entry["reason"] for entry in self.results.rejected),
            answers=self.results.answers,
            calls=self.log.calls,
            problems=dict(self.results.problems.most_common()),
            axes=self.results.axes,
            ended=self.ended,
            input_tokens=spent.input + spent.cache_write + spent.cache_read,
            output_tokens=spent.output,
            unanswered=self.log.lost.input + self.log.lost.output,
            usd=self.prices.cost(self.spec.model, spent),
            human_share=round(self._human.human / mixed, 4) if mixed else 1.0,
            mixed_rows=mixed,
            seeds_left_out=self.seeds.left_out,
            generated_sha256=self._sha256,
            dataset=before.dataset if before is not None and same else "",
            seconds=time.monotonic() - self.begun,
        )
        self.save_summary()

    def save_summary(self) -> None:
        """Leave summary.json."""
        data = msgspec.json.format(msgspec.json.encode(self.summary), indent=2)
        write_atomically(self.folder / SUMMARY, data)


def _counts(reasons: Iterator[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return found
