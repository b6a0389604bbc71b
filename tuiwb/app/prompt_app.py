"""What makes an app answer keys at once: short turns of its threads, garbage collected between
keys, the help prepared before it is asked for."""

import gc
import sys

from tuiwb.app.frame import FramedApp
from tuiwb.app.pace import calm_in

TURN = 0.001  # seconds after which a thread lets another run; Python's own 5 ms delay each key
PREPARE_AFTER = 1.5  # seconds after the first paint
TIDY_EVERY = 5.0
# A backstop, where keys come all the time: by the usual ones each key has its pause.
THRESHOLDS = (20_000, 20, 20)
WHOLE = 12  # of so many times, one goes over all objects


class PromptApp(FramedApp):
    """An app whose keys don't wait for what can be done before or after them."""

    def __init__(self) -> None:
        super().__init__()
        self._tidied = 0

    def on_mount(self) -> None:
        """Prepare, once the first paint is out."""
        sys.setswitchinterval(TURN)
        gc.set_threshold(*THRESHOLDS)
        self.set_timer(PREPARE_AFTER, self._prepare)
        self.set_interval(TIDY_EVERY, self._tidy)

    async def _prepare(self) -> None:
        from tuiwb.app.screens.help import prepare_help

        await prepare_help(self)
        spare_what_stays()

    def _tidy(self) -> None:
        if calm_in(self) == 0 and gc.isenabled():
            self._tidied += 1
            gc.collect(2 if self._tidied % WHOLE == 0 else 1)

    async def action_help(self) -> None:
        """Every key of the screen that is shown."""
        from tuiwb.app.screens.help import open_help

        await open_help(self)


def spare_what_stays() -> None:
    """Let the collector pass over what is loaded by now: a pass over all of it delays a key by more
    than all that the key does."""
    gc.freeze()
    gc.enable()
