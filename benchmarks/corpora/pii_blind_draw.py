"""Templates with slots, filled so that the place of each planted value is known.

In: a template with `«slot»` or `«slot.variant»` slots and `⟨this|that⟩` choices. Out: pieces, each
a text with the kind planted in it (None for the words around it).
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

Pieces = list[tuple[str, str | None]]

_SLOT = re.compile(r"«([a-z0-9_]+)(?:\.([a-z0-9_]+))?»")
_CHOICE = re.compile(r"⟨([^⟨⟩]*)⟩")


@dataclass
class State:
    """What one text has drawn so far, so that its parts agree."""

    rng: Random
    lang: str
    person: tuple[str, str] | None = None
    scheme: str = ""
    seen: dict[str, str] = field(default_factory=dict)


Drawer = Callable[[State, str], Pieces]


def load(name: str) -> dict[str, Any]:
    """A word list beside this file."""
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def choose(rng: Random, template: str) -> str:
    """`template` with each `⟨a|b⟩` decided, innermost first."""
    while "⟨" in template:
        template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return template


def expand(template: str, state: State, drawers: dict[str, Drawer]) -> Pieces:
    """`template` with its choices decided and its slots filled; KeyError for an unknown slot."""
    pieces: Pieces = []
    template, end = choose(state.rng, template), 0
    for slot in _SLOT.finditer(template):
        pieces.append((template[end : slot.start()], None))
        pieces += drawers[slot[1]](state, slot[2] or "")
        end = slot.end()
    pieces.append((template[end:], None))
    return [piece for piece in pieces if piece[0]]


def joined(pieces: Pieces) -> tuple[str, list[tuple[int, int, str]]]:
    """The text of the pieces and the spans planted in it."""
    text, spans = "", []
    for part, kind in pieces:
        if kind:
            spans.append((len(text), len(text) + len(part), kind))
        text += part
    return text, spans
