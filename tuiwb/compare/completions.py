"""What the sides of a comparison answered, one line per prompt, appended as it comes.

completions.jsonl holds a line per prompt whose first two sides have both answered, under the role
names `base` (what is compared against) and `adapter` (what is under test). answers.jsonl holds
single answers: those of further sides, and those whose pair is not complete yet.
"""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuiwb.compare.left_out import LeftOut
from tuiwb.compare.metrics.json_fields import FieldSummary
from tuiwb.compare.metrics.measure import Options, measure
from tuiwb.compare.metrics.scored import Answered, Asked
from tuiwb.compare.metrics.slices import Slice
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.jobs.lines import decode_lines
from tuiwb.prepared import prepared

COMPLETIONS = "completions.jsonl"
ANSWERS = "answers.jsonl"
TOKEN_PROBABILITIES = "token_probabilities.jsonl"
EVIDENCE = "evidence.json"
SUMMARY = "summary.json"
REPORT = "report.md"
ROLES = ("base", "adapter")
LABELS = ("base", "fine-tune")

# So many pairs that are all the same are told at once, not when the last one is.
FIRST_PAIRS = 8

Stop = Literal["eos", "length", "refusal"]


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One side's answer to one prompt.

    `seconds` is the row's share of the model's time, so that shares add up to it; `first_seconds`
    and `latency` are the wall time from the start of its batch (or its call) to its first and last
    token; `usd` is what a call cost. `stop` is 'eos' when the model ended its turn, 'length' when
    it was cut, 'refusal' when an API declined. `reference_nll` is the reference's summed negative
    log-likelihood in nats over `reference_tokens` tokens, None where it was not measured.
    """

    text: str
    tokens: int = 0
    seconds: float = 0.0
    first_seconds: float = 0.0
    latency: float = 0.0
    stop: Stop = "eos"
    reference_tokens: int = 0
    reference_nll: float | None = None
    usd: float = 0.0


class SideAnswer(Answer, kw_only=True, omit_defaults=True):
    """A line of answers.jsonl: the answer to prompt `id` by the side named `side`."""

    id: str
    side: str


class Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Both answers to one prompt, fields as in `Answer`; `others` are further sides' by name.

    Adapter fields are empty without one. The reference's likelihoods are over the same
    `reference_tokens` tokens; None where not measured or where the tokenizers differ.
    """

    id: str
    index: int
    line: int
    prompt: list[dict[str, Any]]
    raw: str | None = None
    reference: str | None = None
    tags: dict[str, Any] = {}
    base: str
    base_tokens: int = 0
    base_seconds: float = 0.0
    base_first_seconds: float = 0.0
    base_latency: float = 0.0
    base_usd: float = 0.0
    base_stop: Stop = "eos"
    adapter: str | None = None
    adapter_tokens: int = 0
    adapter_seconds: float = 0.0
    adapter_first_seconds: float = 0.0
    adapter_latency: float = 0.0
    adapter_usd: float = 0.0
    adapter_stop: Stop = "eos"
    prompt_tokens: int = 0
    reference_tokens: int = 0
    base_reference_nll: float | None = None
    adapter_reference_nll: float | None = None
    others: dict[str, Answer] = {}

    @property
    def identical(self) -> bool:
        """Whether both sides said the very same."""
        return self.base == self.adapter

    @property
    def prompt_text(self) -> str:
        """The prompt as plain text, turns marked by their role where there are several."""
        if self.raw is not None:
            return self.raw
        if len(self.prompt) == 1:
            return str(self.prompt[0].get("content") or "")
        return "\n\n".join(f"[{turn['role']}] {turn.get('content') or ''}" for turn in self.prompt)

    def answer(self, side: str) -> Answer | None:
        """What a side said, by its name; None when it has not (yet)."""
        if side not in ROLES:
            return self.others.get(side)
        if side == "adapter" and self.adapter is None:
            return None
        given: dict[str, Any] = {name: getattr(self, f"{side}_{name}") for name in _FIELDS}
        nll = getattr(self, f"{side}_reference_nll")
        return Answer(
            text=getattr(self, side),
            **given,
            reference_nll=nll,
            reference_tokens=self.reference_tokens if nll is not None else 0,
        )


_FIELDS = ("tokens", "seconds", "first_seconds", "latency", "stop", "usd")


def role_fields(role: str, answer: Answer) -> dict[str, Any]:
    """The fields of a `Completion` that hold `answer` under a role, likelihood aside."""
    return {role: answer.text, **{f"{role}_{name}": getattr(answer, name) for name in _FIELDS}}


