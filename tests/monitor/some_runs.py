"""Job folders with a given history, without a worker."""

from pathlib import Path
from typing import Any

from tuiwb.jobs import create
from tuiwb.jobs.events import AnyEvent, EventWriter

SPEC: dict[str, Any] = {
    "method": "sft",
    "model": {"base": "org/qwen-tiny", "revision": None},
    "data": {"train": ["/data/support.jsonl"], "heldout": None},
    "lora": {"r": 16, "lora_alpha": 32},
    "training": {"learning_rate": 0.002, "max_steps": 100},
}


def job(
    folder: Path,
    events: list[AnyEvent],
    spec: dict[str, Any] | None = None,
    fingerprints: dict[str, str] | None = None,
    kind: str = "train",
) -> Path:
    """A job folder with that log."""
    create(folder, kind, SPEC if spec is None else spec, fingerprints=fingerprints or {})
    writer = EventWriter(folder / "events.jsonl")
    for event in events:
        writer.emit(event)
    writer.close()
    return folder
