"""Columns of float64 that grow at their end: what the series of a run are made of."""

import mmap

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Bytes from which on an array is mapped by itself, up to where malloc and numpy do that better.
MAPPED, LARGE = 4 * mmap.PAGESIZE, 1 << 20


class Column:
    """A growing array. `view()` is what it holds now; don't keep it over an append."""

    __slots__ = ("_buffer", "_length")

    def __init__(self, values: Floats | None = None) -> None:
        self._buffer: Floats = np.empty(0) if values is None else values.copy()
        self._length = len(self._buffer)

    @classmethod
    def holding(cls, values: Floats) -> "Column":
        """A column that takes over an array, without a copy."""
        column = cls()
        column._buffer, column._length = values, len(values)
        return column

    def __len__(self) -> int:
        return self._length

    def view(self) -> Floats:
        """The values, without a copy."""
        return self._buffer[: self._length]

    def reserve(self, length: int) -> None:
        """Take room for so many values in all; pages that are never written to cost nothing."""
        if length > len(self._buffer):
            self._grow(length)

    def put(self, value: float) -> None:
        """Append one value."""
        at = self._length
        if at == len(self._buffer):
            self._grow(at + 1)
        self._buffer[at] = value
        self._length = at + 1

    def extend(self, values: Floats) -> None:
        """Append many values."""
        start, end = self._length, self._length + len(values)
        if end > len(self._buffer):
            self._grow(end)
        self._buffer[start:end] = values
        self._length = end

    def cut(self, length: int) -> None:
        """Keep only the first `length` values."""
        self._length = min(length, self._length)

    def last(self) -> float:
        """The newest value."""
        return float(self._buffer[self._length - 1])

    def _grow(self, needed: int) -> None:
        # Pages never written to cost no memory, so room is taken generously.
        grown = room(max(64, needed, len(self._buffer) * 2))
        grown[: self._length] = self._buffer[: self._length]
        self._buffer = grown


def room(length: int) -> Floats:
    """An array for `length` values that may be anything; pages never written to cost no memory.

    In the heap they would: it gives out again what others had written to, and a column that
    outgrew its place leaves a hole there.
    """
    size = length * 8
    if not MAPPED <= size < LARGE:
        return np.empty(length)
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.float64)
