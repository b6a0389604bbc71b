"""A real terminal for the real program: a PTY, a screen kept by pyte, keys as bytes."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

LIMIT = 240.0  # seconds; a start takes 20 of them where many others want the processor
QUIET = 2.5  # seconds without a change: the program looks at everything at least each second
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "down": "\x1b[B",
    "up": "\x1b[A",
    "tab": "\t",
    "f1": "\x1bOP",
}


class Terminal:
    """The program in a PTY of `columns` x `rows`; `screen` is what a person would see."""

    def __init__(
        self,
        arguments: list[str],
        columns: int,
        rows: int,
        hangup_ignored: bool = False,
        environment: dict[str, str] | None = None,
        program: list[str] | None = None,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.bytes_seen = 0
        self.raw = b""
        self._reading = threading.Event()
        self._reading.set()
        self._reaped = False
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LINES="", COLUMNS="")
            os.environ.pop("LINES"), os.environ.pop("COLUMNS")
            os.environ.update(environment or {})
            signal.signal(signal.SIGHUP, signal.SIG_IGN if hangup_ignored else signal.SIG_DFL)
            command = program or [str(Path(sys.executable).with_name("tuiwb")), *arguments]
            os.execvp(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while self._open:
            try:
                if self._reading.wait(0.1) and select.select([self.fd], [], [], 0.1)[0]:
                    data = os.read(self.fd, 65536)
                    with self._lock:
                        self.bytes_seen += len(data)
                        self.raw = (self.raw + data)[-(1 << 16) :]
                        self._stream.feed(data)
            except (OSError, ValueError):
                return

    @property
    def text(self) -> str:
        """The screen as lines."""
        with self._lock:
            return "\n".join(self._screen.display)

    @property
    def colours(self) -> set[str]:
        """Those of all characters: hex digits or names."""
        with self._lock:
            return {c.fg for row in self._screen.buffer.values() for c in row.values()}

    def resize(self, columns: int, rows: int) -> None:
        """What dragging the corner of the window does."""
        with self._lock:
            self._screen.resize(rows, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def stop_reading(self) -> None:
        """Be a terminal that is slow, or a connection that hangs."""
        self._reading.clear()

    def go_on_reading(self) -> None:
        """Take what waited."""
        self._reading.set()

    def press(self, *keys: str) -> None:
        """Type: names of keys, `^x` for ctrl, or plain text."""
        for key in keys:
            plain = KEYS.get(key, chr(ord(key[1]) - 96) if key[:1] == "^" and key[1:] else key)
            os.write(self.fd, plain.encode())

    def write(self, data: bytes) -> None:
        """Send raw bytes, as a terminal might."""
        os.write(self.fd, data)

    def wait_for(self, *words: str, seconds: float = LIMIT) -> str:
        """Wait until all words are on the screen; the screen. A program that has ended shows no
        more than it did."""

        def shown() -> bool:
            over = self.ended()
            if over:
                self._reader.join(5)  # what it wrote last
            if not (there := all(w in self.text for w in words)) and over:
                pytest.fail(f"it ended before {words} came; the screen:\n{self.text}")
            return there

        wait_until(shown, seconds, lambda: f"{words} never came; the screen:\n{self.text}")
        return self.text

    def kill(self) -> None:
        """SIGKILL to the program, as the kernel would."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
        self._end()

    def hang_up(self) -> None:
        """Close our end of the PTY: what losing SSH does."""
        self._let_go()
        wait_until(self.ended, LIMIT, lambda: "the program outlived its terminal")

    def ended(self) -> bool:
        """Whether the program has ended by itself."""
        if not self._reaped:
            self._reaped = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        return self._reaped

    def _let_go(self) -> None:
        if self._open:
            self._open = False
            self._reader.join()  # or it would read another's terminal under the same number
            os.close(self.fd)

    def _end(self) -> None:
        self._let_go()
        if not self._reaped:
            os.waitpid(self.pid, 0)
            self._reaped = True

    def close(self) -> None:
        """End the program if it still runs."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
        self._end()


def wait_until(
    condition: Callable[[], object], seconds: float, otherwise: Callable[[], str]
) -> None:
    """Poll a condition; fails with a sentence when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(otherwise())
        select.select([], [], [], 0.05)


@pytest.fixture
def terminals() -> Iterator[Callable[..., Terminal]]:
    """Open terminals; all are closed at the end."""
    opened: list[Terminal] = []

    def open_one(
        *arguments: str,
        columns: int = 120,
        rows: int = 36,
        hangup_ignored: bool = False,
        environment: dict[str, str] | None = None,
        program: list[str] | None = None,
    ) -> Terminal:
        opened.append(Terminal([*arguments], columns, rows, hangup_ignored, environment, program))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()
