"""The curves of a long log kept beside it, so that attaching again reads columns, not JSON.

A derived file like the snapshot of the state (`jobs.snapshot`): deleted, it is made again; one
that does not fit the log, or is damaged, counts as missing. Layout: magic, length of the header,
header (msgpack), then the columns as little-endian float64 in the header's order.
"""

import os
import struct
import sys
import zlib
from io import FileIO
from pathlib import Path

import msgspec
import numpy as np

from tuiwb.jobs.snapshot import Snapshot, fits, replace_derived, snapshot_of
from tuiwb.jobs.state import JobState
from tuiwb.monitor.columns import Column
from tuiwb.monitor.series import RunSeries, SeriesParts, TrackParts
from tuiwb.prepared import prepared

SERIES = ".events.series"
WORTH = 16 << 20  # bytes of log read since the file was written that make it worth writing again
_MAGIC = b"tuiwb series 1\n"
_LENGTH = struct.Struct("<Q")
_MOST_HEADER = 256 << 20


class _Track(msgspec.Struct):
    names: list[str]
    rows: int


class _Header(msgspec.Struct, kw_only=True):
    snapshot: Snapshot
    parts: SeriesParts
    tracks: list[_Track]
    crc: int


def save_series(log: Path, offset: int, series: RunSeries, state: JobState) -> bool:
    """Keep the curves and the state after the log's first `offset` bytes; whether it could be."""
    snapshot = snapshot_of(log, offset, state)
    if snapshot is None or sys.byteorder != "little":
        return False
    parts, tracks = series.parts()
    columns = [column.view() for track in tracks for column in track.columns]
    crc = _crc(parts)
    for column in columns:
        crc = zlib.crc32(column.data, crc)
    header = msgspec.msgpack.encode(
        _Header(
            snapshot=snapshot,
            parts=parts,
            tracks=[_Track(track.names, len(track.columns[0])) for track in tracks],
            crc=crc,
        )
    )
    data = [column.data.cast("B") for column in columns if len(column)]
    return replace_derived(
        log.with_name(SERIES), [_MAGIC + _LENGTH.pack(len(header)) + header, *data]
    )


def load_series(log: Path) -> tuple[RunSeries, Snapshot] | None:
    """The kept curves and the state and place they go with, if they fit the log as it is now."""
    if sys.byteorder != "little":
        return None
    try:
        with log.with_name(SERIES).open("rb", buffering=0) as file:
            return _read(file, log)
    except (OSError, ValueError, msgspec.MsgspecError, struct.error, MemoryError):
        return None


def _read(file: FileIO, log: Path) -> tuple[RunSeries, Snapshot] | None:
    size = os.fstat(file.fileno()).st_size
    start = file.read(len(_MAGIC) + _LENGTH.size)
    if not start.startswith(_MAGIC):
        return None
    (length,) = _LENGTH.unpack(start[len(_MAGIC) :])
    if length > min(size, _MOST_HEADER):
        return None
    header = msgspec.msgpack.decode(file.read(length), type=prepared(_Header))
    if not fits(header.snapshot, log):
        return None
    values = sum(track.rows * TrackParts.columns_of(track.names) for track in header.tracks)
    if min((t.rows for t in header.tracks), default=0) < 0:
        return None
    if len(start) + length + values * 8 != size:
        return None
    crc = _crc(header.parts)
    tracks: list[TrackParts] = []
    for track in header.tracks:
        columns = []
        for _ in range(TrackParts.columns_of(track.names)):
            column = np.empty(track.rows)
            if track.rows and file.readinto(column.data.cast("B")) != column.nbytes:
                return None
            crc = zlib.crc32(column.data, crc)
            columns.append(Column.holding(column))
        tracks.append(TrackParts(track.names, columns))
    if crc != header.crc:
        return None
    return RunSeries.of(header.parts, tracks), header.snapshot


def _crc(parts: SeriesParts) -> int:
    """The check sum of what can't be read at all once a byte of it is another."""
    crc = zlib.crc32(parts.devices.model)
    for packed in parts.devices.kept:
        crc = zlib.crc32(packed, crc)
    return crc
