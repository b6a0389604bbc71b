"""`tuiwb runs`: list the project's runs, look at one, follow it; the other commands stand in
run_control (stop, pause, ...), run_compare, run_files (export, report) and run_labels."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb import jobs
from tuiwb.cli import run_compare, run_control, run_files, run_labels, run_queue, run_triage
from tuiwb.cli.common import JsonOption, ProjectOption, group, note, say, say_json, say_table
from tuiwb.cli.run_folder import NameArgument, folder_of, project_of
from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import Artifact, Metrics
from tuiwb.jobs.state import JobState
from tuiwb.monitor.run_query import SORTS, select
from tuiwb.monitor.runs import RunSummary, summarise
from tuiwb.project import Project, no_project
from tuiwb.text import ago, counted, short_bytes, short_count, short_seconds

app = group("List, show, follow, compare the project's runs; stop and resume them.", alone=True)
app.command(short_help="Stop a run: it saves and ends.")(run_control.stop)
app.command(short_help="Make a run write a checkpoint, and say where.")(run_control.checkpoint)
app.command(short_help="Evaluate a run on its held-out set now.")(run_control.evaluate)
app.command(short_help="Let a run wait after its next step.")(run_control.pause)
app.command(short_help="Let a paused or ended run go on.")(run_control.resume)
app.command("set", short_help="Change learning rate or logging interval in flight.")(
    run_control.set_in_flight
)
app.command(short_help="List the runs that wait for a GPU; queue configs.")(run_queue.queue)
app.command(short_help="Config that differs, best values and curves of runs.")(run_compare.compare)
app.command(short_help="Write a run's curves to CSV or Parquet.")(run_files.export)
app.command(short_help="Write a run's report to HTML or Markdown.")(run_files.report)
app.command(short_help="Give a run tags, take some off, print them.")(run_labels.tag)
app.command("note", short_help="Write a run's note, or print it.")(run_labels.write_note)
app.command(short_help="Put runs away: lists leave them out.")(run_labels.archive)
app.command(short_help="Move runs to the trash; restore, or purge them.")(run_files.remove)
app.command(short_help="Say what is wrong with a run, and how to mend it.")(run_triage.triage)
app.command(short_help="Write an alert's fix into a config of its own.")(run_triage.fix)
app.command(short_help="Tick a step of a run's diagnosis.")(run_triage.tick)

FilterOption = Annotated[
    str,
    typer.Option(
        "--filter", "-f", help="e.g. 'state:failed tag:x loss<1.5 base~qwen age<3d text'."
    ),
]
SortOption = Annotated[str, typer.Option(help=f"-loss, age, ...: {', '.join(SORTS)}.")]
AllOption = Annotated[bool, typer.Option("--all", "-a", help="Archived runs too.")]
WideOption = Annotated[bool, typer.Option("--wide", "-w", help="Method, base and dataset too.")]


@app.callback()
def runs(context: typer.Context, json: JsonOption = False, project: ProjectOption = None) -> None:
    """List the project's runs, oldest first; the commands below look at one."""
    context.obj = project
    if context.invoked_subcommand is None:
        _list(project_of(context, project), json)


