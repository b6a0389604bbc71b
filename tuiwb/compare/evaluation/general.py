"""The bundled probe of general ability: 200 multiple-choice items, read and checked. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tuiwb.prepared import prepared

PROBE = Path(__file__).parent / "general.yaml"


class ProbeItem(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A question, how its answer begins, the ways it may go on, and which of them is right."""

    category: str
    ask: str
    begin: str
    options: list[str]
    answer: int


class Probe(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The data file: where the items come from, when, and what guessing gets right."""

    source: str
    date: str
    chance: float
    items: list[ProbeItem]


def read_probe(path: Path = PROBE) -> Probe:
    """The probe's items."""
    plain: Any = yaml.load(
        path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return msgspec.convert(plain, prepared(Probe))


def chosen(scores: Sequence[float]) -> int:
    """The option a model finds likeliest; the first of equals."""
    return max(range(len(scores)), key=lambda i: (scores[i], -i))
