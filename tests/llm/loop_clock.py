"""Deadlines without waiting for them: the clock of event loops, moved on by a test.

A real deadline that is short enough to wait for is one that a busy machine misses by itself.
"""

import asyncio
import contextlib
import time

import pytest


class LoopClock:
    """The clock of every event loop of this process while a test has it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        self._loops: set[asyncio.AbstractEventLoop] = set()

        def now(loop: asyncio.AbstractEventLoop) -> float:
            self._loops.add(loop)
            return time.monotonic() + self._ahead

        patch.setattr(asyncio.BaseEventLoop, "time", now)

    def move_on(self, seconds: float) -> None:
        """Have that many seconds pass now; from any thread."""
        self._ahead += seconds
        for loop in [*self._loops]:
            # It may wait in its selector for as long as nothing was due.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None)
