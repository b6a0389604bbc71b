"""Drawing of characters and words for the unseen corpus: patterns, groupings, data files.

In: a random generator and a pattern. Out: strings. Everything is determined by the generator.
"""

import random
import string
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

Rng = random.Random


@cache
def vocabulary(name: str) -> dict[str, Any]:
    """The parsed data file pii_unseen_<name>.toml beside this module."""
    path = Path(__file__).with_name(f"pii_unseen_{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def text(rng: Rng, alphabet: str, length: int) -> str:
    """`length` characters of the alphabet."""
    return "".join(rng.choices(alphabet, k=length))


def digits(rng: Rng, length: int) -> str:
    """`length` decimal digits; the first may be zero."""
    return text(rng, string.digits, length)


def fill(rng: Rng, pattern: str) -> str:
    """The pattern with each # a digit, each @ a capital letter; no number begins with zero."""
    drawn = ""
    for char in pattern:
        if char == "#":
            inside = drawn[-1:].isalnum()
            drawn += rng.choice(string.digits if inside else string.digits[1:])
        else:
            drawn += rng.choice("ABDEFGHJLNPQRSTUWXYZ") if char == "@" else char
    return drawn


def grouped(value: str, sizes: Sequence[int], separator: str) -> str:
    """The value cut into groups of these sizes; what is left over is the last group."""
    parts: list[str] = []
    at = 0
    for size in sizes:
        if at < len(value):
            parts.append(value[at : at + size])
        at += size
    if at < len(value):
        parts.append(value[at:])
    return separator.join(parts)


def chance(rng: Rng, share: float) -> bool:
    """True in this share of the calls."""
    return rng.random() < share
