"""The hardware, sampled into the event log while a worker lives."""

import os
import threading

from tuiwb.jobs.run import JobContext
from tuiwb.monitor.device import sample


def watch_device(context: JobContext, every: float = 2.0) -> threading.Event:
    """Sample the hardware into the event log from a thread until the returned event is set."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                context.emit(sample(os.getpid(), context.folder))
            except Exception as error:
                context.log(f"the hardware is not watched any more: {error}", "warn")
                return
            over.wait(every)

    threading.Thread(target=look, name="device", daemon=True).start()
    return over
