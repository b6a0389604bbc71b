"""Why a job's process is gone, from what it and the machine left behind; and the way on."""

from pathlib import Path

import msgspec

from tuiwb.jobs.state import JobState


class Death(msgspec.Struct, kw_only=True):
    """How a job ended that said nothing itself.

    `sentence` fits a line: what, why, and the way on. `cause` is one of "out_of_memory",
    "gpu", "killed", "crashed", "exited", "restarted", "stopped", "elsewhere", "unknown". `t` is when
    (unix seconds), `evidence` holds lines to show in a panel, `way_on` what to do now, `resume`
    the checkpoint's path below the job folder where the run can be resumed from.
    """

    cause: str
    sentence: str
    t: float | None = None
    why: str = ""
    evidence: list[str] = []
    way_on: str = ""
    resume: str | None = None


def why(folder: Path, state: JobState) -> Death:
    """What ended the job in `folder`, whose process is gone; reads files only."""
    raise NotImplementedError
