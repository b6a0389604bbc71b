"""What is painted goes to the terminal at once, and what it doesn't take yet as soon as it does.

In: the driver's output. Textual hands each paint to a thread, which has to be woken and to wait for
the interpreter: on a busy machine that takes longer than the paint.
"""

import os
import threading
from contextlib import suppress
from typing import IO

from textual.drivers._writer_thread import WriterThread

MOST_WAITING = 1 << 20  # bytes that wait for a slow terminal; then the program waits


class TerminalWriter(WriterThread):
    """Writes without blocking, through a descriptor of its own; its thread takes what is left."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file)
        self._changed = threading.Condition()
        self._waiting = b""
        self._stopped = False
        # Of its own: O_NONBLOCK would hold for standard input as well.
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
        self._prompt = os.open(os.ttyname(file.fileno()), flags)

    def write(self, text: str) -> None:
        """Send text; returns at once while no more than `MOST_WAITING` waits for the terminal."""
        data = text.encode("utf-8", "replace")
        with self._changed:
            if self._stopped:
                return
            if not self._waiting:
                with suppress(OSError):
                    data = data[os.write(self._prompt, data) :]
            if data:
                self._waiting += data
                self._changed.notify_all()
                self._changed.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return len(self._waiting) <= MOST_WAITING or self._stopped

    def run(self) -> None:
        """Write what waits, as the terminal takes it, until `stop()`."""
        out = self._file.fileno()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                part = self._waiting[:4096]
                if not part:
                    break
            try:
                count = os.write(out, part)
            except OSError:  # the terminal is gone
                with self._changed:
                    self._stopped, self._waiting = True, b""
                    self._changed.notify_all()
                break
            with self._changed:
                self._waiting = self._waiting[count:]
                self._changed.notify_all()

    def stop(self) -> None:
        """Write all that waits, then end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self.join()
        os.close(self._prompt)


def writer(file: IO[str]) -> WriterThread:
    """A writer for the driver's file; Textual's own where that is no terminal to be opened."""
    try:
        return TerminalWriter(file)
    except (OSError, ValueError):
        return WriterThread(file)


def write_at_once() -> None:
    """Let the terminal driver use this writer."""
    try:
        from textual.drivers import linux_driver
    except ImportError:
        return
    vars(linux_driver)["WriterThread"] = writer
