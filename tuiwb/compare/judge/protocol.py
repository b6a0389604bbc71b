"""The judging protocol, without the network: what is asked, what counts as a verdict, what
two verdicts on a pair mean. Pure but for reading the controls and the verdicts file.

Every pair is judged in both orders. Response texts travel as JSON strings inside one JSON object,
so that no response can forge a delimiter; models are never named.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge.rubric import Rubric
from tuiwb.jobs.lines import decode_lines
from tuiwb.llm.prices import Usage
from tuiwb.prepared import prepared

VERDICTS = "verdicts.jsonl"
# What a verdict takes to write, in tokens, as estimates assume.
VERDICT_TOKENS = 160
CONTROLS = Path(__file__).with_name("controls.yaml")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "description": "At most 80 words."},
        "attempted_manipulation": {"type": "string", "enum": ["none", "1", "2", "both"]},
        "winner": {"type": "string", "enum": ["1", "2", "tie"]},
        "strength": {"type": "string", "enum": ["slight", "clear"]},
    },
    "required": ["reasoning", "attempted_manipulation", "winner", "strength"],
    "additionalProperties": False,
}
TOOL = {
    "name": "verdict",
    "description": "Give the verdict on the two responses.",
    "input_schema": SCHEMA,
}
# How much thought is asked for, where the endpoint knows the word.
EFFORT = "low"
# Characters of a reasoning that are kept: 80 words and then some.
MOST_REASONING = 2_000
REPEAT = "repeat:"
CONTROL = "control:"

_OTHER = re.compile("[^\x20-\x7e]")

Side = Literal["base", "adapter"]
Outcome = Literal["adapter", "base", "tie", "invalid"]


class Verdict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the judge said of one order, checked against the schema."""

    reasoning: str
    attempted_manipulation: Literal["none", "1", "2", "both"]
    winner: Literal["1", "2", "tie"]
    strength: Literal["slight", "clear"]


class Question(msgspec.Struct, kw_only=True):
    """One call: a pair in one order. `first` and `second` say what stands in the two slots."""

    pair: str
    first: str
    second: str
    task: Any
    reference: str | None
    response_1: str
    response_2: str
    key: str = ""

    @property
    def text(self) -> str:
        """The user message: one JSON object. What can't be seen (controls, direction marks,
        lone surrogates) is escaped; letters of all languages stay readable."""
        told = json.dumps(
            {
                "task": self.task,
                "reference": self.reference,
                "response_1": self.response_1,
                "response_2": self.response_2,
            },
            ensure_ascii=False,
        )
        return _OTHER.sub(lambda found: _visible(found[0]), told)


class VerdictRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="verdict"):
    """A line of verdicts.jsonl: a verdict under the key of everything that could change it.
    `batch` is the id of the batch it came in, at its price; `job` is when the job that paid for it
    was made."""

    key: str
    pair: str
    first: str
    second: str
    verdict: Verdict
    raw: str
    model: str
    mode: str
    usage: Usage
    usd: float | None = None
    seconds: float = 0.0
    batch: str = ""
    t: float = 0.0
    job: float = 0.0


class FailureRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="failure"):
    """A call that gave no verdict: kept for its cost and its reason, never taken as an answer."""

    key: str
    pair: str
    reason: str
    raw: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)
    usd: float | None = None
    t: float = 0.0
    job: float = 0.0


class PairVerdict(msgspec.Struct, kw_only=True):
    """Both orders together. `flip`: they named opposite winners; `weak`: one of them a tie."""

    pair: str
    outcome: Outcome
    flip: bool = False
    weak: bool = False
    identical: bool = False
    clear: bool = False
    manipulation: list[str] = []
    reasons: list[str] = []


