"""The TOML files beside this module, read once, and the patterns built from them."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

_PART = re.compile(r"\{([A-Z][A-Z0-9_]*)\}")


@cache
def table(name: str) -> dict[str, Any]:
    """NAME.toml as a dict."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text("utf-8"))


def filled(pattern: str, parts: dict[str, str]) -> str:
    """`pattern` with each {PART} replaced by that part, and the parts' own parts likewise."""
    while _PART.search(pattern):
        pattern = _PART.sub(lambda match: parts[match[1]], pattern)
    return pattern


@cache
def context(name: str) -> re.Pattern[str]:
    """Words that must stand near a bare number, or must not."""
    return re.compile(table("numbers")["context"][name], re.IGNORECASE)


def before(text: str, start: int, size: int) -> str:
    """The part of the line that leads up to `start`, at most `size` characters."""
    return text[max(0, start - size) : start].rpartition("\n\n")[2]


def after(text: str, end: int, size: int) -> str:
    """What follows `end`, at most `size` characters."""
    return text[end : end + size].partition("\n\n")[0]
