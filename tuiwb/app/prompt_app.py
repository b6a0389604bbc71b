"""What makes an app answer keys at once: short turns of its threads, garbage collected between
keys, the help prepared before it is asked for."""

import gc
import sys
import time
from typing import TYPE_CHECKING

from rich.cells import cached_cell_len

from tuiwb.app.dispatch import remember_handlers
from tuiwb.app.frame import FramedApp
from tuiwb.app.pace import calm_in

if TYPE_CHECKING:
    import ctypes

    from textual.command import Provider

TURN = 0.001  # seconds after which a thread lets another run; Python's own 5 ms delay each key
PREPARE_AFTER = 1.5  # seconds after the first paint
TIDY_EVERY = 1.0  # seconds
# A backstop, where keys come all the time: by the usual ones each key has its pause.
THRESHOLDS = (20_000, 20, 20)
WORTH = 2000  # new objects from which on it is worth a look at them
ALL_BUT_OLD = 5  # of so many times, one goes over more objects
WHOLE_EVERY = 60.0  # seconds between two looks at all of them, where any are new
ARENAS = 3  # heaps of the C library, of which each thread would have its own
M_ARENA_MAX = -8  # malloc.h


def _key_commands() -> "type[Provider]":
    from tuiwb.app.key_commands import KeyCommands

    return KeyCommands


class PromptApp(FramedApp):
    """An app whose keys don't wait for what can be done before or after them."""

    COMMANDS = {_key_commands}

    def __init__(self) -> None:
        super().__init__()
        remember_handlers()
        self._tidied = 0
        self._whole_at = time.monotonic()  # when all objects were looked at
        self._libc: ctypes.CDLL | None = None

    def on_mount(self) -> None:
        """Prepare, once the first paint is out."""
        sys.setswitchinterval(TURN)
        gc.set_threshold(*THRESHOLDS)
        self.set_timer(PREPARE_AFTER, self._prepare)
        self.set_interval(TIDY_EVERY, self._tidy)

    async def _prepare(self) -> None:
        from tuiwb.app.screens.help import prepare_help

        await prepare_help(self)
        self._libc = _c_library()
        spare_what_stays()

    def _tidy(self) -> None:
        if calm_in(self) > 0 or not gc.isenabled() or gc.get_count()[0] < WORTH:
            return
        now = time.monotonic()
        if now < self._whole_at + WHOLE_EVERY:
            self._tidied += 1
            gc.collect(self._tidied % ALL_BUT_OLD == 0)
            return
        self._whole_at = now
        gc.collect()
        # Rich keeps the widths of 4096 texts; most were painted once and won't come again.
        cached_cell_len.cache_clear()
        if self._libc is not None:
            self._libc.malloc_trim(0)

    async def action_help(self) -> None:
        """Every key of the screen that is shown."""
        from tuiwb.app.screens.help import open_help

        await open_help(self)


def _c_library() -> "ctypes.CDLL | None":
    """glibc, told to keep few heaps; None elsewhere."""
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, ARENAS)
        return libc if hasattr(libc, "malloc_trim") else None
    except (OSError, AttributeError):
        return None


def spare_what_stays() -> None:
    """Let the collector pass over what is loaded by now: a pass over all of it delays a key by more
    than all that the key does."""
    gc.freeze()
    gc.enable()
