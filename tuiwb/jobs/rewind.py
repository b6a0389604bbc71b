"""Take an event log back to a checkpoint's step, so that what is trained again is told once."""

from pathlib import Path
from typing import Any

import msgspec

LOST = "events-lost.jsonl"


class Rewound(msgspec.Struct, kw_only=True):
    """What a rewind did: events moved to events-lost.jsonl, metrics put back, changes undone."""

    lost: int = 0
    restored: int = 0
    undone: list[str] = []


def rewind(folder: Path, step: int, history: list[dict[str, Any]] | None = None) -> Rewound:
    """Rewrite events.jsonl as it stood at `step`; only while no worker lives.

    `history` is the checkpoint's log_history: its metrics are in the log afterwards, each once and
    in order. BadInput when the disk is full; nothing has changed then.
    """
    raise NotImplementedError
