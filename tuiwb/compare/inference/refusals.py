"""Whether a server's refusal is of one prompt alone (too long, not to be written as a chat), so
that it answers the others (worker side)."""

import functools
import re
from pathlib import Path

import msgspec

from tuiwb.llm.client import Refused
from tuiwb.prepared import prepared

WORDS = Path(__file__).with_name("refusals.yaml")
# 500: what llama.cpp answers where a chat template raises.
STATUSES = frozenset({400, 422, 500})
TOO_LARGE = 413


class _Words(msgspec.Struct, kw_only=True):
    """Regular expressions of a refusal's message."""

    too_long: list[str]
    template: list[str]


def of_one_prompt(error: Refused) -> bool:
    """Whether the refusal is of the prompt that was asked, by its status and its words."""
    return error.status == TOO_LARGE or (
        error.status in STATUSES and _words().search(str(error)) is not None
    )


@functools.cache
def _words() -> re.Pattern[str]:
    found = msgspec.yaml.decode(WORDS.read_bytes(), type=prepared(_Words))
    return re.compile("|".join(f"(?:{w})" for w in [*found.too_long, *found.template]), re.I)
