"""The generate job: requests in rounds, within the budgets, until the rows are there.

Appends requests.jsonl before anything is looked at; generated.jsonl, rejected.jsonl and
summary.json are worked out from it after every round, a dataset version at the end.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

import msgspec

from tuiwb.data.generate.parse import Parsed, parse_axes
from tuiwb.data.generate.prompts import AXES_SCHEMA, Request
from tuiwb.data.generate.requests import REQUESTS, RequestLog
from tuiwb.data.generate.results import (
    GENERATED,
    REJECTED,
    SUMMARY,
    GenerateSummary,
    Results,
    read_generate_summary,
    readable,
)
from tuiwb.data.generate.sift import Rows
from tuiwb.data.generate.spec import GenerateSpec, Questions, Seeds
from tuiwb.data.manifest import Operation
from tuiwb.data.provenance import human_share
from tuiwb.data.read import open_dataset
from tuiwb.data.versions import Source, VersionWriter
from tuiwb.errors import JobFailed, TuiwbError
from tuiwb.jobs.events import Alert
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.run import JobContext
from tuiwb.llm.anthropic_endpoint import AnthropicEndpoint
from tuiwb.llm.client import Answer, Client, Endpoint
from tuiwb.llm.openai_endpoint import OpenAIEndpoint
from tuiwb.llm.prices import Usage

PHASE = "generating"
FIRST_ROUND, LONGEST_ROUND = 16, 1024
MOST_RAW = 1 << 20
# So many requests in a row without one new row: going on would only cost.
FRUITLESS = 8
FIXES = {
    "budget": "go on with a higher --max-usd: nothing is asked twice",
    "max_tokens": "go on with a higher --max-tokens: nothing is asked twice",
    "max_requests": "look at rejected.jsonl, then go on with a higher --max-requests",
    "no_new_rows": "look at rejected.jsonl: give more seeds, more topics, or ask for fewer rows",
}
T = TypeVar("T")


class Generation:
    """The state of one generate job while it runs."""

    def __init__(self, context: JobContext) -> None:
        self.context, self.folder = context, context.folder
        self.spec = msgspec.convert(context.spec, GenerateSpec)
        self.seeds = Seeds(self.spec.seeds)
        self.source = Source(self.spec.seeds, len(self.seeds.dataset))
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


def run(context: JobContext) -> None:
    """Generate the rows that the job's spec asks for."""
    context.state("running", "reading seeds")
    generation = Generation(context)
    context.state("running", PHASE)
    try:
        asyncio.run(_generate(generation))
    finally:
        # What came since the last round is worked out even when the job is stopped.
        generation.sift()
    if not generation.results.kept:
        raise JobFailed(_nothing(generation.summary))
    _write_version(generation)
    for kind, file in (("generated", GENERATED), ("rejected", REJECTED), ("summary", SUMMARY)):
        context.artifact(kind, file)
    if generation.ended:
        context.emit(_alert(generation))


async def _generate(generation: Generation) -> None:
    """Rounds until the rows are there; a hopeless error, or a stop command, ends it all."""

    async def watch() -> None:
        while True:
            generation.context.stop_if_asked()
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    working = asyncio.create_task(_rounds(generation))
    try:
        await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        await (working if working.done() else watching)
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


async def _rounds(generation: Generation) -> None:
    await _name_axes(generation)
    generation.sift()
    client = _client(generation, generation.questions.schema, generation.results.worked)
    read = readable(generation.seeds.form, client.redact)
    longest, fruitless = FIRST_ROUND, 0
    try:
        while not generation.summary.complete and not generation.ended:
            before, calls = len(generation.results.kept), generation.log.calls
            await _round(generation, client, islice(generation.unanswered(), longest), read)
            generation.sift()
            new = len(generation.results.kept) > before
            fruitless = 0 if new else fruitless + generation.log.calls - calls
            if fruitless >= FRUITLESS and not generation.ended:
                generation.ended = "no_new_rows"
            longest = min(LONGEST_ROUND, 2 * longest)
    finally:
        await client.close()