@app.command("list", short_help="List the jobs of the project, oldest first.")
def list_runs(
    context: typer.Context,
    filter: FilterOption = "",
    sort: SortOption = "",
    all: AllOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """List the jobs of the project, oldest first; archived ones only when asked for."""
    _list(project_of(context, project), json, filter, sort, all, wide)


@app.command(short_help="Where a run stands: state, metrics, cost, alerts.")
def show(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Where a run stands: state, step, latest metrics, cost, alerts, artifacts."""
    home = project_of(context, project)
    folder = folder_of(home, name)
    state = jobs.status(folder)
    run = summarise(folder, state, home.settings.gpu_price_per_hour)
    if json:
        say_json(_plain(run, state))
        return
    for label, value in _facts(home, state, run):
        say(f"{label:<12} {value}")


@app.command(short_help="Print what a run does until it ends.")
def follow(
    context: typer.Context,
    name: NameArgument,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Print a run's history and what it does until it ends; 4 when it failed or died."""
    from tuiwb.cli.follow import follow as watch

    raise typer.Exit(watch(folder_of(project_of(context, project), name), json=json))


def _list(
    project: Project,
    json: bool,
    query: str = "",
    order: str = "",
    archived: bool = False,
    wide: bool = False,
) -> None:
    select([], query, order)  # what means nothing is told before logs are read
    price = project.settings.gpu_price_per_hour
    found: list[RunSummary] = []
    states: dict[Path, JobState] = {}
    for folder in project.job_folders():
        try:
            states[folder] = jobs.status(folder)
        except (TuiwbError, OSError) as error:
            note(f"passed over: {error}")
            continue
        found.append(summarise(folder, states[folder], price))
    kept = select(found, query, order, archived=archived)
    if json:
        say_json([_plain(run, states[run.folder]) for run in kept])
        return
    if kept:
        _table(project, kept, wide)
    elif not found:
        yet = f"no runs in {project.runs} yet: tuiwb train CONFIG starts one"
        say(no_project(project) or yet)
    else:
        kinds = Counter(run.kind for run in found)
        each = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        say(f"none of {counted(len(found), 'job')} ({each}) is left by the filter")
    hidden = sum(run.archived for run in found) - sum(run.archived for run in kept)
    if hidden and not query:
        note(f"{hidden} archived: tuiwb runs list --all shows them")


def _plain(run: RunSummary, state: JobState) -> dict[str, Any]:
    """The state's own fields, and what the summary adds to them."""
    both = {**run.as_json(), **state.as_json()}
    return {**both, "name": run.name, "best_loss": run.as_json()["best_loss"]}


def _table(project: Project, runs: list[RunSummary], wide: bool) -> None:
    """A row a run; columns that none of them fills are left out."""
    header = ["name", "kind", "state", "step", "loss", "eval loss", "best", "tokens/s", "memory"]
    header += ["cost", "took", "created", "tags"]
    header += ["method", "base", "dataset"] if wide else []
    rows = [_row(project, run, wide) for run in runs]
    always = 4
    filled = [n for n in range(len(header)) if n < always or any(row[n] != "-" for row in rows)]
    say_table([header[n] for n in filled], [[row[n] for n in filled] for row in rows])


def _row(project: Project, run: RunSummary, wide: bool) -> list[str]:
    tags = " ".join([*run.tags, *(["(archived)"] if run.archived else [])])
    row = [
        run.name,
        run.kind,
        run.word + (f" ({run.phase})" if run.running and run.phase else ""),
        f"{run.step}/{run.total_steps}" if run.total_steps else "-",
        _short(run.loss),
        _short(run.eval_loss),
        _best(run),
        "-" if run.tokens_per_second is None else short_count(run.tokens_per_second),
        "-" if run.peak_memory is None else short_bytes(run.peak_memory),
        "-" if run.cost is None else f"{run.cost:.2f}",
        _took(run),
        ago(run.created),
        tags or "-",
    ]
    if wide:
        base = project.shorten(Path(run.base)) if run.base.startswith("/") else run.base
        data = [project.shorten(Path(file)) for file in run.dataset.split(", ") if file]
        row += [run.method or "-", base or "-", run.dataset_version or ", ".join(data) or "-"]
    return row


def _facts(project: Project, state: JobState, run: RunSummary) -> list[tuple[str, str]]:
    facts = [
        ("run", f"{run.name} ({run.kind}{', ' + run.method if run.method else ''})"),
        ("state", run.word + (f" ({run.phase})" if run.phase else "")),
    ]
    if state.message:
        facts.append(("", state.message))
    if state.of_steps:
        epoch = f", epoch {state.epoch:.2f}" if state.epoch is not None else ""
        facts.append(("step", f"{state.at_step} of {state.of_steps}{epoch}"))
    elif state.progress is not None:
        total = f" of {state.progress.total:,.0f}" if state.progress.total else ""
        facts.append(("done", f"{state.progress.done:,.0f}{total} {state.progress.unit}"))
    if run.eta is not None:
        facts.append(("left", f"about {short_seconds(run.eta)}"))
    facts += [("took", _took(run)), ("created", ago(run.created))]
    if state.metrics:
        from tuiwb.cli.follow import metrics_line

        latest = Metrics(step=state.step, total_steps=state.total_steps, values=state.metrics)
        facts.append(("metrics", metrics_line(latest)))
    facts += _reached(project, run)
    facts += [("alert", f"{a.severity}: {a.evidence}; {a.fix}") for a in state.alerts]
    facts += [("warned", log.message) for log in state.warnings]
    facts += _made(run.folder, state.artifacts)
    facts.append(("folder", str(run.folder)))
    return facts


def _made(folder: Path, artifacts: list[Artifact]) -> list[tuple[str, str]]:
    """Each artifact that is there; of those that are gone (save_total_limit) how many a kind."""
    facts = []
    gone: dict[str, list[str]] = {}
    for artifact in artifacts:
        if (folder / artifact.path).exists():
            facts.append((artifact.kind, artifact.path))
        else:
            gone.setdefault(artifact.kind, []).append(artifact.path)
    for kind, paths in gone.items():
        facts.append(
            (kind, f"{len(paths)} removed since" if paths[1:] else f"{paths[0]}  (removed since)")
        )
    return facts


def _reached(project: Project, run: RunSummary) -> list[tuple[str, str]]:
    facts = []
    if run.best_loss is not None:
        of = "held-out loss" if run.best_of == "eval_loss" else "training loss"
        facts.append(("best", f"{of} {_short(run.best_loss)} at step {run.best_step}"))
    if run.peak_memory is not None:
        whose = {"gpu": "of the GPU", "torch": "of the GPU, by torch", "host": "of the host"}
        most = f"{short_bytes(run.peak_memory)} {whose[run.peak_memory_of]}"
        facts.append(("peak memory", most))
    if run.cost is not None:
        facts.append(("cost", f"{run.cost:.2f} for {run.gpus} GPU over {_took(run)}"))
    if run.base:
        facts.append(("base", project.shorten(Path(run.base)) if "/" in run.base else run.base))
    for file in filter(None, run.dataset.split(", ")):
        facts.append(("data", project.shorten(Path(file))))
    if run.dataset_version:
        facts.append(("version", run.dataset_version))
    if run.tags:
        facts.append(("tags", " ".join(run.tags)))
    if run.note:
        facts.append(("note", run.note))
    if run.archived:
        facts.append(("archived", "yes: tuiwb runs archive --undo takes it out again"))
    if run.problem:
        facts.append(("problem", run.problem))
    return facts


def _best(run: RunSummary) -> str:
    if run.best_loss is None:
        return "-"
    word = " training" if run.best_of == "loss" else ""
    return f"{_short(run.best_loss)} @{run.best_step}{word}"


def _took(run: RunSummary) -> str:
    return "-" if run.took is None else short_seconds(run.took)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
