"""Event lines in bulk: a block of lines becomes columns of numbers and the few other events.

In: whole lines of an event log. Out: a `Block` (numpy), or plain events where the block is small
or odd. A decoder made for the names seen so far reads a metrics line about three times as fast as
one into dictionaries, and its values go into an array without a Python loop.
"""

import struct
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
BLOCK = 256 << 10  # bytes; what fits the processor's cache is read fastest
SMALL = 16 << 10  # bytes; below it columns cost more than they save
MOST_NAMES = 256
_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# A NaN that no log line can hold: the name was not logged. Logged NaN has other bits.
_UNLOGGED_BITS = 0xFFF8_0000_0BAD_BEEF
_UNLOGGED: float = struct.unpack("d", struct.pack("Q", _UNLOGGED_BITS))[0]


@dataclass(frozen=True)
class Group:
    """Metrics of one set of names: `rows` of the block's metrics, values (rows, names)."""

    names: tuple[str, ...]
    rows: Places
    values: Floats


@dataclass(frozen=True)
class Block:
    """Consecutive events. `times` of all, in order; `others` all but metrics, with their places.

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
        self._names: list[str] = []
        self._learn([])

    def decode(self, lines: bytes) -> Block | list[AnyEvent]:
        """Whole lines as a block, or as events; broken lines and unknown types are left out."""
        if not lines or len(lines) < SMALL:
            return _plainly(lines)
        events = self._events(lines)
        if events is None:
            return _plainly(lines)
        try:
            block = self._block(events)
        except (ValueError, OverflowError):
            block = None
        return _plainly(lines) if block is None else block

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
        self._decoder: Any = msgspec.json.Decoder(
            State | Progress | self._metrics | Device | Sample | Artifact | Alert | Log | Control
        )

    def _events(self, lines: bytes) -> list[Any] | None:
        """The lines' events, metrics as this decoder's own; None where some can't be that."""
        ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
        begin = np.frombuffer(lines, np.uint8)[np.append(0, ends[:-1] + 1)]
        # JSON may span lines, or share one: not in an event log.
        if (begin == ord("{")).all():
            try:
                events: list[Any] = self._decoder.decode_lines(lines)
                if len(events) == len(ends):
                    return events
            except _ERRORS:
                pass
        return self._line_by_line(lines)

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
        if len(self._names) + len(new) > MOST_NAMES:
            return None
        self._learn(list(new))
        return self._line_by_line(lines, again=True)

    def _block(self, events: list[Any]) -> Block | None:
        own = self._metrics
        astuple = msgspec.structs.astuple
        metrics = [event for event in events if type(event) is own]
        times = np.empty(len(events))
        others: list[tuple[int, AnyEvent]] = []
        places = np.arange(len(events))
        if len(metrics) != len(events):
            others = [(n, event) for n, event in enumerate(events) if type(event) is not own]
            apart = [n for n, _ in others]
            times[apart] = [event.t for _, event in others]
            places = np.delete(places, apart)
        if not metrics:
            none = np.empty(0)
            return Block(times, others, places, none, none, none, [])
        at, steps, epochs, totals, values = zip(*map(astuple, metrics), strict=True)
        times[places] = at
        table = np.fromiter(
            chain.from_iterable(map(astuple, values)), np.float64, len(metrics) * len(self._names)
        ).reshape(len(metrics), len(self._names))
        groups = self._groups(table)
        if groups is None:
            return None
        return Block(
            times=times,
            others=others,
            places=places,
            steps=np.array(steps, np.float64),
            epochs=np.array(epochs, np.float64),
            totals=np.array(totals, np.float64),
            groups=groups,
        )

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


def _plainly(lines: bytes) -> list[AnyEvent]:
    events = (decode(line) for line in lines.split(b"\n") if line)
    return [event for event in events if event is not None]
