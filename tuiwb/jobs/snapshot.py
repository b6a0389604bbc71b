"""The state folded so far, kept beside the event log: a list of runs need not read every log.

A derived file: deleted, it is made again; one that does not fit the log (another inode, other
bytes at its beginning or before the offset, another version of the state) counts as missing.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tuiwb.jobs.state import JobState
from tuiwb.jobs.tally import Tally
from tuiwb.prepared import prepared

SNAPSHOT = ".events.state"
WORTH = 2 << 20  # bytes of log read since the last snapshot that make a new one worth its write
WORTH_ENDED = 32 << 10  # bytes; the same of a run that ended, whose snapshot is the last
_LOOKED_AT = 4096  # bytes at the log's beginning and before the offset
_FORMAT = "1 " + " ".join((*JobState.__struct_fields__, *Tally.__struct_fields__))


class Stand(msgspec.Struct, kw_only=True):
    """A place in one very log: what was derived holds for its first `offset` bytes."""

    inode: int
    offset: int
    print: bytes


class Snapshot(msgspec.Struct, kw_only=True):
    """The state after the log's first bytes, before any look at the process."""

    format: str
    stand: Stand
    state: JobState


def stand_at(log: Path, offset: int) -> Stand | None:
    """The place after the first `offset` bytes of a log; None when it can't be read so far."""
    try:
        with log.open("rb", buffering=0) as file:
            about = os.fstat(file.fileno())
            if about.st_size < offset:
                return None
            head = file.read(min(_LOOKED_AT, offset))
            file.seek(max(0, offset - _LOOKED_AT))
            end = file.read(min(_LOOKED_AT, offset))
    except OSError:
        return None
    digest = hashlib.blake2b(head + end, digest_size=16).digest()
    return Stand(inode=about.st_ino, offset=offset, print=digest)


def snapshot_of(log: Path, offset: int, state: JobState) -> Snapshot | None:
    """The state after a log's first bytes, with what tells whether it fits the log later."""
    stand = stand_at(log, offset)
    return None if stand is None else Snapshot(format=_FORMAT, stand=stand, state=state)


def save_snapshot(log: Path, offset: int, state: JobState) -> None:
    """Keep a state beside its log; where that can't be written nothing is lost but time."""
    snapshot = snapshot_of(log, offset, state)
    if snapshot is not None:
        replace_derived(log.with_name(SNAPSHOT), [msgspec.msgpack.encode(snapshot)])


def load_snapshot(log: Path) -> Snapshot | None:
    """The kept state, if it fits the log as it is now."""
    try:
        data = log.with_name(SNAPSHOT).read_bytes()
        snapshot = msgspec.msgpack.decode(data, type=prepared(Snapshot))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return snapshot if fits(snapshot, log) else None


def fits(snapshot: Snapshot, log: Path) -> bool:
    """Whether a snapshot was made of this very log, by a version that counts as this one does."""
    return snapshot.format == _FORMAT and stand_at(log, snapshot.stand.offset) == snapshot.stand


def replace_derived(path: Path, parts: Sequence[bytes | memoryview]) -> bool:
    """Write a derived file: whole or not at all, without waiting for the disk; whether it is."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb", buffering=0) as file:
            for part in parts:
                if file.write(part) != len(part):
                    raise OSError
        beside.replace(path)
    except OSError:
        try:
            beside.unlink(missing_ok=True)
        except OSError:
            pass
        return False
    return True
