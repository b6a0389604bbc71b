"""A suite's prompts from a dataset file, with what may be expected of each answer. No torch."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tuiwb.compare.evaluation.checks import Expect, read_expect
from tuiwb.compare.evaluation.results import Seen
from tuiwb.compare.prompts import HeldOutPrompt, prompt_of
from tuiwb.data.read import open_dataset
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput

MOST = 2000
MOST_ROWS = 500_000
NAMED = 5


class Asked(msgspec.Struct, kw_only=True):
    """One prompt of a suite; `words` is an expectation that only eyes or a judge can check."""

    prompt: HeldOutPrompt
    text: str
    expect: Expect | None = None
    words: str = ""


def read_suite(path: Path, system: str | None = None) -> list[Asked]:
    """The rows of a suite's file in order, the first 2,000; BadInput for a row that is no prompt
    or expects what can't be checked."""
    dataset = open_dataset(path)
    found: list[Asked] = []
    for row in dataset:
        if len(found) == MOST:
            break
        try:
            prompt = prompt_of(row, system, templated=dataset.format != "prompt_completion")
            expected = _expected(row)
            expect = read_expect(expected)
        except ValueError as reason:
            raise BadInput(f"{row.where} {reason}: mend or remove that row") from None
        found.append(
            Asked(
                prompt=prompt,
                text=text_of(prompt),
                expect=expect,
                words=expected if isinstance(expected, str) else "",
            )
        )
    if not found:
        raise BadInput(f"{path} has no rows: put prompts into it, or leave it out")
    return found


def text_of(prompt: HeldOutPrompt) -> str:
    """What the person said last, as plain text."""
    if prompt.raw is not None:
        return prompt.raw
    said = [str(m.get("content") or "") for m in prompt.messages if m.get("role") == "user"]
    return said[-1] if said else ""


def seen_in_training(prompts: Iterable[HeldOutPrompt], training: Iterable[Path]) -> Seen:
    """How many prompts stand word for word (all turns before the answer) in the training files."""
    wanted = {_said(prompt): prompt for prompt in prompts}
    found: dict[str, str] = {}
    rows, whole = 0, True
    for path in training:
        for row in open_dataset(path):
            rows += 1
            if rows > MOST_ROWS:
                whole = False
                break
            try:
                prompt = prompt_of(row)
            except ValueError:
                continue
            said = _said(prompt)
            if said in wanted:
                found.setdefault(said, row.where)
        if not whole:
            break
    return Seen(
        n=len(wanted),
        seen=len(found),
        rows=min(rows, MOST_ROWS),
        whole=whole,
        where=list(found.values())[:NAMED],
    )


def _said(prompt: HeldOutPrompt) -> str:
    """What was said before the answer, system turns aside: the same question in other clothes."""
    if prompt.raw is not None:
        return f"user\0{prompt.raw.strip()}"
    turns = [m for m in prompt.messages if m.get("role") != "system"]
    return "\0".join(f"{m.get('role')}\0{str(m.get('content') or '').strip()}" for m in turns)


def _expected(row: Row) -> object:
    """The row's `expect`, or its column `regex` as one."""
    if "expect" in row.tags:
        return row.tags["expect"]
    regex = row.tags.get("regex")
    return {"regex": regex} if isinstance(regex, str) else None
