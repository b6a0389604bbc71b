"""What a real terminal does that a library does not expect.

A tmux reattach can deliver mouse reports that are not UTF-8, and a driver that decodes strictly
then ends the program; a native library writes to file descriptor 2 and tears the screen.
"""

import codecs
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App


def tolerate_any_input() -> None:
    """Make the terminal driver replace bytes that are not UTF-8 instead of dying on them."""
    try:
        from textual.drivers import linux_driver
    except ImportError:
        return

    def lenient(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
        return lambda: codecs.getincrementaldecoder(encoding)(errors="replace")

    vars(linux_driver)["getincrementaldecoder"] = lenient


# Out of half a sequence, no synchronised update, no mouse, focus or paste reports, lines wrapped,
# the keyboard's own protocol, no colours, the main screen, the cursor.
LEAVE = b"".join(
    b"\x1b" + code
    for code in (
        b"[?2026l",
        *(b"[?%dl" % mode for mode in (1000, 1003, 1015, 1006, 1016, 1004, 2004, 2048)),
        *(b"[?7h", b"[<u", b"[0m", b"[?1049l", b"[?25h"),
    )
)
CANCEL = b"\x18"


def end_with_the_terminal() -> None:
    """Let SIGHUP, also where we were started with hangups ignored, and SIGTERM end the program,
    the terminal as it was before.

    Without its terminal the input loop would spin for ever; jobs are processes of their own.
    """
    import termios

    try:
        before = termios.tcgetattr(sys.stdin.fileno())
    except (OSError, termios.error, ValueError):
        before = None

    def leave(number: int, _frame: object) -> None:
        # Not through the program: it may be waiting for a terminal that reads no more.
        with suppress(OSError, termios.error):
            tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            os.write(tty, CANCEL + LEAVE)
            if before is not None:
                termios.tcsetattr(tty, termios.TCSANOW, before)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, leave)


@contextmanager
def stderr_to(path: Path) -> Iterator[None]:
    """Send file descriptor 2 to a file while the screen is ours; sys.stderr is left alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(2)
    terminal = sys.__stderr__
    vars(sys)["__stderr__"] = os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="replace")
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        vars(sys)["__stderr__"] = terminal


def attention(app: "App[Any]", title: str, body: str) -> None:
    """Ring the bell and ask the terminal for a notification, through the driver that owns it."""
    from tuiwb.monitor.notify import BELL, notification

    driver = app._driver
    if driver is None or app.is_headless:
        return
    tmux = bool(os.environ.get("TMUX"))
    # A terminal shows the one of the two that it knows and passes over the other.
    for kind in ("osc9", "osc777"):
        driver.write(notification(title, body, tmux=tmux, kind=kind))
    driver.write(BELL)
    driver.flush()
