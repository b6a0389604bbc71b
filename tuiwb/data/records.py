"""A typed row back to a plain record, and records as lines of JSON.

In: a Row. Out: the record in its canonical form (messages; prompt and completion; text; prompt,
chosen and rejected; prompt, completion and label), its tools, and its other columns as they were.
Reading the record again gives the same row, but for its place and the name of its format.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from tuiwb.data.rows import Row, Turns

BATCH = 2000
# A batch ends at so many bytes or characters: memory follows neither the number of rows nor their
# size.
BATCH_BYTES = 16 << 20
_PARTS = ("messages", "conversations", "prompt", "completion", "chosen", "rejected")
_READ_OF_A_TURN = frozenset(
    ("role", "content", "name", "tool_calls", "tool_call_id", "from", "value")
)
_LOOKED_AT = 1000


class Rows(Protocol):
    """What is worked on: an open dataset, or rows in memory that know their length."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...

    def row(self, n: int) -> Row:
        """Row `n`, counted from 0."""
        ...


class Stored(Rows, Protocol):
    """Rows that can give their records as the file has them."""

    def record(self, n: int) -> Any:
        """The decoded record of row `n`; None if it is broken."""
        ...


def record_of(row: Row) -> dict[str, Any]:
    """The plain record of a row; ValueError for a broken row, which has none."""
    record: dict[str, Any]
    if row.shape == "broken":
        raise ValueError(f"{row.where} is broken and has no record: {row.problem}")
    if row.shape == "chat":
        record = {"messages": _plain(row.messages)}
    elif row.shape == "text":
        record = {"text": row.text}
    elif row.shape == "kto" and row.prompt == []:
        # An empty list is no prompt to a reader: the answer alone stands as messages.
        record = {"messages": _plain(row.completion), "label": row.label}
    else:
        answers = ("chosen", "rejected") if row.shape == "preference" else ("completion",)
        record = {} if row.prompt is None or row.prompt == [] else {"prompt": _plain(row.prompt)}
        record.update((name, _plain(getattr(row, name))) for name in answers)
        if row.shape == "kto":
            record["label"] = row.label
    if row.tools:
        record["tools"] = row.tools
    return {**record, **row.tags}


def encode_line(record: Any) -> bytes:
    """A record as one line of JSON, newline included.

    What strict JSON can't say keeps its meaning as Python's json writes it: lone surrogates as
    \\uD800 escapes, NaN and the infinities by name.
    """
    try:
        line = msgspec.json.encode(record)
        # NaN and the infinities would silently become null.
        if b"null" not in line or not _odd(record):
            return line + b"\n"
    except UnicodeEncodeError:
        pass
    plain = json.dumps(msgspec.to_builtins(record, enc_hook=str), separators=(",", ":"))
    return plain.encode("ascii") + b"\n"


def row_key(row: Row) -> str:
    """A hash of all that a row says, wherever it stands: 32 hex digits.

    A broken row's is that of its problem and the beginning that was kept of it.
    """
    said: Any = [row.problem, row.text] if row.shape == "broken" else record_of(row)
    return hashlib.blake2b(encode_line(said), digest_size=16).hexdigest()


def answer_length(row: Row) -> int:
    """Characters of what a row teaches to say: the assistant's (of a pair the chosen), or text."""
    return sum(
        len(text)
        for field, role, text in row.fields()
        if role in ("assistant", "") and not field.startswith("rejected")
    )


def unread(row: Row, record: Any) -> set[str]:
    """Fields of a record that its row does not hold, so that no version does: a turn's unknown
    keys, and a system prompt beside bare strings. Fields that are null are no loss."""
    if row.shape == "broken" or not isinstance(record, dict):
        return set()
    names = set()
    for part in _PARTS:
        value = record.get(part)
        for turn in value if isinstance(value, list) else [value]:
            if isinstance(turn, dict):
                kept = turn.keys() - _READ_OF_A_TURN
                names |= {f"{part}[].{key}" for key in kept if turn[key] is not None}
    strings = not any(isinstance(p, list) for p in (row.messages, row.prompt, row.chosen))
    if strings and record.get("system") and "system" not in row.tags:
        names.add("system")
    return names


def unread_note(dataset: Stored) -> list[str]:
    """A sentence for a version's notes when its source has fields that no row holds.

    Up to 1,000 rows, evenly spaced, are looked at.
    """
    total, names = len(dataset), set()
    for n in range(0, total, max(1, total // _LOOKED_AT)):
        names |= unread(dataset.row(n), dataset.record(n))
    if not names:
        return []
    listed = ", ".join(sorted(names)[:8])
    return [f"the source has fields that are not read and not in the version: {listed}"]


def batches(rows: Iterable[Row], size: int = BATCH, most: int = BATCH_BYTES) -> Iterator[list[Row]]:
    """`rows` in order in lists of `size`, of fewer where they come to `most` characters."""
    batch: list[Row] = []
    held = 0
    for row in rows:
        batch.append(row)
        held += characters(row)
        if len(batch) == size or held >= most:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def characters(row: Row) -> int:
    """About how many characters a row holds: its texts, and those of its calls and tags."""
    count = sum(len(text) for _field, _role, text in row.fields())
    left: list[Any] = [row.tags, row.tools] if row.tags or row.tools else []
    for part in (row.messages, row.prompt, row.completion, row.chosen, row.rejected):
        if isinstance(part, list):
            left.extend(turn.tool_calls for turn in part if turn.tool_calls is not None)
    while left:
        value = left.pop()
        if isinstance(value, str):
            count += len(value)
        elif isinstance(value, dict):
            left.extend(value.keys())
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        else:
            count += 8
    return count


def _plain(part: Turns | None) -> Any:
    return [message.as_dict() for message in part] if isinstance(part, list) else part


def _odd(value: Any) -> bool:
    """Whether a number in it is one that strict JSON has no word for."""
    if isinstance(value, dict):
        return any(_odd(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_odd(inner) for inner in value)
    return isinstance(value, float) and not math.isfinite(value)
