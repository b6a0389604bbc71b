"""`tuiwb runs`: list the project's runs, look at one, follow it, stop it, make it checkpoint."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb import jobs
from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    group,
    note,
    project_at,
    say,
    say_json,
    say_table,
)
from tuiwb.errors import EXIT_FINE, BadInput, JobFailed, TuiwbError
from tuiwb.jobs.events import Control, Metrics
from tuiwb.jobs.follow import Follower
from tuiwb.jobs.state import JobState
from tuiwb.project import Project
from tuiwb.text import ago, short_seconds

app = group("List, show, follow, stop the project's runs.", alone=True)
NameArgument = Annotated[str, typer.Argument(help="The run's name.", show_default=False)]
ANSWER_WITHIN = 120.0  # seconds: a step may take that long


@app.callback()
def runs(context: typer.Context, json: JsonOption = False, project: ProjectOption = None) -> None:
    """List the project's runs, oldest first; the commands below look at one."""
    context.obj = project
    if context.invoked_subcommand is None:
        _list(project_at(project), json)


@app.command("list")
def list_runs(
    context: typer.Context, json: JsonOption = False, project: ProjectOption = None
) -> None:
    """List every job of the project, oldest first."""
    _list(_project(context, project), json)


@app.command()
def show(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Where a run stands: state, step, latest metrics, alerts, artifacts."""
    folder = _folder(_project(context, project), name)
    state = jobs.status(folder)
    if json:
        say_json({**state.as_json(), "name": _name(folder), "folder": str(folder)})
        return
    for label, value in _facts(folder, state):
        say(f"{label:<12} {value}")


@app.command()
def follow(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Print a run's history and what it does until it ends; 4 when it failed or died."""
    from tuiwb.cli.follow import follow as watch

    raise typer.Exit(watch(_folder(_project(context, project), name), json=json))


@app.command()
def stop(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    wait: Annotated[bool, typer.Option(help="Wait until it has saved and ended.")] = False,
    project: ProjectOption = None,
) -> None:
    """Stop a run: it saves a checkpoint and the adapter, then ends as cancelled."""
    folder = _running(_project(context, project), name)
    jobs.send(folder, "stop")
    if wait:
        from tuiwb.cli.follow import follow as watch

        raise typer.Exit(watch(folder, json=json))
    _said(json, folder, "stop", f"told {_name(folder)} to stop: it saves its adapter first")


@app.command()
def checkpoint(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Make a run write a checkpoint at its next step, and say where; 4 when it can't."""
    folder = _running(_project(context, project), name)
    answer = ask(folder, "checkpoint")
    if not answer.ok:
        raise JobFailed(f"{_name(folder)} wrote no checkpoint: {answer.note}")
    _said(json, folder, "checkpoint", f"wrote {answer.note}", checkpoint=answer.note)


def ask(folder: Path, command: str, within: float = ANSWER_WITHIN) -> Control:
    """Send a command and wait for the worker's answer; JobFailed when the job ends without one."""
    follower = Follower(folder)
    follower.poll()
    sent = jobs.send(folder, command)
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        events = follower.poll()
        for event in events:
            if isinstance(event, Control) and event.id == sent.id:
                return event
        if not follower.state.running and not events:
            raise JobFailed(f"{_name(folder)} ended ({follower.state.state}) before it could")
        time.sleep(0.1)
    raise JobFailed(f"{_name(folder)} gave no answer within {short_seconds(within)}")


def _list(project: Project, json: bool) -> None:
    states = []
    for folder in project.job_folders():
        try:
            states.append((folder, jobs.status(folder)))
        except (TuiwbError, OSError) as error:
            note(f"passed over: {error}")
    if json:
        say_json([{**state.as_json(), "name": _name(folder)} for folder, state in states])
        return
    if not states:
        say(f"no runs in {project.runs} yet: tuiwb train CONFIG starts one")
        return
    rows = [
        (
            _name(folder),
            state.kind,
            state.state + (f" ({state.phase})" if state.running and state.phase else ""),
            f"{state.step}/{state.total_steps}" if state.total_steps else "-",
            _short(state.metrics.get("loss")),
            _short(state.metrics.get("eval_loss")),
            _lasted(state),
            ago(state.created),
        )
        for folder, state in states
    ]
    say_table(("name", "kind", "state", "step", "loss", "eval loss", "took", "created"), rows)


def _facts(folder: Path, state: JobState) -> list[tuple[str, str]]:
    facts = [
        ("run", f"{_name(folder)} ({state.kind})"),
        ("state", state.state + (f" ({state.phase})" if state.running and state.phase else "")),
    ]
    if state.message:
        facts.append(("", state.message))
    if state.total_steps:
        epoch = f", epoch {state.epoch:.2f}" if state.epoch is not None else ""
        facts.append(("step", f"{state.step} of {state.total_steps}{epoch}"))
    elif state.progress is not None:
        total = f" of {state.progress.total:,.0f}" if state.progress.total else ""
        facts.append(("done", f"{state.progress.done:,.0f}{total} {state.progress.unit}"))
    facts += [("took", _lasted(state)), ("created", ago(state.created))]
    if state.metrics:
        from tuiwb.cli.follow import metrics_line

        latest = Metrics(step=state.step, total_steps=state.total_steps, values=state.metrics)
        facts.append(("metrics", metrics_line(latest)))
    facts += [("alert", f"{a.severity}: {a.evidence}; {a.fix}") for a in state.alerts]
    for artifact in state.artifacts:
        gone = "" if (folder / artifact.path).exists() else "  (removed since)"
        facts.append((artifact.kind, artifact.path + gone))
    facts.append(("folder", str(folder)))
    return facts


def _project(context: typer.Context, project: Path | None) -> Project:
    above: Any = context.obj
    return project_at(project if project is not None else above)


def _folder(project: Project, name: str) -> Path:
    # A job inside a run (support-v1/compare) is named by its path.
    inner = project.runs / name
    parts = Path(name).parts
    if len(parts) == 2 and ".." not in parts and (inner / "job.yaml").is_file():
        return inner
    return project.run(name)


def _running(project: Project, name: str) -> Path:
    folder = _folder(project, name)
    state = jobs.status(folder)
    if not state.running:
        raise BadInput(f"{name} is not running: it has {_ended(state.state)}")
    return folder


def _ended(state: str) -> str:
    return {"cancelled": "been stopped"}.get(state, state)


def _said(json: bool, folder: Path, command: str, text: str, **more: str) -> None:
    if json:
        say_json({"name": _name(folder), "sent": command, **more})
    else:
        say(text)
    raise typer.Exit(EXIT_FINE)


def _name(folder: Path) -> str:
    from tuiwb.cli.follow import state_name

    return state_name(folder)


def _lasted(state: JobState) -> str:
    if state.started is None:
        return "-"
    return short_seconds((state.ended or time.time()) - state.started)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
