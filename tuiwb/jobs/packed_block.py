"""A `Block` as bytes for another process of this program, and back."""

import msgspec
import numpy as np

from tuiwb.jobs.blocks import Block, Group
from tuiwb.jobs.events import (
    Alert,
    Artifact,
    Control,
    Device,
    Log,
    Progress,
    Sample,
    State,
)
from tuiwb.prepared import prepared

_Other = State | Progress | Device | Sample | Artifact | Alert | Log | Control


class _Group(msgspec.Struct, array_like=True):
    names: tuple[str, ...]
    rows: bytes
    values: bytes


class _Block(msgspec.Struct, array_like=True):
    others: list[tuple[int, _Other]]
    times: bytes
    places: bytes
    columns: list[bytes]
    groups: list[_Group]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(prepared(_Block))


def pack(block: Block) -> bytes:
    """The block as bytes; ValueError (a lone surrogate in a text) where that can't be."""
    return _encoder.encode(
        _Block(
            block.others,  # type: ignore[arg-type]  # they are no metrics
            block.times.tobytes(),
            block.places.tobytes(),
            [column.tobytes() for column in (block.steps, block.epochs, block.totals)],
            [_Group(g.names, g.rows.tobytes(), g.values.T.tobytes()) for g in block.groups],
        )
    )


def unpack(data: bytes | bytearray) -> Block:
    """The block again; its arrays are read-only. msgspec.MsgspecError, ValueError if damaged."""
    packed = _decoder.decode(data)
    steps, epochs, totals = (np.frombuffer(column) for column in packed.columns)
    groups = []
    for group in packed.groups:
        rows = np.frombuffer(group.rows, np.int64)
        values = np.frombuffer(group.values).reshape(len(group.names), len(rows)).T
        groups.append(Group(group.names, rows, values))
    return Block(
        times=np.frombuffer(packed.times),
        others=list(packed.others),
        places=np.frombuffer(packed.places, np.int64),
        steps=steps,
        epochs=epochs,
        totals=totals,
        groups=groups,
    )
