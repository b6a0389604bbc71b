"""The generate job: requests in rounds, within the budgets, until the rows are there.

Appends requests.jsonl before anything is looked at; generated.jsonl, rejected.jsonl and
summary.json are worked out from it after every round, a dataset version at the end.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from tuiwb.data.generate.generation import PHASE, Generation
from tuiwb.data.generate.parse import Parsed, parse_axes
from tuiwb.data.generate.prompts import AXES_SCHEMA, Request
from tuiwb.data.generate.results import (
    GENERATED,
    REJECTED,
    SUMMARY,
    GenerateSummary,
    readable,
)
from tuiwb.data.manifest import Operation
from tuiwb.data.versions import VersionWriter
from tuiwb.errors import JobFailed
from tuiwb.jobs.events import Alert
from tuiwb.jobs.run import JobContext
from tuiwb.llm.anthropic_endpoint import AnthropicEndpoint
from tuiwb.llm.client import Client, Endpoint
from tuiwb.llm.openai_endpoint import OpenAIEndpoint

FIRST_ROUND, LONGEST_ROUND = 16, 1024
# So many requests in a row without one new row: going on would only cost.
FRUITLESS = 8
FIXES = {
    "budget": "go on with a higher --max-usd: nothing is asked twice",
    "max_tokens": "go on with a higher --max-tokens: nothing is asked twice",
    "max_requests": "look at rejected.jsonl, then go on with a higher --max-requests",
    "no_new_rows": "look at rejected.jsonl: give more seeds, more topics, or ask for fewer rows",
}


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