def with_sides(completion: Completion, base: Answer, adapter: Answer | None) -> Completion:
    """A completion with these answers in the two roles.

    Likelihoods over different tokens can't be compared: the adapter's is left out then.
    """
    fields = role_fields("base", base)
    fields["reference_tokens"] = base.reference_tokens
    fields["base_reference_nll"] = base.reference_nll
    if adapter is not None:
        fields |= role_fields("adapter", adapter)
        comparable = base.reference_nll is None or (
            base.reference_tokens == adapter.reference_tokens
        )
        fields["adapter_reference_nll"] = adapter.reference_nll if comparable else None
        if base.reference_nll is None:
            fields["reference_tokens"] = adapter.reference_tokens
    return msgspec.structs.replace(completion, **fields)


def paired(completions: Iterable[Completion], one: str, other: str) -> list[Completion]:
    """The completions with sides `one` and `other` (names) moved to the roles base and adapter.

    Prompts that either has not answered are left out; the sides moved away are in `others`.
    """
    if (one, other) == ROLES:
        return list(completions)
    found = []
    for completion in completions:
        base, adapter = completion.answer(one), completion.answer(other)
        if base is None or adapter is None:
            continue
        names = (*ROLES, *completion.others)
        rest = {n: a for n in names if n not in (one, other) and (a := completion.answer(n))}
        found.append(msgspec.structs.replace(with_sides(completion, base, adapter), others=rest))
    return found


def side_names(spec: Mapping[str, Any]) -> list[str]:
    """Names of a comparison's sides: the roles base and adapter first, then further ones."""
    if sides := _named_sides(spec):
        return [str(side["name"]) for side in sides]
    return list(ROLES if spec.get("adapter", True) else ROLES[:1])


def label_of(spec: Mapping[str, Any], name: str) -> str:
    """How a side is called before people."""
    for side in _named_sides(spec):
        if side.get("name") == name and side.get("label"):
            return str(side["label"])
    return dict(zip(ROLES, LABELS, strict=True)).get(name, name)