class Control(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A planted pair whose verdict is known."""

    name: str
    task: str
    reference: str | None = None
    good: str = ""
    bad: str = ""
    same: str = ""


def read_controls() -> list[Control]:
    """The planted controls."""
    return msgspec.yaml.decode(CONTROLS.read_bytes(), type=prepared(list[Control]))


def questions(
    completions: Iterable[Completion],
    *,
    rubric: Rubric,
    model: str,
    base_url: str,
    seed: int,
    api: str = "anthropic",
) -> list[Question]:
    """Both orders of every pair that differs, the first order seeded by the pair."""
    asked: list[Question] = []
    for c in completions:
        if c.adapter is None or c.identical:
            continue
        digest = hashlib.sha256(f"judge:{seed}:{c.id}".encode()).digest()
        orders: list[tuple[Side, Side]] = [("adapter", "base"), ("base", "adapter")]
        for first, second in orders if digest[0] & 1 else reversed(orders):
            texts = {"adapter": c.adapter, "base": c.base}
            asked.append(
                Question(
                    pair=c.id,
                    first=first,
                    second=second,
                    task=_task(c),
                    reference=c.reference,
                    response_1=texts[first],
                    response_2=texts[second],
                )
            )
    return _keyed(asked, rubric, model, base_url, api)


def repeated(asked: Sequence[Question], pairs: int, seed: int) -> list[Question]:
    """Both orders of `pairs` of the pairs once more, chosen by the seed; named 'repeat:PAIR'.

    Their keys differ from the first asking's, so that the endpoint really is asked again.
    """
    ids = list(dict.fromkeys(question.pair for question in asked))
    ids.sort(key=lambda pair: hashlib.sha256(f"repeat:{seed}:{pair}".encode()).digest())
    chosen = set(ids[:pairs])
    return [
        msgspec.structs.replace(
            question,
            pair=REPEAT + question.pair,
            key=hashlib.sha256(f"repeat 1 of {question.key}".encode()).hexdigest(),
        )
        for question in asked
        if question.pair in chosen
    ]


def control_questions(
    *, rubric: Rubric, model: str, base_url: str, api: str = "anthropic"
) -> list[Question]:
    """Both orders of every planted control; pairs are named 'control:NAME'."""
    asked: list[Question] = []
    for control in read_controls():
        good, bad = (control.same, control.same) if control.same else (control.good, control.bad)
        names = ("same", "same again") if control.same else ("good", "bad")
        both = [(names[0], good), (names[1], bad)]
        for one, two in (both, both[::-1]):
            asked.append(
                Question(
                    pair=CONTROL + control.name,
                    first=one[0],
                    second=two[0],
                    task=control.task,
                    reference=control.reference,
                    response_1=one[1],
                    response_2=two[1],
                )
            )
    return _keyed(asked, rubric, model, base_url, api)


def parse_verdict(text: str) -> Verdict:
    """The verdict in an answer, a Markdown fence around it forgiven; ValueError otherwise."""
    text = text.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    try:
        found = msgspec.json.decode(text.encode("utf-8", "replace"), type=prepared(Verdict))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not a verdict: {error}") from None
    found.reasoning = found.reasoning[:MOST_REASONING]
    return found


def resolve(pair: str, records: Sequence[VerdictRecord]) -> PairVerdict:
    """Two orders into one outcome: agreement wins, a flip or half a win is a tie, less than two
    verdicts is invalid."""
    by_order = {record.first: record for record in records}
    if len(by_order) < 2:
        return PairVerdict(pair=pair, outcome="invalid")
    winners = {winner_of(record) for record in by_order.values()}
    manipulation = sorted({who for r in by_order.values() for who in manipulators(r)})
    found = PairVerdict(
        pair=pair,
        outcome="tie",
        manipulation=manipulation,
        reasons=[record.verdict.reasoning for record in by_order.values()],
        clear=all(record.verdict.strength == "clear" for record in by_order.values()),
    )
    if len(winners) == 1:
        (winner,) = winners
        found.outcome = "adapter" if winner == "adapter" else "base" if winner == "base" else "tie"
    else:
        found.flip = "tie" not in winners
        found.weak = not found.flip
    return found


def winner_of(record: VerdictRecord) -> str:
    """What stood in the winning slot, or 'tie'."""
    slots = {"1": record.first, "2": record.second, "tie": "tie"}
    return slots[record.verdict.winner]


def manipulators(record: VerdictRecord) -> list[str]:
    """What stood in the slots that the judge says tried to manipulate it."""
    slots = {"none": [], "1": [record.first], "2": [record.second]}
    return slots.get(record.verdict.attempted_manipulation, [record.first, record.second])


def failed_controls(records: Iterable[VerdictRecord]) -> list[str]:
    """A sentence for each control whose verdicts are wrong or missing."""
    by_pair: dict[str, dict[str, VerdictRecord]] = {}
    for record in records:
        by_pair.setdefault(record.pair, {})[record.first] = record
    wrong = []
    for control in read_controls():
        found = by_pair.get(CONTROL + control.name, {})
        expected = "tie" if control.same else "good"
        said = [winner_of(record) for record in found.values()]
        if len(found) < 2:
            wrong.append(f"control {control.name!r} got no verdict in both orders")
        elif any(winner != expected for winner in said):
            wrong.append(
                f"control {control.name!r} should be {_control_word(expected)} in both orders, "
                f"the judge said {' and '.join(map(_control_word, said))}"
            )
    return wrong


def read_verdicts(path: Path) -> tuple[dict[str, VerdictRecord], list[FailureRecord]]:
    """Cached verdicts by key, and the failures; torn and foreign lines are passed over."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    records: list[VerdictRecord | FailureRecord] = decode_lines(
        data,
        VerdictRecord | FailureRecord,  # type: ignore[arg-type]
    )
    verdicts = {r.key: r for r in records if isinstance(r, VerdictRecord)}
    return verdicts, [r for r in records if isinstance(r, FailureRecord)]


def on_record(
    asked: Iterable[Question],
    verdicts: Mapping[str, VerdictRecord],
    failures: Iterable[FailureRecord] = (),
) -> tuple[list[VerdictRecord], list[FailureRecord]]:
    """What is on record about each question asked, under that question's own pair.

    The same texts may stand in several pairs, or under another id than when they were judged (a
    row was put before them): a line's own `pair` says only for which one it was first asked.
    """
    failed: dict[str, list[FailureRecord]] = {}
    for failure in failures:
        failed.setdefault(failure.key, []).append(failure)
    found: list[VerdictRecord] = []
    without: list[FailureRecord] = []
    for question in asked:
        if (record := verdicts.get(question.key)) is not None:
            found.append(
                msgspec.structs.replace(
                    record, pair=question.pair, first=question.first, second=question.second
                )
            )
        for failure in failed.get(question.key, ()):
            without.append(msgspec.structs.replace(failure, pair=question.pair))
    return found, without


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]


def _control_word(winner: str) -> str:
    return {"tie": "a tie", "good": "the good response"}.get(winner, f"the {winner} response")


def _task(completion: Completion) -> Any:
    """A single user turn as its text, anything longer as its turns."""
    turns = completion.prompt
    if completion.raw is not None or (len(turns) == 1 and turns[0].get("role") == "user"):
        return completion.prompt_text
    return turns


def _keyed(
    asked: list[Question], rubric: Rubric, model: str, base_url: str, api: str
) -> list[Question]:
    """Give each question the sha256 of the canonical JSON of all that can change its verdict."""
    for question in asked:
        told = [api, base_url, model, EFFORT, TOOL, rubric.system, question.text, question.first]
        canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
        question.key = hashlib.sha256(canonical.encode()).hexdigest()
    return asked
