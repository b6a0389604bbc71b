"""One at a time with a job folder: whoever changes what others might change at once takes turns."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for the folder's lock and hold it; it goes with its process.

    It is on the folder itself, so that no lock file is left. Not to be taken twice by one caller.
    """
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
