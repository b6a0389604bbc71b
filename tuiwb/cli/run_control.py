"""`tuiwb runs stop|checkpoint|evaluate|pause|resume|set`: what a worker can be told."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb import jobs
from tuiwb.cli.common import JsonOption, ProjectOption, say, say_json, there
from tuiwb.cli.run_folder import NameArgument, ask, folder_of, project_of, running
from tuiwb.errors import EXIT_FINE, BadInput, JobFailed
from tuiwb.jobs.events import spell
from tuiwb.monitor.runs import run_name

EVALUATED_WITHIN = 6 * 3600.0  # seconds: a held-out set may be large


def stop(
    context: typer.Context,
    name: NameArgument,
    now: Annotated[
        bool, typer.Option("--now", help="End at once without saving; a checkpoint stays.")
    ] = False,
    json: JsonOption = False,
    wait: Annotated[bool, typer.Option(help="Wait until it has saved and ended.")] = False,
    project: ProjectOption = None,
) -> None:
    """Stop a run: it saves a checkpoint and the adapter, then ends as stopped."""
    folder = running(project_of(context, project), name)
    if now:
        state = jobs.stop_now(folder)
        _said(json, folder, "stop", f"{name} has ended: {state.message}", state=state.state)
    queued = jobs.status(folder).state == "queued"
    if wait:
        from tuiwb.cli.follow import follow
        from tuiwb.jobs.follow import Follower

        follower = Follower(folder)
        while follower.poll():
            pass
        jobs.send(folder, "stop")
        raise typer.Exit(follow(folder, json=json, follower=follower))
    jobs.send(folder, "stop")
    does = "it leaves the queue" if queued else "it saves its adapter first"
    _said(json, folder, "stop", f"told {run_name(folder)} to stop: {does}")


def checkpoint(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Make a run write a checkpoint at its next step, and say where; 4 when it can't."""
    folder = running(project_of(context, project), name)
    answer = ask(folder, "checkpoint")
    if not answer.ok:
        raise JobFailed(f"{run_name(folder)} wrote no checkpoint: {answer.note}")
    _said(json, folder, "checkpoint", f"wrote {answer.note}", checkpoint=answer.note)


def evaluate(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Evaluate on the held-out set after this step, and print the losses; 4 when it can't."""
    folder = running(project_of(context, project), name)
    answer = ask(folder, "evaluate", EVALUATED_WITHIN)
    if not answer.ok:
        raise JobFailed(f"{run_name(folder)} did not evaluate: {answer.note}")
    held_out = {k: v for k, v in jobs.status(folder).metrics.items() if k.startswith("eval_")}
    loss = held_out.get("eval_loss")
    words = answer.note + (f": held-out loss {loss:.4g}" if loss is not None else "")
    plain = {k: v if math.isfinite(v) else spell(v) for k, v in held_out.items()}
    _said(json, folder, "evaluate", words, note=answer.note, metrics=plain)


def pause(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Let a run wait after its next step; it keeps its memory until it is resumed or stopped."""
    folder = running(project_of(context, project), name)
    answer = ask(folder, "pause")
    if not answer.ok:
        raise JobFailed(f"{run_name(folder)} did not pause: {answer.note}")
    words = f"{answer.note}: tuiwb runs resume {run_name(folder)}{there(folder)} lets it go on"
    _said(json, folder, "pause", words, note=answer.note)


def resume(
    context: typer.Context,
    name: NameArgument,
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait for a GPU with enough free memory first.")
    ] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Let a paused run go on; one that ended too early goes on from its last checkpoint."""
    home = project_of(context, project)
    folder = folder_of(home, name)
    state = jobs.status(folder)
    if not state.running:
        from tuiwb.train.start import resume as go_on

        checkpoint = go_on(folder, python=home.train_python, queue=queue)
        does = "waits for its turn to go on" if queue else "goes on"
        words = f"{run_name(folder)} {does} from {checkpoint.name}"
        _said(json, folder, "resume", words, checkpoint=checkpoint.name)
    if state.phase != "paused":
        raise BadInput(f"{name} is {state.word}, not paused: there is nothing to resume")
    answer = ask(folder, "resume")
    if not answer.ok:
        raise JobFailed(f"{run_name(folder)} did not go on: {answer.note}")
    _said(json, folder, "resume", answer.note, note=answer.note)


def set_in_flight(
    context: typer.Context,
    name: NameArgument,
    learning_rate: Annotated[
        float | None, typer.Option(help="The schedule is scaled so that its peak is this.")
    ] = None,
    logging_steps: Annotated[int | None, typer.Option(help="Log every so many steps.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Change what may be changed while a run goes on; 4 when it ends before it could."""
    given = {"learning_rate": learning_rate, "logging_steps": logging_steps}
    args = {key: value for key, value in given.items() if value is not None}
    if not args:
        raise BadInput("say what to set: --learning-rate or --logging-steps")
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise BadInput(f"--learning-rate {learning_rate:g} is not a number above 0")
    if logging_steps is not None and logging_steps < 1:
        raise BadInput(f"--logging-steps {logging_steps} is not a number of at least 1")
    folder = running(project_of(context, project), name)
    answer = ask(folder, "set", **args)
    if not answer.ok:
        raise JobFailed(f"{run_name(folder)} changed nothing: {answer.note}")
    _said(json, folder, "set", answer.note, note=answer.note)


def _said(json: bool, folder: Path, command: str, text: str, **more: Any) -> None:
    if json:
        say_json({"name": run_name(folder), "sent": command, **more})
    else:
        say(text)
    raise typer.Exit(EXIT_FINE)
