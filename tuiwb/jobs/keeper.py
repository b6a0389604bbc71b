"""While a worker writes a long log, a short-lived process now and then leaves beside it what
readers derive from it: whoever attaches finds the curves read already.

Costs the worker the start of a process each time the log has grown by a quarter.
"""

import os
import subprocess
import sys
from pathlib import Path

GROWTH = 16 << 20  # bytes; a shorter log is read in a moment
ENDED = 2 << 20  # bytes; from here on a list of runs is spared the log of a run that ended
MODULE = "tuiwb.monitor.keep"  # by name: jobs know no domain


class Keeper:
    """`grew` is told the log's size as it grows, `ended` when the worker is done."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._next = size + max(GROWTH, size // 4)
        self._running: subprocess.Popen[bytes] | None = None

    def grew(self, size: int) -> None:
        """Start the process when it is time."""
        if size < self._next:
            return
        self._next = size + max(GROWTH, size // 4)
        if self._running is None or self._running.poll() is not None:
            self._running = self._start()

    def ended(self, size: int) -> None:
        """Start it for the last time; it goes on when the worker is gone."""
        if size >= ENDED:
            self._running = self._start()

    def _start(self) -> "subprocess.Popen[bytes] | None":
        try:
            # No GPU: the process must not cost any of its memory.
            return subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(self._folder.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            )
        except OSError:
            return None
