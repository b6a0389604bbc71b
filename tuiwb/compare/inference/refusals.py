"""Whether a server's refusal is of one prompt alone (too long, not to be written as a chat), so
that it answers the others (worker side)."""

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.llm.client import Refused
from tuiwb.prepared import prepared

WORDS = Path(__file__).with_name("refusals.yaml")
# 500: what llama.cpp answers where a chat template raises.
STATUSES = frozenset({400, 422, 500})
TOO_LARGE = 413

Reason = Literal["", "prompt", "room"]


class _Words(msgspec.Struct, kw_only=True):
    """Regular expressions of a refusal's message."""

    too_long: list[str]
    with_answer: list[str]
    template: list[str]


class _Patterns(msgspec.Struct, kw_only=True):
    """The same, each list as one pattern."""

    too_long: re.Pattern[str]
    with_answer: re.Pattern[str]
    template: re.Pattern[str]


def of_one_prompt(error: Refused, asked: Sequence[str] = ()) -> Reason:
    """Why a refusal is of the prompt that was asked, by its status and the API's own words: the
    `prompt` can't be asked, or has no `room` for as long an answer; '' where it is of no prompt.
    `asked` are the prompt's texts: where the API repeats them, they are not its words."""
    if error.status == TOO_LARGE:
        return "prompt"
    if error.status not in STATUSES:
        return ""
    words, said = _patterns(), error.message
    for text in asked:
        if words.too_long.search(text) or words.template.search(text):
            said = said.replace(text, " ")
    if words.too_long.search(said):
        return "room" if words.with_answer.search(said) else "prompt"
    return "prompt" if words.template.search(said) else ""


@functools.cache
def _patterns() -> _Patterns:
    found = msgspec.yaml.decode(WORDS.read_bytes(), type=prepared(_Words))
    return _Patterns(
        too_long=_any_of(found.too_long),
        with_answer=_any_of(found.with_answer),
        template=_any_of(found.template),
    )


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{word})" for word in words), re.I)
