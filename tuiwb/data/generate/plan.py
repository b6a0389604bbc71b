"""Plan a generation: seeds, task, endpoint, budget; what it will cost; start or resume its job."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tuiwb import jobs
from tuiwb.data.generate.prompts import AXES, LONGEST_VALUE
from tuiwb.data.generate.requests import REQUESTS, RequestLog
from tuiwb.data.generate.spec import KIND, GenerateSpec, Questions, Seeds, folder_of, spec_of
from tuiwb.data.read import open_dataset
from tuiwb.data.versions import check_name as check_version_name
from tuiwb.data.versions import name_of
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.folder import check_name
from tuiwb.jobs.reopen import open_job
from tuiwb.llm.address import (
    ANTHROPIC_KEYS,
    ANTHROPIC_URL,
    check_key_travels_safely,
    check_url,
    has_anthropic_key,
)
from tuiwb.llm.prices import Usage
from tuiwb.project import Project

WHO = "the model"
MOST_ROWS = 1_000_000
# Requests for each one that would do if every row were kept; beyond that something is wrong.
TRIES_PER_REQUEST = 3


class Estimate(msgspec.Struct, kw_only=True):
    """What a generation will take if every row is kept. `usd` is None for an unknown price."""

    model: str
    rows: int
    calls: int
    known: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    prices_of: str
    limits: str
    left_out: int

    @property
    def sentence(self) -> str:
        """The cost in one line, for the person who confirms it."""
        known = f" ({self.known} more are answered already)" if self.known else ""
        dollars = (
            f"about ${self.usd:.2f} at prices of {self.prices_of}"
            if self.usd is not None
            else f"cost unknown: no price for {self.model} in prices.yaml"
        )
        return (
            f"{self.rows:,} rows: {self.calls:,} calls to {self.model}{known}, about "
            f"{self.input_tokens:,} tokens in and {self.output_tokens:,} out, {dollars}; more "
            f"where rows are rejected, at most {self.limits}"
        )


def plan_generation(
    project: Project,
    *,
    seeds: str | Path,
    task: str,
    rows: int,
    out: str | None = None,
    model: str | None = None,
    endpoint: str | None = None,
    base_url: str | None = None,
    key_env: str = "OPENAI_API_KEY",
    max_usd: float | None = None,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    against: Sequence[str | Path] = (),
    heldout: str | Path | None = None,
    axes: dict[str, list[str]] | None = None,
    per_request: int = 5,
    shots: int = 3,
    seed: int = 0,
    concurrency: int = 4,
) -> GenerateSpec:
    """The spec of a generate job, every default resolved.

    `endpoint` is an OpenAI-compatible server (which needs `model`), else the Messages API at
    `base_url` is asked. `axes` of None has the model name what to vary by, {} varies nothing.
    BadInput when an argument is wrong, MissingHere when the SDK or the key for the endpoint is
    not there. The key itself is in no spec: the worker finds it in its environment.
    """
    _check_numbers(rows, per_request, shots, concurrency)
    if not task.strip():
        raise BadInput("the task is empty: say in a few sentences what the model shall learn")
    paths = [project.resolve(path) for path in (seeds, *against, *([heldout] if heldout else []))]
    for path in paths:
        open_dataset(path)
    name = out or f"{name_of(paths[0])}-synthetic"[:60]
    check_version_name(check_name(name))
    api, url, chosen = _endpoint(project, model, endpoint, base_url, key_env)
    spec = GenerateSpec(
        seeds=str(paths[0]),
        task=task.strip(),
        rows=rows,
        out=name,
        project=str(project.root),
        api=api,
        model=chosen,
        base_url=url,
        key_variable=key_env if api == "openai" else ANTHROPIC_KEYS[0],
        against=[str(path) for path in paths[1 : 1 + len(against)]],
        heldout=str(paths[-1]) if heldout else None,
        axes=None if axes is None else _checked_axes(axes),
        per_request=per_request,
        shots=shots,
        seed=seed,
        concurrency=concurrency,
        max_requests=max_requests or TRIES_PER_REQUEST * -(-rows // per_request) + 1,
        max_tokens=max_tokens,
    )
    if spec.prices.of(chosen) is not None:
        spec.max_usd = project.settings.judge.max_usd if max_usd is None else max_usd
    elif max_usd is not None:
        raise BadInput(
            f"there is no price for {chosen} in prices.yaml, so --max-usd can't be kept: add one, "
            "or set --max-requests or --max-tokens",
            on_screen=f"there is no price for {chosen} in prices.yaml, so no limit in dollars can "
            "be kept: add one, or leave the dollars empty",
        )
    _check_budgets(spec)
    return spec


def resume_generation(
    project: Project,
    name: str,
    *,
    rows: int | None = None,
    max_usd: float | None = None,
    max_requests: int | None = None,
    max_tokens: int | None = None,
) -> GenerateSpec:
    """The spec of generate job `name`, other limits where given; BadInput if it is none."""
    spec = spec_of(project.run(name))
    if rows is not None and rows != spec.rows:
        _check_numbers(rows, spec.per_request, spec.shots, spec.concurrency)
        spec.rows = rows
        spec.max_requests = TRIES_PER_REQUEST * -(-rows // spec.per_request) + 1
    spec.max_usd = spec.max_usd if max_usd is None else max_usd
    spec.max_requests = max_requests or spec.max_requests
    spec.max_tokens = spec.max_tokens if max_tokens is None else max_tokens
    _check_budgets(spec)
    return spec


def estimate(spec: GenerateSpec) -> Estimate:
    """Calls, tokens and dollars left to take if every row is kept, answered requests left out.

    Tokens are counted at 3.5 characters each and prompt caching is not assumed.
    """
    questions = Questions(spec, Seeds(spec.seeds))
    log = RequestLog(folder_of(spec) / REQUESTS)
    axes = spec.axes or {}
    needed = -(-spec.rows // spec.per_request)
    asked = [questions.number(n, axes) for n in range(min(needed, 50))]
    answered = sum(answer.n >= 0 for answer in log.answers.values())
    known = min(needed, answered)
    calls = needed - known
    tokens = Usage()
    for one in asked:
        tokens += questions.guess(one)
    tokens_in = round(tokens.input * calls / len(asked))
    tokens_out = round(tokens.output * calls / len(asked))
    if spec.axes is None and not any(answer.n < 0 for answer in log.answers.values()):
        first = questions.guess(questions.axes())
        tokens_in, tokens_out, calls = tokens_in + first.input, tokens_out + first.output, calls + 1
    table = spec.prices
    limits = [f"{spec.max_requests:,} requests"]
    limits += [f"${spec.max_usd:g}"] if spec.max_usd is not None else []
    limits += [f"{spec.max_tokens:,} tokens"] if spec.max_tokens is not None else []
    return Estimate(
        model=spec.model,
        rows=spec.rows,
        calls=calls,
        known=known,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        usd=table.cost(spec.model, Usage(input=tokens_in, output=tokens_out)),
        prices_of=str(table.date or "an unknown date"),
        limits=" and ".join(limits),
        left_out=questions.seeds.left_out,
    )


def prepare_generation(spec: GenerateSpec) -> Path:
    """The job folder for `spec`, ready to launch; what was answered before is kept.

    The same question goes on where it stopped; with other limits the old job is set aside as
    NAME-N and its answers are taken along. BadInput while it runs, or for a run of another kind.
    """
    folder = folder_of(spec)
    if (folder / "job.yaml").is_file():
        spec_of(folder)
    files = {"seeds": spec.seeds, **{f"against {i}": p for i, p in enumerate(spec.against)}}
    files |= {"heldout": spec.heldout} if spec.heldout else {}
    prints = {name: jobs.fingerprint(Path(path)) for name, path in files.items()}
    plain = msgspec.to_builtins(spec)
    open_job(folder, KIND, plain, prints, name=spec.out, carry=(REQUESTS,))
    return folder


def start_generation(spec: GenerateSpec) -> Path:
    """Start, or go on with, the generation of `spec` as a detached job; returns its folder."""
    folder = prepare_generation(spec)
    # The key travels in the inherited environment alone.
    jobs.launch(folder)
    return folder


def _endpoint(
    project: Project, model: str | None, endpoint: str | None, base_url: str | None, key_env: str
) -> tuple[str, str, str]:
    """The API, its address and the model, checked for a key and for the SDK."""
    if importlib.util.find_spec("anthropic") is None:
        raise MissingHere("generating needs the anthropic package: pip install 'tuiwb[judge]'")
    if endpoint is not None:
        if base_url is not None:
            raise BadInput("give --endpoint (OpenAI-compatible) or --base-url (Messages API)")
        if not model:
            raise BadInput(
                "name the model that the endpoint serves with --model",
                on_screen="name the model that the endpoint serves",
            )
        url = check_url(endpoint, who=WHO, variable=key_env)
        if os.environ.get(key_env):
            check_key_travels_safely(url)
        return "openai", url, model
    settings = project.settings.judge
    named = base_url or settings.base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
    url = check_url(named or ANTHROPIC_URL, who=WHO, variable=ANTHROPIC_KEYS[0])
    if has_anthropic_key():
        check_key_travels_safely(url)
    elif named is None:
        raise MissingHere(
            "there is no key for the model: set ANTHROPIC_API_KEY, or name an endpoint that needs "
            "none with --endpoint or --base-url",
            on_screen="there is no key for the model: set ANTHROPIC_API_KEY, or give the URL of "
            "an endpoint that needs none",
        )
    return "anthropic", url, model or settings.model


def _checked_axes(axes: dict[str, list[str]]) -> dict[str, list[str]]:
    for axis, values in axes.items():
        if axis not in AXES:
            raise BadInput(f"there is no axis {axis!r}: vary by {', '.join(AXES)}")
        for value in values:
            if not value.strip() or len(value) > LONGEST_VALUE:
                raise BadInput(
                    f"a {axis} is {'empty' if not value.strip() else 'too long'}: give a few "
                    f"words, at most {LONGEST_VALUE} characters"
                )
    return {axis: values for axis, values in axes.items() if values}


def _check_numbers(rows: int, per_request: int, shots: int, concurrency: int) -> None:
    for option, value, most in (
        ("rows", rows, MOST_ROWS),
        ("per-request", per_request, 50),
        ("shots", shots, 20),
        ("concurrency", concurrency, 32),
    ):
        if not 1 <= value <= most:
            raise BadInput(f"{option} is {value}: give 1 to {most:,}")


def _check_budgets(spec: GenerateSpec) -> None:
    for option, value in (
        ("max-usd", spec.max_usd),
        ("max-requests", spec.max_requests),
        ("max-tokens", spec.max_tokens),
    ):
        if value is not None and not value > 0:
            raise BadInput(f"{option} is {value}: give the most to spend, above 0")
    if spec.max_usd is None and spec.max_tokens is None:
        return
    questions = Questions(spec, Seeds(spec.seeds))
    most = questions.most(questions.number(0, spec.axes or {}))
    cost = spec.prices.cost(spec.model, most)
    if spec.max_usd is not None and cost is not None and cost > spec.max_usd:
        said = f"but one request may cost ${cost:.4f}: give more"
        raise BadInput(
            f"max-usd is {spec.max_usd:g}, {said}, or fewer rows with --per-request",
            on_screen=f"${spec.max_usd:g} is the most to spend, {said}",
        )
    if spec.max_tokens is not None and most.input + most.output > spec.max_tokens:
        raise BadInput(
            f"max-tokens is {spec.max_tokens}, but one request may take "
            f"{most.input + most.output:,}: give more, or fewer rows with --per-request"
        )