async def _round(
    generation: Generation, client: Client, left: Iterator[Request], read: Callable[[str], Parsed]
) -> None:
    """Ask these requests, a few at a time, until enough rows are on their way to look at them.

    The first error that is no use to go on with ends it.
    """
    came = 0

    async def work() -> None:
        nonlocal came
        for asked in left:
            coming = came + len(generation.in_flight) * generation.spec.per_request
            if coming >= generation.missing or not await generation.afford(asked):
                return
            parsed = await generation.ask(client, asked, read)
            if parsed is not None:
                came += sum(candidate.row is not None for candidate in parsed.candidates)

    tasks = [asyncio.create_task(work()) for _ in range(generation.spec.concurrency)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _name_axes(generation: Generation) -> None:
    """What to vary: given, else asked of the model once and read from the record ever after."""
    spec, log, results = generation.spec, generation.log, generation.results
    if spec.axes is not None:
        results.axes = spec.axes
        return
    asked = generation.questions.axes()
    if asked.key not in log.answers:
        if not await generation.afford(asked):
            return
        generation.context.state("running", "asking what to vary")
        client = _client(generation, AXES_SCHEMA, "")
        try:
            await generation.ask(client, asked, lambda text: parse_axes(client.redact(text), ""))
        finally:
            await client.close()
        generation.context.state("running", PHASE)
    answer = log.answers.get(asked.key)
    try:
        results.axes = parse_axes(answer.text, answer.stop) if answer is not None else {}
    except ValueError as error:
        generation.context.log(f"nothing to vary by, the model {error}", level="warning")


def _client(generation: Generation, schema: dict[str, object], worked: str) -> Client:
    spec, system = generation.spec, generation.questions.system
    endpoint: Endpoint
    if spec.api == "openai":
        endpoint = OpenAIEndpoint(
            model=spec.model, base_url=spec.base_url, system=system, schema=schema,
            deadline=spec.deadline, key_variable=spec.key_variable,
        )  # fmt: skip
    else:
        tool = {"name": "answer", "description": "Give the answer.", "input_schema": schema}
        endpoint = AnthropicEndpoint(
            model=spec.model, base_url=spec.base_url, system=system, tool=tool,
            deadline=spec.deadline,
        )  # fmt: skip
    return Client(
        endpoint,
        model=spec.model,
        deadline=spec.deadline,
        concurrency=spec.concurrency,
        who="the model",
        url_option="--endpoint" if spec.api == "openai" else "--base-url",
        worked=worked,
    )


def _write_version(generation: Generation) -> None:
    """A dataset version of what is kept, unless these very rows were written before."""
    spec, summary = generation.spec, generation.summary
    if summary.dataset and Path(summary.dataset).is_file():
        return
    generation.context.state("running", "writing the dataset")
    root = Path(spec.project) / "data" / "versions"
    shown = ("task", "model", "api", "base_url", "rows", "per_request", "shots", "against")
    parameters = {name: getattr(spec, name) for name in (*shown, "heldout")}
    parameters |= {"axes": summary.axes, "run": str(generation.folder)}
    counts = {
        "received": summary.received,
        "kept": summary.kept,
        "rejected": summary.rejected,
        "calls": summary.calls,
        "usd": summary.usd,
    }
    with VersionWriter(root, spec.out) as version:
        for kept in generation.results.kept:
            version.write(kept.record)
        folder, _ = version.finish(
            [generation.source],
            [Operation(op="generate", parameters=parameters, counts=counts)],
            seed=spec.seed,
            notes=(summary.share_sentence,),
        )
    summary.dataset = str(folder / "data.jsonl")
    generation.save_summary()


def _alert(generation: Generation) -> Alert:
    summary = generation.summary
    usd = "" if summary.usd is None else f", ${summary.usd:.4f} spent"
    return Alert(
        rule=summary.ended,
        severity="warning",
        evidence=f"{summary.kept} of {summary.rows} rows after {summary.calls} calls{usd}",
        fix=FIXES[summary.ended],
    )


def _nothing(summary: GenerateSummary) -> str:
    reasons = [f"{n} x {why}" for why, n in (*summary.problems.items(), *summary.rejected.items())]
    said = "; ".join(reasons[:6]) or summary.ended or "no request was made"
    return f"no row was kept after {summary.calls} calls: {said}"


def _counts(reasons: Iterator[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return found
