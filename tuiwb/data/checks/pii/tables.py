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


def lowered(text: str) -> str:
    """Lower case of the same length, so that places in it are places in the text."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c if len(c.lower()) != 1 else c.lower() for c in text)
