"""The contract every long task follows: a job folder that asks, reports and remembers.

In: a kind and a spec. Out: a folder with job.yaml (what was asked), process.json (who does it),
events.jsonl (what happened), control.jsonl (what we told it), worker.log and its artifacts.
The state is a pure fold over the events plus "is that process alive?".
"""

from tuiwb.jobs.control import send
from tuiwb.jobs.ending import stop_now
from tuiwb.jobs.folder import Job, create, fingerprint, load
from tuiwb.jobs.launch import launch
from tuiwb.jobs.standing import glance
from tuiwb.jobs.state import ENDED, JobState, status

__all__ = [
    "ENDED",
    "Job",
    "JobState",
    "create",
    "fingerprint",
    "glance",
    "launch",
    "load",
    "send",
    "status",
    "stop_now",
]