def _named_sides(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sides that a spec names, as far as they are any: a job's file may be anybody's."""
    sides = spec.get("sides")
    if not isinstance(sides, list):
        return []
    return [side for side in sides if isinstance(side, dict) and "name" in side]


def side_called(spec: Mapping[str, Any], word: str) -> str:
    """The name of the side that people call `word`, by its name or its label; else `word`."""
    names = side_names(spec)
    if word in names:
        return word
    return next((name for name in names if label_of(spec, name) == word), word)


def labels(spec: Mapping[str, Any]) -> tuple[str, str]:
    """How the two sides in focus are called: 'base' and 'fine-tune' unless the spec says more."""
    return label_of(spec, "base"), label_of(spec, "adapter")


class TokenProbabilities(msgspec.Struct, kw_only=True):
    """Log-probabilities (nats) that the sides gave the same text's tokens, prompt `id` before it.

    `on` says which text: 'reference'. A side that splits it into other tokens is not here.
    """

    id: str
    on: str = "reference"
    tokens: list[str]
    base: list[float] = []
    adapter: list[float] = []
    others: dict[str, list[float]] = {}


class Side(msgspec.Struct, kw_only=True):
    """One side's generation figures: tokens, seconds, answers cut at the length limit, median
    seconds to the first and last token as measured."""

    tokens: int = 0
    seconds: float = 0.0
    cut: int = 0
    empty: int = 0
    first_seconds: float = 0.0
    latency: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second of generation; 0 before any."""
        return self.tokens / self.seconds if self.seconds else 0.0


class Summary(msgspec.Struct, kw_only=True):
    """What a comparison found so far: `done` of `total` prompts, those `left_out` in neither;
    figures as in `Figures`."""

    total: int
    done: int
    identical: int
    metrics: list[MetricSummary]
    quantities: list[MetricSummary] = []
    fields: list[FieldSummary] = []
    slices: list[Slice] = []
    not_run: dict[str, str] = {}
    left_out: list[LeftOut] = []
    base: Side
    adapter: Side | None = None
    others: dict[str, Side] = {}
    max_logit_difference: float | None = None
    device: str = ""
    dtype: str = ""
    engine: str = ""
    seconds: float = 0.0
    usd: float | None = None
    adapter_applied: bool | None = None

    def metric(self, name: str) -> MetricSummary | None:
        """The line of one metric, if it applied to any prompt."""
        return next((line for line in self.metrics if line.name == name), None)


class CompletionReader:
    """Follows completions.jsonl: each `read()` returns the whole lines added since the last."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / COMPLETIONS
        self._offset = 0

    def read(self) -> list[Completion]:
        """New completions in the order written; broken lines are passed over."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        whole = chunk.rfind(b"\n") + 1
        self._offset += whole
        return decode_lines(chunk[:whole], Completion)


def read_completions(folder: Path) -> list[Completion]:
    """Everything both roles answered so far in a compare folder, by the prompt's place in its
    file; answers of further sides are in `others`."""
    found = {completion.id: completion for completion in CompletionReader(folder).read()}
    for answer in read_side_answers(folder):
        if answer.side not in ROLES and (completion := found.get(answer.id)) is not None:
            completion.others[answer.side] = plain_answer(answer)
    return sorted(found.values(), key=lambda completion: completion.index)


def read_side_answers(folder: Path) -> list[SideAnswer]:
    """The lines of answers.jsonl in the order written; broken ones are passed over."""
    try:
        data = (folder / ANSWERS).read_bytes()
    except FileNotFoundError:
        return []
    return decode_lines(data, SideAnswer)


def plain_answer(answer: SideAnswer) -> Answer:
    """The answer without whose it is."""
    return Answer(**{name: getattr(answer, name) for name in Answer.__struct_fields__})


def read_token_probabilities(folder: Path) -> dict[str, TokenProbabilities]:
    """What token_probabilities.jsonl holds, by the prompt's id; lines of one prompt are joined
    where they speak of the same tokens."""
    try:
        data = (folder / TOKEN_PROBABILITIES).read_bytes()
    except FileNotFoundError:
        return {}
    found: dict[str, TokenProbabilities] = {}
    for line in decode_lines(data, TokenProbabilities):
        there = found.setdefault(line.id, line)
        if there is not line and there.tokens == line.tokens:
            there.base = line.base or there.base
            there.adapter = line.adapter or there.adapter
            there.others = {**there.others, **line.others}
    return found


def asked(completion: Completion) -> Asked:
    """A completion as it is measured."""

    def answered(side: str) -> Answered | None:
        answer = completion.answer(side)
        if answer is None:
            return None
        return Answered(
            text=answer.text,
            tokens=answer.tokens,
            seconds=answer.seconds,
            latency=answer.latency,
            ended=answer.stop == "eos",
            reference_nll=answer.reference_nll,
        )

    return Asked(
        base=answered("base") or Answered(completion.base),
        adapter=answered("adapter"),
        reference=completion.reference,
        reference_tokens=completion.reference_tokens,
        tags=completion.tags,
        prompt_tokens=completion.prompt_tokens,
        prompt_characters=len(completion.prompt_text),
    )


def summarise(completions: list[Completion], total: int, options: Options | None = None) -> Summary:
    """Fold completions into figures; device, dtype and logit evidence are the worker's to add."""
    figures = measure(map(asked, completions), options)
    with_adapter = bool(completions) and all(c.adapter is not None for c in completions)
    others = {name: None for c in completions for name in c.others}
    return Summary(
        total=total,
        done=len(completions),
        identical=sum(c.identical for c in completions),
        metrics=figures.metrics,
        quantities=figures.quantities,
        fields=figures.fields,
        slices=figures.slices,
        not_run=figures.not_run,
        base=_side(completions, "base"),
        adapter=_side(completions, "adapter") if with_adapter else None,
        others={name: _side(completions, name) for name in others},
    )


def _side(completions: Sequence[Completion], name: str) -> Side:
    answers = [answer for c in completions if (answer := c.answer(name)) is not None]
    return Side(
        tokens=sum(a.tokens for a in answers),
        seconds=sum(a.seconds for a in answers),
        cut=sum(a.stop == "length" for a in answers),
        empty=sum(not a.text.strip() for a in answers),
        first_seconds=statistics.median([a.first_seconds for a in answers] or [0.0]),
        latency=statistics.median([a.latency for a in answers] or [0.0]),
    )


def read_summary(folder: Path) -> Summary | None:
    """summary.json of a comparison that ended; None before that."""
    try:
        return msgspec.json.decode((folder / SUMMARY).read_bytes(), type=prepared(Summary))
    except (OSError, msgspec.MsgspecError):
        return None


class Evidence(msgspec.Struct, kw_only=True):
    """evidence.json, written before the first answer: the largest absolute difference of the two
    roles' next-token logits after a few prompts."""

    max_logit_difference: float


def read_evidence(folder: Path) -> float | None:
    """What evidence.json says; None without it."""
    try:
        found = msgspec.json.decode((folder / EVIDENCE).read_bytes(), type=prepared(Evidence))
    except (OSError, msgspec.MsgspecError):
        return None
    return found.max_logit_difference
