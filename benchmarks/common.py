"""What the benchmarks share: a PTY to run a program in, medians, the closing JSON line."""

import fcntl
import json
import os
import platform
import pty
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Sequence
from typing import Any

import psutil


def machine() -> str:
    """The machine in words: processor, cores, memory, Python."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        pass
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def finish(
    name: str,
    results: dict[str, Any],
    targets: dict[str, tuple[float, float]],
    at_least: dict[str, tuple[float, float]] | None = None,
) -> int:
    """Print the closing JSON; targets are (value, at most). Returns the exit code.

    `at_least` holds targets a value must reach: (value, at least).
    """
    checked = {
        key: {"value": round(value, 4), "target": most, "ok": value <= most}
        for key, (value, most) in targets.items()
    }
    for key, (value, least) in (at_least or {}).items():
        checked[key] = {
            "value": round(value, 4),
            "target": least,
            "at_least": True,
            "ok": value >= least,
        }
    print(json.dumps({"name": name, "machine": machine(), "results": results, "targets": checked}))
    return 0 if all(entry["ok"] for entry in checked.values()) else 1


def first_paint(command: Sequence[str], marker: bytes, seconds: float = 60) -> float:
    """Seconds from the spawn of `command` in an 80x24 terminal until it has painted `marker`."""
    start = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execvp(command[0], list(command))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    try:
        while marker not in seen:
            if time.perf_counter() - start > seconds:
                sys.exit(f"{command} did not paint {marker!r} within {seconds} s: {seen[-300:]!r}")
            if select.select([fd], [], [], 0.5)[0]:
                seen += os.read(fd, 65536)
        return time.perf_counter() - start
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


def median(values: Sequence[float]) -> float:
    """The median, rounded to tenths of a millisecond."""
    return round(statistics.median(values), 4)
