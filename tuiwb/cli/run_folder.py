"""Which run a `tuiwb runs` command means, and how its worker is asked and answers."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb import jobs
from tuiwb.cli.common import project_at
from tuiwb.errors import BadInput, JobFailed
from tuiwb.jobs.events import Control
from tuiwb.jobs.follow import Follower
from tuiwb.monitor.runs import run_name
from tuiwb.project import Project
from tuiwb.text import short_seconds

NameArgument = Annotated[str, typer.Argument(help="The run's name.", show_default=False)]
NamesArgument = Annotated[list[str], typer.Argument(help="The runs' names.", show_default=False)]
ANSWER_WITHIN = 120.0  # seconds: a step may take that long


def project_of(context: typer.Context, project: Path | None) -> Project:
    """The project of a command: its own option, else the one of `tuiwb runs`."""
    above: Any = context.obj
    return project_at(project if project is not None else above)


def folder_of(project: Project, name: str) -> Path:
    """The folder of a run; a job inside a run (support-v1/compare) is named by its path."""
    inner = project.runs / name
    parts = Path(name).parts
    inside = len(parts) == 2 and not any(part.startswith(".") for part in parts)
    if inside and (inner / "job.yaml").is_file():
        return inner
    return project.run(name)


def running(project: Project, name: str) -> Path:
    """The folder of a run that hasn't ended; BadInput for one that has."""
    folder = folder_of(project, name)
    state = jobs.status(folder)
    if not state.running:
        raise BadInput(f"{name} is not running: it has {state.word}")
    return folder


def ask(folder: Path, command: str, within: float = ANSWER_WITHIN, **args: Any) -> Control:
    """Send a command and wait for the worker's answer; JobFailed when the job ends without one."""
    follower = Follower(folder)
    while follower.poll():
        pass
    sent = jobs.send(folder, command, **args)
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        events = follower.poll()
        for event in events:
            if isinstance(event, Control) and event.id == sent.id:
                return event
        if not follower.state.running and not events:
            raise JobFailed(f"{run_name(folder)} ended ({follower.state.word}) before it could")
        if not events:
            time.sleep(0.1)
    raise JobFailed(f"{run_name(folder)} gave no answer within {short_seconds(within)}")
