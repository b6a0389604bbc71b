"""End a job at once, whatever its worker is doing; what it wrote stays."""

from pathlib import Path

from tuiwb.jobs.state import JobState


def stop_now(folder: Path, *, patience: float = 5.0) -> JobState:
    """Ask the worker to end without saving; after `patience` seconds SIGTERM, then SIGKILL.

    Signals go to that very process and to the processes it started. Returns the state afterwards:
    `cancelled`, with a sentence. BadInput when the job doesn't run or runs on another host.
    """
    raise NotImplementedError
