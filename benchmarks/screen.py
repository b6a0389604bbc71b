"""The Data screen in a real terminal: from a key to the row it asks for; the memory it takes."""

import asyncio
import fcntl
import os
import pty
import random
import re
import select
import shutil
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

KEYS = {"pageup": b"\x1b[5~", "pagedown": b"\x1b[6~", "home": b"\x1b[H", "end": b"\x1b[F"}
QUIET = 0.15
ROUNDS = 12
_ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=:]*[A-Za-z]")


class Terminal:
    """A program in a terminal of 120x36; what it painted is read as it comes."""

    def __init__(self, command: list[str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execvp(command[0], command)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self.painted = b""

    def press(self, keys: bytes) -> float:
        """Send keys; everything painted before is forgotten. Returns when they were sent."""
        self.painted = b""
        sent = time.perf_counter()
        os.write(self._fd, keys)
        return sent

    def until(self, marker: bytes, seconds: float = 60) -> float:
        """When the piece of output came in which `marker` was first complete, its colours aside."""
        end = time.perf_counter() + seconds
        while True:
            if re.search(rb"(?<!\d)" + re.escape(marker) + rb"(?!\d)", self._plain()):
                return self._last
            if time.perf_counter() > end:
                sys.exit(f"{marker!r} was not painted in {seconds} s: {self._plain()[-1500:]!r}")
            self._read(0.5)

    def settle(self) -> float:
        """Wait until nothing was painted for a while; when the last piece came."""
        while self._read(QUIET):
            pass
        return self._last

    def _plain(self) -> bytes:
        return _ESCAPES.sub(b"", self.painted)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        self.painted += os.read(self._fd, 1 << 20)
        self._last = time.perf_counter()
        return True

    _last = 0.0

    def numbers(self) -> list[int]:
        """Every N of a "question N:" that was painted."""
        return [int(n) for n in re.findall(rb"question (\d+):", self._plain())]

    def close(self) -> None:
        """End the program."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


def scrolling(project: Path, rows: int) -> dict[str, float]:
    """Milliseconds from a key to the row it leads to, and to the last byte painted; megabytes.

    `project` has a dataset of `rows` rows, whose row n says "question n:", and one before it whose
    row 0 says "small 0:".
    """
    program = str(Path(sys.executable).with_name("tuiwb"))
    terminal = Terminal([program, str(project)])
    try:
        terminal.until(b"Look at the data")
        terminal.settle()
        terminal.press(b"2")
        terminal.until(b"small 0:")
        terminal.settle()
        # Nothing that is known of the file from before helps.
        shutil.rmtree(project / ".tuiwb" / "index", ignore_errors=True)
        start = terminal.press(b"]")
        opened = terminal.until(b"question 0:") - start
        terminal.until(f"{rows:,}".encode())
        whole = time.perf_counter() - start
        terminal.settle()
        terminal.press(KEYS["pagedown"])
        terminal.settle()
        page = max(terminal.numbers())
        terminal.press(KEYS["home"])
        terminal.settle()
        found, last = [], []
        for keys, row in walk(rows, page):
            if keys.startswith(b"g"):
                terminal.press(keys[:1])
                terminal.settle()
                terminal.press(keys[1:-1])
                terminal.settle()
                keys = keys[-1:]
            start = terminal.press(keys)
            found.append(terminal.until(f"question {row}:".encode()) - start)
            last.append(terminal.settle() - start)
        return {
            "keys": len(found),
            "p50, ms": statistics.median(found) * 1000,
            "p95, ms": percentile(found, 95) * 1000,
            "last byte p95, ms": percentile(last, 95) * 1000,
            "first rows, ms": opened * 1000,
            "all rows, ms": whole * 1000,
            **memory(terminal.pid),
        }
    finally:
        terminal.close()


def walk(rows: int, page: int, seed: int = 5) -> Iterator[tuple[bytes, int]]:
    """Keys, and the row the cursor is on after each: over the whole dataset, by every key."""
    draw = random.Random(seed)
    at = 0
    for _ in range(ROUNDS):
        at = rows - 1
        yield KEYS["end"], at
        for _ in range(3):
            at = max(0, at - page)
            yield KEYS["pageup"], at
        at = draw.randrange(page, rows - 4 * page)
        yield b"g%d\r" % at, at
        for _ in range(3):
            at = min(rows - 1, at + page)
            yield KEYS["pagedown"], at
        at = 0
        yield KEYS["home"], at


def percentile(values: list[float], share: int) -> float:
    """The value that `share` percent of `values` do not exceed."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def memory(pid: int) -> dict[str, float]:
    """The screen's peak resident memory and that of its whole process tree now, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    own = psutil.Process(pid)
    tree = sum(p.memory_info().rss for p in (own, *own.children(recursive=True)))
    return {"peak memory, MB": peak, "tree's memory, MB": tree / 2**20}


def paint_ratio() -> float:
    """How much longer a table of 10M rows takes to paint a screen than one of 10."""
    from textual.app import App, ComposeResult

    from tuiwb.app.widgets.virtual_table import Column, VirtualTable

    columns = (Column("row", 9, right=True), Column("text"))

    def cells(position: int) -> tuple[str, str]:
        return str(position), f"what row {position} says to whoever reads it"

    class Bare(App[None]):
        def compose(self) -> ComposeResult:
            yield VirtualTable(columns)

    async def paint() -> float:
        app = Bare()
        async with app.run_test(size=(120, 36)) as pilot:
            table = app.query_one(VirtualTable)
            times: dict[int, list[float]] = {10: [], 10_000_000: []}
            for _ in range(30):
                for count, taken in times.items():
                    taken.append(await shown(table, count, cells, pilot.pause))
            return statistics.median(times[10_000_000]) / statistics.median(times[10])

    async def shown(
        table: "VirtualTable", count: int, cells: Callable[[int], tuple[str, str]], pause: object
    ) -> float:
        start = time.perf_counter()
        table.show(count, cells, lambda _position: False, cursor=count - 1)
        for y in range(11):
            table.render_line(y)
        taken = time.perf_counter() - start
        await pause()  # type: ignore[operator]
        return taken

    return asyncio.run(paint())
