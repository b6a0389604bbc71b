"""Event lines in bulk: a block of lines becomes columns of numbers and the few other events.

In: whole lines of an event log. Out: a `Block` (numpy), or plain events where the block is small
or odd. A decoder made for the names seen so far reads a metrics line about three times as fast as
one into dictionaries; its values reach their columns through msgpack, whose floats all have one
width, without a Python loop.
"""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Control,
    Device,
    Log,
    Metrics,
    Progress,
    Sample,
    State,
    decode,
)

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
PIECE = 256 << 10  # bytes; what fits the processor's cache is read fastest
SMALL = 16 << 10  # bytes; below it columns cost more than they save
MOST_NAMES = 256
_ODD = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')  # what no field of a decoder may be called
_NEWLINE = 10
_BETWEEN = int.from_bytes(b'}\n{"', "little")  # an event's end and the next one's beginning
_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# A NaN that no log line can hold: the name was not logged. Logged NaN has other bits.
_UNLOGGED_BITS = 0xFFF8_0000_0BAD_BEEF
_UNLOGGED: float = struct.unpack("d", struct.pack("Q", _UNLOGGED_BITS))[0]
# msgpack: what the byte before a number says of its width, and how numpy calls that.
_FLOAT, _NIL = 0xCB, 0xC0
_WIDTHS = {_FLOAT: (9, ">f8"), 0xCC: (2, "u1"), 0xCD: (3, ">u2"), 0xCE: (5, ">u4")}
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True)
class Group:
    """Metrics of one set of names: `rows` of the block's metrics, values (rows, names)."""

    names: tuple[str, ...]
    rows: Places
    values: Floats


@dataclass(frozen=True)
class Block:
    """Consecutive events. `times` of all, in order; `others` with their places: all but metrics,
    and of progress only the newest, and the newest in steps: all that anybody asks for.

    Of the metrics: their places, steps, epochs and total steps (NaN where not logged), and the
    values in groups. Groups that share a name are in the order of the log.
    """

    times: Floats
    others: list[tuple[int, AnyEvent]]
    places: Places
    steps: Floats
    epochs: Floats
    totals: Floats
    groups: list[Group]


