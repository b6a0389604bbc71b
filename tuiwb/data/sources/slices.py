"""Rows of columns on disk, in slices that are opened one at a time.

In: record batches, once, in order. Out: the slice that holds a row, without those before it.
Parquet can't be entered in the middle of a row group, so each jump into a large one would cost
the whole group; from its slices it costs one of them.
"""

import os
import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

from tuiwb.data.index import Cache, spool

# At most about twice so many bytes are a slice; a longer row is one by itself.
SLICE = 1 << 19
# What one file's slices may take on disk before they are made anew.
ROOM = 4 << 30
# So many files have slices at a time, each an open file without a name, and decoded rows.
MOST, DECODED = 16, 3


class NoRoom(Exception):
    """The disk doesn't take the slices."""


class Slices:
    """One file's slices, piece by piece (a row group, a batch), as far as they were asked for.

    They stand in a file without a name, gone with the process. One thread at a time asks.
    """

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._spool: _Spool | None = None

    def has(self, piece: int) -> bool:
        """Whether a piece has slices already."""
        spool = self._spool
        return spool is not None and piece in spool.pieces

    def begin(self, piece: int, batches: Iterator[Any]) -> None:
        """Cut `batches`, all rows of a piece, into slices when they are asked for."""
        spool = self._spool
        if spool is None or spool.size > ROOM:
            try:
                spool = self._spool = _Spool(self._cache)
            except OSError as error:
                raise NoRoom from error
        spool.pieces[piece] = _Piece(batches)

    def holding(self, piece: int, at: int) -> tuple[int, Any] | None:
        """The first row, counted within the piece, and the slice that holds row `at`.

        None where the piece has no slices (any more). NoRoom, EOFError when the piece ends
        before, or what its batches raised.
        """
        spool = self._spool
        found = None if spool is None else spool.pieces.get(piece)
        if spool is None or found is None:
            return None
        try:
            return found.holding(spool, at)
        except NoRoom:
            self._spool = None
            raise

    def clear(self) -> None:
        """Let go of all slices; any thread may ask for it."""
        self._spool = None


class _Spool:
    def __init__(self, cache: Cache | None) -> None:
        self.size = 0
        self.pieces: dict[int, _Piece] = {}
        self._file: BinaryIO = spool() if cache is None else cache.spool()

    def write(self, data: Any) -> tuple[int, int]:
        """Append `data`: where it stands, and its length."""
        view, at = memoryview(data), self.size
        try:
            while self.size < at + len(view):
                self.size += os.pwrite(self._file.fileno(), view[self.size - at :], self.size)
        except OSError as error:
            raise NoRoom from error
        return at, len(view)

    def read(self, at: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, at)


class _Piece:
    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self._firsts, self._places = [0], list[tuple[int, int]]()
        self._error: Exception | None = None

    def holding(self, spool: _Spool, n: int) -> tuple[int, Any]:
        import pyarrow

        while n >= self._firsts[-1]:
            self._more(spool)
        at = bisect_right(self._firsts, n) - 1
        data = spool.read(*self._places[at])
        return self._firsts[at], pyarrow.ipc.open_stream(data).read_next_batch()

    def _more(self, spool: _Spool) -> None:
        import pyarrow

        if self._error is not None:
            raise self._error.with_traceback(None)
        try:
            batch = next(self._batches, None)
            if batch is None:
                raise EOFError("the rows end early")
        except Exception as error:
            self._error = error
            raise
        for part in cut(batch):
            sink = pyarrow.BufferOutputStream()
            # A stream by itself: it brings the dictionaries it needs.
            with pyarrow.ipc.new_stream(sink, part.schema) as stream:
                stream.write_batch(part)
            self._places.append(spool.write(sink.getvalue()))
            self._firsts.append(self._firsts[-1] + part.num_rows)


class Holder(Protocol):
    """A source that keeps decoded rows, and slices, for the next time."""

    def rest(self) -> None:
        """Let go of decoded rows and of what is read in order."""
        ...

    def release(self) -> None:
        """Let go of everything."""
        ...


_holders: list["weakref.ref[Holder]"] = []
_lock = threading.Lock()


def used(holder: Holder) -> None:
    """Note that a source decoded rows; those that did so longest ago let go of theirs."""
    with _lock:
        others = [ref for ref in _holders if ref() not in (None, holder)]
        _holders[:] = [weakref.ref(holder), *others[: MOST - 1]]
    for n, ref in enumerate(others, 1):
        if n >= DECODED and (other := ref()) is not None:
            other.release() if n >= MOST else other.rest()


def cut(batch: Any) -> Iterator[Any]:
    """A batch in slices of at most two SLICEs' bytes where rows allow, none empty."""
    if batch.num_rows > 1 and batch.nbytes > 2 * SLICE:
        half = batch.num_rows // 2
        yield from cut(batch.slice(0, half))
        yield from cut(batch.slice(half))
    elif batch.num_rows:
        yield batch
