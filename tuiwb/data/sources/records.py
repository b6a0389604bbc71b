"""What every source of rows can do, and the common part of those that find records by offset."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Protocol

from tuiwb.data.index import Cache, Index
from tuiwb.data.sources.entry import Entry, beginning
from tuiwb.data.sources.file import Changed, File, Unpacked

# So many bytes, and records, are read and decoded at once when all rows are wanted.
BLOCK = 1 << 20
RECORDS = 4096


class Source(Protocol):
    """One file as a sequence of records. It is filled by one thread while others read."""

    container: str
    name: str

    def fill(self) -> Iterator[None]:
        """Find the records; after each step those found so far can be opened."""
        ...

    @property
    def progress(self) -> float:
        """The share of the file in which the records were found, 0 to 1."""
        ...

    def __len__(self) -> int: ...

    def entry(self, n: int) -> Entry:
        """Record `n`, opened alone."""
        ...

    def block(self, first: int) -> Iterator[Entry]:
        """The records from `first` on, as many as one read brings, at least one."""
        ...

    def raw(self, n: int) -> bytes | None:
        """The bytes of record `n` as they stand in the file; None where it has none of its own."""
        ...

    def release(self) -> None:
        """Hold no file open between reads; records can be opened as before."""
        ...

    def pieces(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """Lines and JSON bytes of the records from `first` on; None when they are not JSON."""
        ...


class Records:
    """A file whose records lie between byte offsets; what follows the last may be one broken row.

    A subclass finds them (`_find`) and decodes one (`_decode`).
    """

    container = ""
    packing = ""

    def __init__(self, file: File, cache: Cache | None = None) -> None:
        self.file, self.name = file, str(file.path)
        if isinstance(file, Unpacked):
            self.container += file.path.suffix.lower()
        self.index = Index()
        self._cache = cache
        self._tail: Entry | None = None
        self._scanned = 0
        self._extra: dict[str, Any] = {}

    def fill(self) -> Iterator[None]:
        """Find the records, or take them from the cache."""
        if self._from_cache():
            return
        try:
            yield from self._find()
            if self.file.problem is not None:
                self._end(self.file.problem)
        except (Changed, OSError) as error:
            self._end(f"can't be read from here on: {_why(error)}")
        else:
            self._to_cache()

    def _find(self) -> Iterator[None]:
        raise NotImplementedError

    def _decode(self, data: bytes, line: int) -> Entry:
        raise NotImplementedError

    def _end(self, problem: str) -> None:
        """One broken row after the last record, unless the scan itself left one."""
        if self._tail is None:
            line = self.index.line(len(self.index) - 1) + 1 if len(self.index) else 1
            self._tail = Entry(line, None, problem)

    @property
    def progress(self) -> float:
        """By bytes: of the packed file where it is packed."""
        if isinstance(self.file, Unpacked):
            return self.file.progress
        return min(1.0, self._scanned / max(1, self.file.size))

    def __len__(self) -> int:
        return len(self.index) + (self._tail is not None)

    def release(self) -> None:
        """Hold the file open no longer."""
        self.file.release()

    def raw(self, n: int) -> bytes | None:
        """The bytes of record `n`; None for what stands after the last."""
        if n >= len(self.index):
            return None
        start = self.index.starts[n]
        return self.file.read(start, self.index.ends[n] - start)

    def entry(self, n: int) -> Entry:
        """Record `n`, opened alone."""
        if n >= len(self.index) and self._tail is not None:
            return self._tail
        line = self.index.line(n)
        try:
            data = self.raw(n)
        except (Changed, OSError, MemoryError) as error:
            return Entry(line, None, _why(error))
        return self._decode(data or b"", line)

    def block(self, first: int) -> Iterator[Entry]:
        """Records read in one piece."""
        read = self._read(first)
        if read is None:
            yield self.entry(first)
        else:
            for line, data in read:
                yield self._decode(data, line)

    def pieces(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """Only JSON containers have them."""
        return None

    def _read(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """(line, bytes) of the records from `first` on; None when they can't be read at once."""
        starts, ends, count = self.index.starts, self.index.ends, len(self.index)
        if first >= count or self.file.written_to():
            return None
        base = starts[first]
        last = min(count, first + RECORDS, max(first + 1, bisect_right(ends, base + BLOCK)))
        try:
            data = self.file.read(base, ends[last - 1] - base)
        except (Changed, OSError, MemoryError):
            return None
        if self.file.written_to():
            return None
        return self._cut(data, base, first, last)

    def _cut(self, data: bytes, base: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """(line, bytes) of the records first to last - 1 in `data`, which begins at `base`."""
        starts, ends, line = self.index.starts, self.index.ends, self.index.line
        for n in range(first, last):
            yield line(n), data[starts[n] - base : ends[n] - base]

    def _from_cache(self) -> bool:
        if self._cache is None:
            return False
        loaded = Index.load(self._cache.file("index"))
        if loaded is None:
            return False
        index, extra = loaded
        known = (extra.get("container"), extra.get("fingerprint"), extra.get("size"))
        if known != (self.container, self.file.fingerprint, self.file.size):
            return False
        self._extra = extra
        self._tail = Entry(*extra["tail"]) if extra.get("tail") else None
        self.index, self._scanned = index, self.file.size
        return True

    def _to_cache(self) -> None:
        if self._cache is None or not self.file.settled or self.file.problem is not None:
            return
        if isinstance(self.file, Unpacked) and self._cache.sized("unpacked") is None:
            return
        kept = {
            "container": self.container,
            "fingerprint": self.file.fingerprint,
            "size": self.file.size,
            "tail": self._tail,
            **self._extra,
        }
        self.index.save(self._cache.file("index"), kept)
        self._cache.forget_others()


def cut(line: int, problem: str, data: bytes = b"") -> Entry:
    """The broken row that stands for the rest of a file."""
    return Entry(line, None, problem, beginning(data))


def _why(error: Exception) -> str:
    if isinstance(error, Changed):
        return str(error)
    if isinstance(error, MemoryError):
        return "is too long for this machine's memory"
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"can't be read: {words}"