class BlockDecoder:
    """Decodes blocks of one log; it learns the names of its metrics as they come."""

    def __init__(self) -> None:
        self._room = bytearray()
        self._names: list[str] = []
        self._learn([])

    def decode(self, *pieces: bytes) -> Block | list[AnyEvent]:
        """Whole lines as a block, or as events; broken lines and unknown types are left out.

        They come in pieces of `PIECE` bytes where they are many.
        """
        if sum(map(len, pieces)) < SMALL or not any(pieces):
            return _plainly(pieces)
        try:
            block = self._decode([piece for piece in pieces if piece])
        except (ValueError, OverflowError):
            block = None
        return _plainly(pieces) if block is None else block

    def _decode(self, pieces: list[bytes]) -> Block | None:
        while True:
            known = len(self._names)
            count = 0
            others: list[tuple[int, AnyEvent]] = []
            columns: list[Floats] = []
            for lines in pieces:
                read = self._piece(lines)
                if read is None:
                    return None
                others += [(count + n, event) for n, event in read[1]]
                columns.append(read[2])
                count += read[0]
            if len(self._names) == known:
                return self._block(count, others, np.concatenate(columns, axis=1))

    def _piece(self, lines: bytes) -> tuple[int, list[tuple[int, AnyEvent]], Floats] | None:
        """How many events, those that are no metrics with their places, the metrics' columns."""
        events = self._events(lines)
        if events is None:
            return None
        own = self._metrics
        apart = [n for n, kind in enumerate(map(type, events)) if kind is not own]
        others = [(n, events[n]) for n in apart]
        count = len(events)
        for n in reversed(apart):
            del events[n]
        return count, others, self._columns(events)

    def _learn(self, names: list[str]) -> None:
        self._names += names
        fields = [f"v{n}" for n in range(len(self._names))]
        values: Any = msgspec.defstruct(
            "Values",
            [(field, float | str | None, _UNLOGGED) for field in fields],
            rename=dict(zip(fields, self._names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._metrics: Any = msgspec.defstruct(
            "BlockMetrics",
            [
                ("t", float, 0.0),
                ("step", int),
                ("epoch", float | None, None),
                ("total_steps", int | None, None),
                ("values", values, msgspec.field(default_factory=values)),
            ],
            kw_only=True,
            tag_field="type",
            tag="metrics",
            gc=False,
        )
        self._leads = _leads(self._names)
        self._decoder: Any = msgspec.json.Decoder(
            State | Progress | self._metrics | Device | Sample | Artifact | Alert | Log | Control
        )

    def _events(self, lines: bytes) -> list[Any] | None:
        """The lines' events, metrics as this decoder's own; None where some can't be that."""
        try:
            events: list[Any] = self._decoder.decode_lines(lines)
        except _ERRORS:
            return self._line_by_line(lines)
        return events if _one_a_line(lines, len(events)) else self._line_by_line(lines)

    def _line_by_line(self, lines: bytes, *, again: bool = False) -> list[Any] | None:
        events: list[Any] = []
        new: dict[str, None] = {}
        for line in lines.split(b"\n"):
            if not line:
                continue
            try:
                events.append(self._decoder.decode(line))
            except _ERRORS:
                event = decode(line)
                if isinstance(event, Metrics):
                    new |= {n: None for n in event.values if n not in self._names}
                    if again or not new:
                        return None
                elif event is not None:
                    return None
        if not new:
            return events
        if any(_ODD.search(name) for name in new):
            return None
        if len(self._names) + len(new) > MOST_NAMES:
            return None
        self._learn(list(new))
        return self._line_by_line(lines, again=True)

    def _columns(self, metrics: list[Any]) -> Floats:
        """Times, steps, epochs, total steps, and the values of each name: a row each."""
        if not metrics:
            return np.empty((4 + len(self._names), 0))
        packed = self._packed(metrics)
        if packed is not None:
            return packed
        astuple = msgspec.structs.astuple
        *own, values = zip(*map(astuple, metrics), strict=True)
        table = np.fromiter(
            chain.from_iterable(map(astuple, values)), np.float64, len(metrics) * len(self._names)
        ).reshape(len(metrics), len(self._names))
        return np.concatenate([np.array(own, np.float64), table.T])

    def _packed(self, metrics: list[Any]) -> Floats | None:
        """The columns by way of msgpack; None where the same number takes different widths."""
        first, data = _encoder.encode(metrics[0]), self._room
        _encoder.encode_into(metrics, data)
        width, count = len(first), len(metrics)
        start = len(data) - count * width
        if start != (1 if count < 16 else 3 if count < 1 << 16 else 5):
            return None
        at = 0
        places, formats = [], []
        for lead in self._leads:
            at += lead
            size, form = _WIDTHS.get(first[at], (0, ""))
            if not size and first[at] != _NIL:
                return None
            places.append(at)
            formats.append(form)
            at += size or 1
        rows = np.frombuffer(data, np.uint8, offset=start).reshape(count, width)
        if (rows[:, places] != rows[0, places]).any():
            return None
        out = np.full((len(places), count), np.nan)
        for number, (place, form) in enumerate(zip(places, formats, strict=True)):
            if form:
                kind = np.dtype(form)
                out[number] = np.ndarray(count, kind, data, start + place + 1, (width,))
        return out

    def _block(
        self, count: int, others: list[tuple[int, AnyEvent]], columns: Floats
    ) -> Block | None:
        own, table = columns[:4], columns[4:].T
        places = np.arange(count)
        times = own[0]
        if others:
            apart = [n for n, _ in others]
            places = np.delete(places, apart)
            times = np.empty(count)
            times[apart] = [event.t for _, event in others]
            times[places] = own[0]
            others = _newest_progress(others)
        groups = self._groups(table) if len(table) else []
        if groups is None:
            return None
        return Block(times, others, places, own[1], own[2], own[3], groups)

    def _groups(self, table: Floats) -> list[Group] | None:
        """Rows of one set of names together; None where sets overlap and change all the time."""
        logged = table.view(np.uint64) != _UNLOGGED_BITS
        if (logged == logged[0]).all():
            return [self._group(table, logged[0], np.arange(len(table)))]  # the usual case
        if len(self._names) < 63:
            keys = logged @ (1 << np.arange(len(self._names)))
            _, first, kind = np.unique(keys, return_index=True, return_inverse=True)
        else:
            _, first, kind = np.unique(logged, axis=0, return_index=True, return_inverse=True)
            kind = kind.reshape(-1)
        if not (logged[first].sum(axis=0) > 1).any():
            return [
                self._group(table, logged[first[k]], np.flatnonzero(kind == k))
                for k in np.argsort(first).tolist()
            ]
        starts = np.flatnonzero(np.diff(kind, prepend=-1))
        if len(starts) * 4 > len(table):
            return None
        ends = np.append(starts[1:], len(table))
        return [
            self._group(table, logged[a], np.arange(a, b))
            for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def _group(self, table: Floats, logged: NDArray[np.bool_], rows: Places) -> Group:
        columns = np.flatnonzero(logged)
        names = tuple(self._names[n] for n in columns.tolist())
        some = table if len(rows) == len(table) else table[rows]
        return Group(names, rows, some if len(columns) == table.shape[1] else some[:, columns])


def _one_a_line(lines: bytes, events: int) -> bool:
    """Whether so many JSON objects found in `lines` are one on each: none spans or shares lines.

    A line end inside an object never stands between `}` and `{"`, so where there are as many of
    these as objects, less one, each parts two; and where there are no more lines, that is all.
    """
    newlines = np.count_nonzero(np.frombuffer(lines, np.uint8) == _NEWLINE)
    if not events or newlines != events or not lines.endswith(b"\n"):
        return False
    between = 0
    for start in range(4):
        words = np.frombuffer(lines, "<u4", (len(lines) - start) // 4, start)
        between += int(np.count_nonzero(words == _BETWEEN))
    return between + 1 == events


def _newest_progress(others: list[tuple[int, AnyEvent]]) -> list[tuple[int, AnyEvent]]:
    told = [(n, event.in_steps) for n, event in others if type(event) is Progress]
    newest = {n for n, _ in told[-1:]} | {*[n for n, steps in told if steps][-1:]}
    return [(n, event) for n, event in others if type(event) is not Progress or n in newest]


def _leads(names: list[str]) -> list[int]:
    """How many bytes of msgpack stand before each number of a metrics event: keys and such."""

    def size(*words: str) -> int:
        return sum(len(_encoder.encode(word)) for word in words)

    own = [1 + size("type", "metrics", "t"), size("step"), size("epoch"), size("total_steps")]
    values = [size(name) for name in names]
    if values:
        values[0] += size("values") + (1 if len(names) < 16 else 3)
    return own + values


def _plainly(pieces: Iterable[bytes]) -> list[AnyEvent]:
    lines = (line for piece in pieces for line in piece.split(b"\n") if line)
    return [event for line in lines if (event := decode(line)) is not None]
