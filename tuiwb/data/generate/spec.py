"""What a generate job is asked (job.yaml's spec), and the requests that follow from it."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.generate.form import Form, form_of, shown
from tuiwb.data.generate.prompts import (
    Request,
    axes_request,
    request,
    rows_schema,
    system_prompt,
)
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import load
from tuiwb.llm.prices import Prices, Usage, read_prices, tokens_of
from tuiwb.prepared import prepared
from tuiwb.project import Project

KIND = "generate"
# An answer may take twice what the seeds let expect, within what models write in one go.
ROOM, LEAST_TOKENS, MOST_TOKENS = 2.0, 1024, 16_384
# Keys, quotes and escapes around the text of a row.
JSON_OVERHEAD = 1.15
AXES_TOKENS, AXES_LIMIT = 1200, 4096
# Seeds whose length is looked at for the estimate.
MEASURED = 200


class GenerateSpec(msgspec.Struct, kw_only=True):
    """What a generate job is asked. `api` is anthropic or openai; `axes` are values to vary by,
    None to have the model name them; budgets of None are none, but for `max_requests`."""

    seeds: str
    task: str
    rows: int
    out: str
    project: str
    api: str
    model: str
    base_url: str
    key_variable: str
    against: list[str] = []
    heldout: str | None = None
    axes: dict[str, list[str]] | None = None
    per_request: int = 5
    shots: int = 3
    seed: int = 0
    concurrency: int = 4
    deadline: float = 300.0
    max_usd: float | None = None
    max_requests: int = 0
    max_tokens: int | None = None

    @property
    def identity(self) -> str:
        """Everything but a request's own text that could change its answer."""
        return f"{self.api} {self.base_url} {self.model}"

    @property
    def prices(self) -> Prices:
        """The price table of the project."""
        return read_prices(Path(self.project) / "prices.yaml")


def spec_of(folder: Path) -> GenerateSpec:
    """What the generate job in `folder` was asked; BadInput for a job of another kind."""
    job = load(folder)
    if job.kind != KIND:
        raise BadInput(f"{folder.name} is a {job.kind} job, not a generation: choose another name")
    try:
        return msgspec.convert(job.spec, prepared(GenerateSpec))
    except msgspec.ValidationError as error:
        raise BadInput(f"{folder / 'job.yaml'}: not the spec of a generation: {error}") from None


def folder_of(spec: GenerateSpec) -> Path:
    """Where the job of `spec` lives."""
    return Project(Path(spec.project)).runs / spec.out


class Seeds:
    """The seed file as it is drawn from: the form of its rows, which can be drawn, their texts."""

    def __init__(self, path: str | Path) -> None:
        self.dataset: Dataset = open_dataset(path)
        self.form: Form
        self.form, self.numbers, self.left_out = form_of(self.dataset, str(path))
        step = max(1, len(self.numbers) // MEASURED)
        sizes = [tokens_of(json.dumps(self.example(n))) for n in self.numbers[::step]]
        self.tokens = sum(sizes) / len(sizes)

    def example(self, number: int) -> dict[str, Any]:
        """Seed row `number` as the model is shown it."""
        return shown(self.dataset.row(number), self.form)


class Questions:
    """The requests of a spec, by number, and what each may take."""

    def __init__(self, spec: GenerateSpec, seeds: Seeds) -> None:
        self.spec, self.seeds = spec, seeds
        self.system = system_prompt(spec.task, seeds.form)
        self.schema = rows_schema(seeds.form)
        self._identity = f"{spec.identity} {self.system}"
        row = seeds.tokens * JSON_OVERHEAD
        self._answer = round(spec.per_request * row)
        self._limit = min(MOST_TOKENS, max(LEAST_TOKENS, round(ROOM * self._answer)))

    def axes(self) -> Request:
        """The request for personas, topics and difficulties."""
        numbers = self.seeds.numbers[: self.spec.shots]
        return axes_request([self.seeds.example(n) for n in numbers], self._identity)

    def number(self, n: int, axes: dict[str, list[str]]) -> Request:
        """Request `n`: always the same one."""
        return request(
            n,
            seed=self.spec.seed,
            rows=self.spec.per_request,
            shots=self.spec.shots,
            numbers=self.seeds.numbers,
            axes=axes,
            example=self.seeds.example,
            identity=self._identity,
        )

    def guess(self, asked: Request) -> Usage:
        """What a request should take, in tokens; prompt caching is not assumed."""
        tokens = tokens_of(self.system) + tokens_of(asked.text) + 60
        answer = AXES_TOKENS if asked.n < 0 else self._answer
        return Usage(input=tokens, output=min(answer, self.limit(asked)))

    def limit(self, asked: Request) -> int:
        """The longest answer a request may have, in tokens."""
        return AXES_LIMIT if asked.n < 0 else self._limit

    def most(self, asked: Request) -> Usage:
        """The most a request may take: its answer written to the limit."""
        return Usage(input=round(1.2 * self.guess(asked).input), output=self.limit(asked))
