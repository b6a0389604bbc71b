"""batches.jsonl: which questions were sent in which batch, so that none is ever sent twice.

Append-only. A `sending` line is on disk before a batch goes out and a `sent` line with its id
after: whatever dies in between, the next run knows what to look for.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tuiwb.jobs.lines import append_lines, decode_lines

BATCHES = "batches.jsonl"


class Sending(msgspec.Struct, kw_only=True, tag_field="type", tag="sending"):
    """A batch is about to go out: the keys of its questions, each its request's custom_id."""

    n: int
    keys: list[str]
    mode: str
    t: float


class Sent(msgspec.Struct, kw_only=True, tag_field="type", tag="sent"):
    """The provider took it under this id."""

    n: int
    id: str
    t: float


class Settled(msgspec.Struct, kw_only=True, tag_field="type", tag="settled"):
    """Nothing more is to come of it: its results are in verdicts.jsonl, or it never went out."""

    n: int
    note: str
    t: float


Record = Sending | Sent | Settled


class PendingBatch(msgspec.Struct, kw_only=True):
    """A batch without its results; `id` is empty where nobody knows whether it went out."""

    n: int
    keys: list[str]
    mode: str
    t: float
    id: str = ""


def write(path: Path, record: Record) -> None:
    """Append one durable line."""
    append_lines(path, [record])


def read(path: Path) -> list[Record]:
    """All lines; torn and foreign ones are passed over."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return decode_lines(data, Record)  # type: ignore[arg-type]


def pending(records: list[Record]) -> list[PendingBatch]:
    """Batches whose results are still to come, in the order they were sent."""
    found: dict[int, PendingBatch] = {}
    for record in records:
        if isinstance(record, Sending):
            found[record.n] = PendingBatch(
                n=record.n, keys=record.keys, mode=record.mode, t=record.t
            )
        elif isinstance(record, Sent) and record.n in found:
            found[record.n].id = record.id
        elif isinstance(record, Settled):
            found.pop(record.n, None)
    return list(found.values())


def waiting(own: Path, others: Iterable[Path]) -> list[PendingBatch]:
    """Pending batches of a judge's own file, and those that other folders of its run have sent
    and this one knows nothing of (numbered 0)."""
    records = read(own)
    found, known = pending(records), {r.id for r in records if isinstance(r, Sent)}
    for path in others:
        for batch in pending(read(path)):
            if path != own and batch.id and batch.id not in known:
                known.add(batch.id)
                found.append(msgspec.structs.replace(batch, n=0))
    return found


def next_number(records: list[Record]) -> int:
    """The number of the next batch of this file."""
    return 1 + max((record.n for record in records), default=0)
