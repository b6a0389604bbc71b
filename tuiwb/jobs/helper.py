"""A second process that decodes parts of a long log ahead of the one that reads it.

What it sends is only a quicker way to the same blocks: where it fails, or falls silent, the reader
decodes the lines itself. Which parts it does is not settled beforehand: it is always given the
next one, a little ahead of the reader, who does what lies between, so that neither waits long for
the other.
"""

import fcntl
import os
import select
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

from tuiwb.jobs import decode_ahead
from tuiwb.jobs.blocks import Block
from tuiwb.jobs.decode_ahead import LENGTH
from tuiwb.jobs.packed_block import unpack

MODULE = "tuiwb.jobs.decode_ahead"
PART = 2 << 20  # bytes of a part
LEAD = 3  # parts that the reader has before him where the next one begins, at least
AT_HAND = 2  # parts that the other process has to do, so that it never waits for an order
AHEAD = 16  # parts that wait here at most
PATIENCE = 5.0  # seconds of silence after which it is given up
PIPE = 1 << 20  # bytes; a packed part fits, so that it can be sent while the reader is busy
_PROBE = 64 << 10


class Helper:
    """Parts of the log at `log` up to `size`. `next_part` is the start of the next that comes.

    The reader calls `order` with where he stands before each thing he does, and `take` when he is
    at `next_part`. `over` says that no more comes. Not safe from several threads at a time.
    """

    def __init__(self, log: Path, inode: int, size: int) -> None:
        self._log, self._inode, self._size = log, inode, size
        self._parts: deque[tuple[int, int]] = deque()  # ordered and not taken
        self._ordered_to = 0
        self._come: deque[bytearray] = deque()
        self._length, self._data, self._filled = bytearray(), bytearray(), 0
        self._ready = self._ended = False
        self._heard = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self.over = False
        self._start()

    @property
    def next_part(self) -> int | None:
        """Where the next part begins; None while none was ordered."""
        return self._parts[0][0] if self._parts else None

    def order(self, offset: int) -> None:
        """Give the process something to do, for a reader who stands at `offset`."""
        if self.over:
            return
        self._receive()
        try:
            while self._ready and len(self._parts) < min(AHEAD, len(self._come) + AT_HAND):
                part = self._part_after(max(self._ordered_to, offset + LEAD * PART))
                if part is None:
                    break
                self._send(decode_ahead.PART.pack(*part))
                self._parts.append(part)
                self._ordered_to = part[1]
        except OSError:
            self.close()
        if not self._parts and (self._ended or offset + (LEAD + 1) * PART > self._size):
            self.close()

    def take(self, seconds: float) -> tuple[int, Block] | None:
        """The next part, if it comes within `seconds`, and where it ends.

        None leaves it to the reader where `next_part` has moved on: few lines make no block.
        """
        until = time.monotonic() + seconds
        self._receive()
        while not self._come and not self._ended and (left := until - time.monotonic()) > 0:
            self._wait(left)
            self._receive()
        if not self._come:
            if self._ended or time.monotonic() - self._heard > PATIENCE:
                self.close()
            return None
        data = self._come.popleft()
        try:
            # What it read is what lies here only as long as the file is the same.
            about = self._log.stat()
            _, end = self._parts[0]
            if about.st_ino != self._inode or about.st_size < end:
                raise EOFError
            block = unpack(data) if data else None
        except (OSError, EOFError, ValueError, msgspec.MsgspecError):
            self.close()
            return None
        self._parts.popleft()
        return None if block is None else (end, block)

    def close(self) -> None:
        """End the process; nothing more comes."""
        self.over = True
        self._parts.clear()
        self._come.clear()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            )
            os.set_blocking(self._fd, False)
            self._send(os.fsencode(self._log.resolve()) + b"\n")
        except OSError:
            self.close()
            return
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE)
        except (OSError, AttributeError):  # not on macOS
            pass

    @property
    def _fd(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _send(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def _part_after(self, start: int) -> tuple[int, int] | None:
        """The next part from about `start` on, of whole lines; None where none is left."""
        with self._log.open("rb", buffering=0) as file:
            while start + PART <= self._size:
                end = _edge(file.fileno(), start + PART)
                begin = start if start == self._ordered_to else _edge(file.fileno(), start)
                if begin is not None and end is not None and begin < end <= self._size:
                    return begin, end
                start += PART  # a line so long is the reader's
        return None

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll(max(1, int(seconds * 1000)))

    def _receive(self) -> None:
        """Take what has come out of the pipe; never waits."""
        if self._process is None:
            return
        try:
            while not self._ended:
                if len(self._length) < LENGTH.size:
                    more = os.read(self._fd, LENGTH.size - len(self._length))
                    self._ended = not more
                    self._length += more
                    if len(self._length) == LENGTH.size:
                        self._data, self._filled = bytearray(*LENGTH.unpack(self._length)), 0
                elif self._filled < len(self._data):
                    count = os.readv(self._fd, [memoryview(self._data)[self._filled :]])
                    self._ended = not count
                    self._filled += count
                if len(self._length) == LENGTH.size and self._filled == len(self._data):
                    self._heard = time.monotonic()
                    if self._ready:
                        self._come.append(self._data)
                    self._ready = True
                    self._length, self._data, self._filled = bytearray(), bytearray(), 0
        except BlockingIOError:
            pass
        except (OSError, OverflowError, MemoryError):
            self._ended = True


def worth_it() -> bool:
    """Whether there is a processor for a second process."""
    try:
        return len(os.sched_getaffinity(0)) > 1
    except AttributeError:  # not on macOS
        return (os.cpu_count() or 1) > 1


def _edge(fd: int, at: int) -> int | None:
    """Where the first line after `at` begins; None where that is far."""
    for length in (_PROBE >> 4, _PROBE):
        newline = os.pread(fd, length, at).find(b"\n")
        if newline >= 0:
            return at + newline + 1
    return None
