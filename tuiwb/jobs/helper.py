"""A second process that decodes parts of a long log ahead of the one that reads it.

What it sends is only a quicker way to the same blocks: where it fails, or falls silent, the reader
decodes the lines itself.
"""

import os
import queue
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import IO

import msgspec

from tuiwb.jobs.blocks import Block
from tuiwb.jobs.decode_ahead import LENGTH, Order
from tuiwb.jobs.packed_block import unpack

MODULE = "tuiwb.jobs.decode_ahead"
FIRST = 16 << 20  # bytes that the reader decodes while the other process starts
PART = 2 << 20  # bytes of a part
OF_FIVE = (1, 3)  # which of five parts the other process does; the fold is left to the reader
AHEAD = 16  # parts that wait here at most
PATIENCE = 5.0  # seconds of silence after which it is given up
_PROBE = 64 << 10


class Helper:
    """Parts of the log at `log` after `offset`. `next_part` is the start of the next that comes."""

    def __init__(self, log: Path, offset: int, inode: int, size: int) -> None:
        self._log, self._inode = log, inode
        self._parts = parts_of(log, offset + FIRST, size)
        self._process: subprocess.Popen[bytes] | None = None
        self._come: queue.Queue[bytearray] = queue.Queue(AHEAD)
        self._heard = time.monotonic()
        if self._parts:
            self._start()

    @property
    def next_part(self) -> int | None:
        """Where the next part begins; None when no more comes."""
        return self._parts[0][0] if self._parts else None

    def take(self, seconds: float) -> tuple[int, Block] | None:
        """The next part, if it comes within `seconds`, and where it ends."""
        try:
            data = self._come.get(timeout=max(0.001, seconds))
        except queue.Empty:
            if time.monotonic() - self._heard > PATIENCE:
                self.close()
            return None
        self._heard = time.monotonic()
        try:
            # What it read is what lies here only as long as the file is the same.
            about = self._log.stat()
            _, end = self._parts[0]
            if about.st_ino != self._inode or about.st_size < end or not data:
                raise EOFError
            block = unpack(data)
        except (OSError, EOFError, ValueError, msgspec.MsgspecError):
            self.close()
            return None
        self._parts.pop(0)
        if not self._parts:
            self.close()
        return end, block

    def close(self) -> None:
        """End the process; nothing more comes."""
        self._parts = []
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            while not self._come.empty():  # so that its reader is not held up
                self._come.get_nowait()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            order = Order(str(self._log.resolve()), self._inode, self._parts)
            with self._process.stdin as stdin:
                stdin.write(msgspec.json.encode(order))
            threading.Thread(
                target=_receive, args=(self._process.stdout, self._come), daemon=True
            ).start()
        except OSError:
            self.close()


def worth_it() -> bool:
    """Whether there is a processor for a second process."""
    try:
        return len(os.sched_getaffinity(0)) > 1
    except AttributeError:  # not on macOS
        return (os.cpu_count() or 1) > 1


def parts_of(log: Path, start: int, size: int) -> list[tuple[int, int]]:
    """The parts to decode elsewhere: (start, end) in bytes, each of whole lines."""
    edges: list[int] = []
    with log.open("rb", buffering=0) as file:
        for at in range(start, size, PART):
            file.seek(at)
            newline = file.read(_PROBE).find(b"\n")
            edges.append(at + newline + 1 if newline >= 0 else -1)
    pairs = list(pairwise(edges))
    return [
        (a, b)
        for n, (a, b) in enumerate(pairs)
        if n % 5 in OF_FIVE and 0 <= a < b and b - a < 2 * PART
    ]


def _receive(pipe: IO[bytes], come: "queue.Queue[bytearray]") -> None:
    """Put the parts into the queue as they come; an empty one when no more comes."""
    with pipe:
        try:
            while True:
                (length,) = LENGTH.unpack(_exactly(pipe.fileno(), LENGTH.size))
                come.put(_exactly(pipe.fileno(), length))
        except (OSError, EOFError):
            come.put(bytearray())


def _exactly(fd: int, length: int) -> bytearray:
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = os.readv(fd, [rest])
        if not count:
            raise EOFError
        rest = rest[count:]
    return data
