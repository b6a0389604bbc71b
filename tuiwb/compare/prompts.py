"""Held-out prompts from a dataset file: what both models are asked, and the reference answer."""

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.left_out import LeftOut
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Message, Row, Turns
from tuiwb.errors import BadInput

Turn = dict[str, Any]


class HeldOutPrompt(msgspec.Struct, kw_only=True):
    """One prompt. `messages` end before the answer; `raw` is set instead for plain-text prompts,
    which training shows to the model without a chat template. `reference` is None without one."""

    id: str
    index: int
    line: int
    messages: list[Turn] = []
    raw: str | None = None
    reference: str | None = None
    tools: list[dict[str, Any]] | None = None
    tags: dict[str, Any] = {}


class HeldOut(msgspec.Struct, kw_only=True):
    """The prompts chosen from a file of `rows` rows; `passed_over` rows looked at had no prompt,
    those `left_out` have one that can't be asked."""

    prompts: list[HeldOutPrompt]
    rows: int
    passed_over: int = 0
    why: str = ""
    left_out: list[LeftOut] = []


def held_out(
    path: Path,
    *,
    limit: int,
    seed: int = 0,
    system: str | None = None,
    against: Callable[[HeldOutPrompt], str] = lambda _: "",
) -> HeldOut:
    """At most `limit` prompts of a dataset file, a seeded sample in file order; BadInput if none.

    `system` opens every chat that has no system turn of its own. A prompt that `against` says
    something of (worded to follow file:line) is left out; the next of the sample takes its place.
    """
    dataset = open_dataset(path)
    order = list(range(len(dataset)))
    if len(order) > limit:
        # A sorted file must not give a one-sided sample.
        random.Random(seed).shuffle(order)
    chosen: list[HeldOutPrompt] = []
    left_out: list[LeftOut] = []
    passed_over, why = 0, ""
    for row in _rows(dataset, order):
        if len(chosen) == limit:
            break
        try:
            prompt = prompt_of(row, system, templated=dataset.format != "prompt_completion")
        except ValueError as reason:
            passed_over += 1
            why = why or f"{row.where} {reason}"
            continue
        if said := against(prompt):
            left_out.append(LeftOut(file=str(row.file), line=row.line, why=said))
        else:
            chosen.append(prompt)
    if not chosen and left_out:
        first = left_out[0]
        raise BadInput(
            f"no prompt of {path} can be asked ({first.file}:{first.line} {first.why}): change "
            "them, or give others"
        )
    if not chosen:
        raise BadInput(f"no row of {path} has a prompt to answer ({why}): give chats or prompts")
    chosen.sort(key=lambda prompt: prompt.index)
    return HeldOut(
        prompts=chosen,
        rows=len(dataset),
        passed_over=passed_over,
        why=why,
        left_out=sorted(left_out, key=lambda one: (one.file, one.line)),
    )


def prompt_of(row: Row, system: str | None = None, *, templated: bool = True) -> HeldOutPrompt:
    """The prompt and reference of a row; ValueError, worded to follow file:line, if it has none.

    `templated` puts a plain-text prompt into a user turn; else it stays raw.
    """
    turns, reference = _split(row)
    if isinstance(turns, str) and not templated and system is None:
        raw, messages = clean(turns), []
    else:
        if isinstance(turns, str):
            turns = [Message("user", turns)]
        raw, messages = None, [_clean_all(message.as_dict()) for message in turns]
        if system is not None and not any(m["role"] == "system" for m in messages):
            messages.insert(0, {"role": "system", "content": clean(system)})
    reference = None if reference is None else clean(reference)
    tools = _clean_all(row.tools)
    told = msgspec.json.encode([row.index, messages, raw, reference, tools], order="sorted")
    return HeldOutPrompt(
        id=hashlib.sha256(told).hexdigest()[:16],
        index=row.index,
        line=row.line,
        messages=messages,
        raw=raw,
        reference=reference,
        tools=tools,
        tags=_clean_all(
            {k: v for k, v in row.tags.items() if isinstance(v, str | int | float | bool)}
        ),
    )


def clean(text: str) -> str:
    """`text` with lone surrogates replaced: no tokenizer takes them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _rows(dataset: Dataset, order: list[int]) -> Iterator[Row]:
    return (dataset.row(index) for index in order)


def _split(row: Row) -> tuple[Turns, str | None]:
    match row.shape:
        case "chat":
            return _before_the_answer(row.messages or [])
        case "prompt_completion" | "kto":
            good = row.completion if row.shape != "kto" or row.label else None
            return _required(row.prompt), _text(good)
        case "preference" if row.prompt:
            return row.prompt, _text(row.chosen)
        case "preference" if isinstance(row.chosen, list):
            return _before_the_answer(row.chosen)
        case "broken":
            raise ValueError(row.problem or "can't be read")
    raise ValueError("is plain text without a prompt")


def _before_the_answer(turns: list[Message]) -> tuple[list[Message], str | None]:
    if turns and turns[-1].role == "assistant":
        before, answer = turns[:-1], turns[-1].content or None
    else:
        before, answer = turns, None
    if all(message.role in ("system", "assistant") for message in before):
        raise ValueError("has no user turn to answer")
    return before, answer


def _required(prompt: Turns | None) -> Turns:
    if not prompt:
        raise ValueError("has an empty prompt")
    return prompt


def _text(part: Turns | None) -> str | None:
    if isinstance(part, list):
        return part[-1].content if part else None
    return part


def _clean_all(value: Any) -> Any:
    """A JSON value with every text in it, keys too, cleaned."""
    match value:
        case str():
            return clean(value)
        case list():
            return [_clean_all(item) for item in value]
        case dict():
            return {_clean_all(key): _clean_all(item) for key, item in value.items()}
    return value
