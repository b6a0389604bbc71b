"""The worker's end of the event log: what it does must not wait for a slow disk.

In: events from the worker's threads. Out: lines in events.jsonl, in order. As long as the disk is
quick each event is written at once; when a write took long (a network disk, a busy one) a thread
writes the rest and many lines go in one write. A durable event (state, artifact) is always on the
disk, with all before it, when `emit` returns.
"""

import errno
import os
import threading
import time
from pathlib import Path

from tuiwb.jobs.events import VERSION, AnyEvent, Device, EventWriter, Progress, encode
from tuiwb.jobs.keeper import Keeper

SLOW = 0.02  # seconds; a write that takes longer goes to the thread from then on
MANY = 10_000  # lines that wait for the disk; from here on samples and progress don't join them
BATCH = 1 << 20  # bytes in one write at most, and one line at least
RETRY_EVERY = 0.5  # seconds between two tries while the disk is full
LAST_PATIENCE = 600.0  # seconds in which a worker that has ended waits for room on a full disk


class WorkerLog(EventWriter):
    """An EventWriter that hands over to a thread while the disk is slow, and is patient at the end.

    Nothing is lost while the process lives; a process killed on a slow disk loses at most what its
    thread had not written, never anything from before the last durable event.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._keeper = Keeper(path.parent, self._size)
        self._some = threading.Condition(threading.Lock())  # guards _waiting, _slow, _over
        self._writing = threading.Lock()  # held during I/O; _some is never waited for inside it
        self._slow = False
        self._over = False
        self._thread: threading.Thread | None = None

    def emit(self, event: AnyEvent) -> None:
        """Stamp the event with the time if it has none, and append it."""
        event.v = event.v or VERSION
        with self._some:
            # Stamped inside: two threads' events stand in the order of their times.
            event.t = event.t or time.time()
            if len(self._waiting) >= MANY and isinstance(event, Device | Progress):
                return  # the next one says as much; metrics are never left out
            self._waiting.append(encode(event))
            if self._slow and not event.durable:
                self._some.notify()
                return
        self._write_all(event.durable)

    def close(self, patience: float = LAST_PATIENCE) -> None:
        """Write what still waits and let go of the file; on a full disk try for `patience` s."""
        deadline = time.monotonic() + patience
        self._write_all(durable=True)
        while self._waiting and time.monotonic() < deadline:
            time.sleep(RETRY_EVERY)
            self._write_all(durable=True)
        with self._some:
            self._over = True
            self._some.notify()
        if self._thread is not None:
            self._thread.join()
        os.close(self._fd)
        self._keeper.ended(self._size)

    def _write_all(self, durable: bool) -> None:
        with self._writing:
            began = time.monotonic()
            while self._write_batch():
                pass
            slow = time.monotonic() - began > SLOW
            if durable:
                try:
                    os.fsync(self._fd)
                except OSError:
                    pass  # the lines stand in the kernel's memory; the next durable event tries
        if slow:
            self._hand_over()

    def _write_batch(self) -> bool:
        """Write some waiting lines, whole or not at all; whether more might be written now."""
        with self._some:
            lines: list[bytes] = []
            size = 0
            for line in self._waiting:
                if lines and size + len(line) > BATCH:
                    break
                lines.append(line)
                size += len(line)
        if not lines:
            return False
        try:
            written = os.write(self._fd, b"".join(lines))
            if written != size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                pass
            return False
        self._size += size
        self._keeper.grew(self._size)
        with self._some:
            del self._waiting[: len(lines)]
        return True

    def _hand_over(self) -> None:
        with self._some:
            self._slow = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="event log", daemon=True)
                self._thread.start()

    def _go_on(self) -> None:
        """The thread: write what comes, until a write is quick again or the log is closed."""
        while True:
            with self._some:
                while not self._waiting and not self._over:
                    self._some.wait()
                if self._over:
                    return
            began = time.monotonic()
            with self._writing:
                wrote = self._write_batch()
            quick = wrote and time.monotonic() - began < SLOW
            with self._some:
                if quick and not self._waiting:
                    self._slow = False
                elif not wrote and self._waiting:
                    self._some.wait(RETRY_EVERY)
