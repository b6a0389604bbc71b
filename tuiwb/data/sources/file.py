"""A file's bytes as they were when it was opened, packed or not; a changed file is noticed.

Reads go through pread and never mmap: a file that is cut short while mapped kills the process.
"""

import hashlib
import os
import stat
import tempfile
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tuiwb.data.index import SETTLED_NS, Cache, Stamp, temporary
from tuiwb.errors import BadInput

CHUNK = 2 << 20
_ENDS = 4096
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PACKED = {".gz": GZIP, ".zst": ZSTD}
# How much packed zstd is fed at once: its blocks can grow ten-thousandfold.
_ZSTD_FED = 4096


class _Held:
    """An open file, closed when the last who reads from it lets go of it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def of(cls, path: Path) -> "_Held":
        """The file at `path`, opened for reading."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def __del__(self) -> None:
        os.close(self.fd)


class _Feed:
    """A packed file's bytes from front to back, as many as are asked for."""

    def __init__(self, held: _Held) -> None:
        self.held, self.fed = held, 0

    def __call__(self, length: int) -> bytes:
        data = os.pread(self.held.fd, length, self.fed)
        self.fed += len(data)
        return data


class Changed(Exception):
    """The file is no longer what was opened; the message becomes the row's problem."""


class File:
    """A regular file, from byte 0 to the size it had when it was opened.

    Lines appended later are not seen. Cut or written over, reads raise Changed. With `keep` false
    the file is opened anew for every read, for datasets of very many files.
    """

    def __init__(self, path: Path, keep: bool = True) -> None:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadInput(f"{path} is not a regular file: save what it gives in one first")
        self.path = path
        held = _Held.of(path)
        self.stamp = Stamp.of(os.fstat(held.fd))
        self.size = self.stamp.size
        self._seen_as = self.stamp
        self.fingerprint = self._fingerprint(held.fd)
        # Where the bytes are read from; None opens the file anew.
        self._held: _Held | None = held if keep else None

    def release(self) -> None:
        """Hold the file open no longer: reads from here on open it anew."""
        self._held = None

    @property
    def problem(self) -> str | None:
        """Why the bytes end before they should; None when they don't."""
        return None

    @property
    def progress(self) -> float:
        """The share of the file that can be read already."""
        return 1.0

    @property
    def settled(self) -> bool:
        """Whether its stamp can be trusted to change with the file from here on."""
        return time.time_ns() - self.stamp.mtime_ns > SETTLED_NS

    def written_to(self) -> bool:
        """Whether it was written to since it was opened."""
        return self._seen_as != self.stamp

    def grow(self) -> bool:
        """Make more bytes readable; False when there are no more."""
        return False

    def read(self, at: int, length: int) -> bytes:
        """`length` bytes from `at`; Changed when the file can't give what it held at opening."""
        held = self._held or _Held.of(self.path)
        data = _pread(held.fd, at, length, "the file became shorter while it was read")
        self._check(held.fd)
        return data

    def chunks(self) -> Iterator[bytes]:
        """All bytes in order, CHUNK at a time."""
        for at in range(0, self.size, CHUNK):
            yield self.read(at, min(CHUNK, self.size - at))

    def head(self) -> bytes:
        """The first 64 KiB, or all of a shorter file."""
        while self.size < 1 << 16 and self.grow():
            pass
        return self.read(0, min(self.size, 1 << 16))

    def line(self, most: int = 1 << 26) -> bytes:
        """The first line without its end; what fits into `most` bytes of a longer one."""
        found = b""
        for chunk in self.chunks():
            found += chunk.partition(b"\n")[0]
            if b"\n" in chunk or len(found) >= most:
                break
        return found

    def _check(self, fd: int) -> None:
        seen = Stamp.of(os.fstat(fd))
        if seen == self._seen_as:
            return
        same = seen[:2] == self.stamp[:2] and seen.size >= self.stamp.size
        if not same or self._fingerprint(fd) != self.fingerprint:
            raise Changed("can't be read any more: the file changed since it was opened")
        self._seen_as = seen

    def _fingerprint(self, fd: int) -> str:
        """What the beginning and the end hold: an append leaves both, other writing moves one."""
        size = self.stamp.size
        some = min(_ENDS, size)
        ends = os.pread(fd, some, 0) + os.pread(fd, some, size - some)
        return hashlib.blake2b(ends, digest_size=16).hexdigest()


class Unpacked(File):
    """A gzip or zstd file, unpacked once, from front to back, into a file that is read at random.

    Neither format can be entered in the middle (zstd holds no state to resume from, gzip 32 KiB
    of it every few megabytes), and one pass must be made anyway to count the rows. The unpacked
    bytes go to the cache folder, else to a temporary file without a name; memory stays at a chunk.
    """

    def __init__(self, path: Path, cache: Cache | None, keep: bool = True) -> None:
        super().__init__(path)
        self._packed: _Feed | None = None
        self.packed_size = self.size
        self._problem: str | None = None
        self._target = cache.file("unpacked") if cache is not None else None
        # The finished copy in the cache.
        self._copy: Path | None = None
        self._whole = False
        # The name of the copy while it is written, and what removes it, also when we are quit.
        self._temporary: str | None = None
        self._forget: weakref.finalize[..., Unpacked] | None = None
        if cache is not None:
            cache.sweep()
            if (kept := cache.sized("unpacked")) is not None:
                self._held = _Held.of(kept)
                self.size, self._whole = os.fstat(self._held.fd).st_size, True
                self._copy = kept
                return
        self.size = 0
        self._packed = _Feed(self._held or _Held.of(path))
        self._held, self._temporary = self._spool()
        if self._temporary is not None:
            self._forget = weakref.finalize(self, _unlink, self._temporary)
        unpack = _gunzip if os.pread(self._packed.held.fd, 2, 0) == GZIP else _unzstd
        self._more = unpack(self._packed)

    def release(self) -> None:
        """Hold no file open that can be opened anew; a copy that isn't kept can't be."""
        if self._copy is not None:
            self._held = None
        elif self._forget is not None:
            self._forget()

    @property
    def problem(self) -> str | None:
        return self._problem

    @property
    def progress(self) -> float:
        packed = self._packed
        if packed is None:
            return 1.0
        return min(1.0, packed.fed / max(1, self.packed_size))

    def written_to(self) -> bool:
        return False

    def grow(self) -> bool:
        held = self._held
        if self._whole or held is None:
            return False
        try:
            data = next(self._more, b"")
            if data:
                at = 0
                while at < len(data):
                    at += os.pwrite(held.fd, data[at:], self.size + at)
                self.size += len(data)
                return True
            self._keep()
        except (ValueError, zlib.error, EOFError) as error:
            self._problem = f"can't be unpacked from here on: {error}"
        except OSError as error:
            self._problem = f"can't be unpacked from here on: {error.strerror or error}"
        self._whole, self._packed = True, None
        return False

    def chunks(self) -> Iterator[bytes]:
        """All bytes in order, CHUNK at a time, unpacked where they are not yet."""
        at = 0
        while True:
            while self.size - at < CHUNK and self.grow():
                pass
            if at >= self.size:
                return
            data = self.read(at, min(CHUNK, self.size - at))
            at += len(data)
            yield data

    def read(self, at: int, length: int) -> bytes:
        held = self._held
        if held is None:
            if self._copy is None:
                raise Changed("is gone: its unpacked copy was let go of")
            held = _Held.of(self._copy)
        return _pread(held.fd, at, length, "the unpacked copy in the cache was cut")

    def _spool(self) -> tuple[_Held, str | None]:
        if self._target is not None:
            with suppress(OSError):
                self._target.parent.mkdir(parents=True, exist_ok=True)
                number, name = temporary(self._target)
                return _Held(number), name
        number, name = tempfile.mkstemp(prefix="tuiwb-")
        os.unlink(name)
        return _Held(number), None

    def _keep(self) -> None:
        """Give the finished copy its name in the cache, if the packed file is still the same."""
        if self._packed is None or not self._temporary or not self._target or not self.settled:
            return
        if Stamp.of(os.fstat(self._packed.held.fd)) == self.stamp:
            copy = Path(f"{self._target}-{self.size}")
            # Another may have emptied the cache: then the copy stays without a name.
            with suppress(OSError):
                os.replace(self._temporary, copy)
                self._copy, self._temporary = copy, None
                if self._forget is not None:
                    self._forget.detach()


def _pread(fd: int, at: int, length: int, why: str) -> bytes:
    """`length` bytes from `at`; Changed with `why` when there are fewer."""
    data = os.pread(fd, length, at)
    while len(data) < length:
        more = os.pread(fd, length - len(data), at + len(data))
        if not more:
            raise Changed(f"is gone: {why}")
        data += more
    return data


def _unlink(name: str) -> None:
    with suppress(OSError):
        os.unlink(name)


def is_packed(head: bytes) -> bool:
    """Whether a file that begins so is gzip or zstd."""
    return head.startswith((GZIP, ZSTD))


def _gunzip(feed: Callable[[int], bytes]) -> Iterator[bytes]:
    """Unpacked pieces of up to CHUNK bytes; members may follow one another, padded with zeros."""
    rest = feed(1 << 16)
    while rest:
        member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not member.eof:
            rest = rest or feed(1 << 16)
            data = member.decompress(rest, CHUNK)
            if not data and not rest and not member.eof:
                raise EOFError("the file was cut off")
            rest = member.unconsumed_tail
            if data:
                yield data
        rest = member.unused_data
        while not rest.lstrip(b"\0"):
            if not (rest := feed(1 << 16)):
                return
        rest = rest.lstrip(b"\0")


def _unzstd(feed: Callable[[int], bytes]) -> Iterator[bytes]:
    """Unpacked pieces of about CHUNK bytes; frames may follow one another."""
    import zstandard

    rest, pieces, held = feed(_ZSTD_FED), list[bytes](), 0
    problem: Exception | None = None
    while rest and problem is None:
        frame: Any = zstandard.ZstdDecompressor().decompressobj()
        while not frame.eof and problem is None:
            rest = rest or feed(_ZSTD_FED)
            try:
                if not rest:
                    raise EOFError("the file was cut off")
                pieces.append(frame.decompress(rest))
            except (zstandard.ZstdError, EOFError) as error:
                problem = ValueError(str(error))
                break
            rest = b""
            held += len(pieces[-1])
            if held >= CHUNK:
                yield b"".join(pieces)
                pieces, held = [], 0
        rest = frame.unused_data or feed(_ZSTD_FED)
    if held:
        yield b"".join(pieces)
    if problem is not None:
        raise problem
