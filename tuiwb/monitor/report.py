"""A run on a page: what was asked, how it went, what came out, how it ended.

In: a job folder. Out: one HTML file that needs no network, or Markdown with its plots as SVG files
beside it (NAME_files/). The plots are drawn from the run's own series.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tuiwb
from tuiwb.errors import BadInput
from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Device, Gpu, Sample
from tuiwb.jobs.folder import LOG, Job, load
from tuiwb.jobs.state import JobState, tail, with_reason
from tuiwb.monitor.device_past import key
from tuiwb.monitor.diff import facts, spelled
from tuiwb.monitor.export import check_target, read_whole, write_beside
from tuiwb.monitor.runs import RunSummary, summarise
from tuiwb.monitor.series import RunSeries
from tuiwb.monitor.svg import SvgCurve
from tuiwb.text import short_bytes, short_seconds

SUFFIXES = (".html", ".md")
FIRST = ("loss", "mean_token_accuracy", "learning_rate", "grad_norm", "tokens_per_second")
# The trainer's bookkeeping: in the table of last values, not worth a plot.
UNPLOTTED = re.compile(r"(.*_)?(runtime|samples_per_second|steps_per_second|total_flos)")
LAST_LINES = 20
NOT_RUNNING = "queue, pauses and the time between two processes"
MOST_SAMPLES = 20
LOGGED_AT = 8  # points; a series with fewer is drawn with a dot on each

Row = tuple[str, str]


@dataclass(frozen=True)
class Plot:
    """One chart of the page: a metric and its held-out twin."""

    title: str
    curves: list[SvgCurve]
    marks: list[float]


@dataclass(frozen=True)
class Report:
    """All that the page says, as text that is not yet safe for any format."""

    name: str
    ended: str
    why: list[str] = field(default_factory=list)
    summary: list[Row] = field(default_factory=list)
    note: str = ""
    data: list[tuple[str, str, str]] = field(default_factory=list)
    config: list[Row] = field(default_factory=list)
    ran_with: list[Row] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    last: list[Row] = field(default_factory=list)
    device: list[Row] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    made: str = ""


def write_report(
    folder: Path, path: Path, price: float | None = None, *, replace: bool = False
) -> None:
    """Write the report of the job in `folder` to a .html or .md file.

    BadInput for another suffix, for a file that exists unless `replace`, for no job folder, and
    when the disk says no.
    """
    check_target(path, SUFFIXES, replace=replace)
    report = gather(folder, price)
    if path.suffix.lower() == ".html":
        from tuiwb.monitor.report_html import as_html

        page = as_html(report)
    else:
        from tuiwb.monitor.report_markdown import as_markdown, write_plots

        images = write_plots(report, path, replace=replace)
        page = as_markdown(report, images)
    data = page.encode("utf-8", "replace")
    write_beside(path, lambda beside: beside.write_bytes(data))


def gather(folder: Path, price: float | None = None) -> Report:
    """Read the job's folder into a report."""
    job = load(folder)
    watched, shown = read_whole(folder)
    state, series = watched.state, watched.series
    run = summarise(folder, state, price)
    asked = facts(job, folder)
    ran_with = ("git", "tuiwb", "python")
    hidden = {key for key in asked if key.endswith(".sha256") or key.startswith("sha256 of ")}
    libraries = {key for key in asked if key.startswith("libraries.")}
    return Report(
        name=run.name,
        ended=_ended(state),
        why=_why(folder, state),
        summary=_summary(run, state),
        note=run.note,
        data=_data(job),
        config=[
            (key, spelled(value))
            for key, value in asked.items()
            if key not in hidden | libraries and key not in ran_with and key != "kind"
        ],
        ran_with=[
            (key.removeprefix("libraries."), spelled(asked[key]))
            for key in (*ran_with, *sorted(libraries))
            if asked.get(key) is not None
        ],
        plots=plots(series),
        last=[(name, _number(value)) for name, value in state.metrics.items()],
        device=_device(series.device_samples(), run),
        alerts=_alerts(state),
        artifacts=state.artifacts,
        samples=_samples(shown, state),
        made=f"tuiwb {tuiwb.__version__}, {time.strftime('%Y-%m-%d %H:%M %Z')}",
    )


def plots(series: RunSeries) -> list[Plot]:
    """A plot for every metric logged twice or more, with its held-out twin in the same one."""
    names = series.names()
    plain = [n for n in names if not n.startswith("eval_")]
    lonely = [n for n in names if n.startswith("eval_") and n.removeprefix("eval_") not in plain]
    order = [*(n for n in FIRST if n in plain), *(n for n in plain if n not in FIRST), *lonely]
    found = []
    for name in order:
        twin = [f"eval_{name}"] if f"eval_{name}" in names else []
        curves = [_curve(series, one) for one in (name, *twin)]
        if not UNPLOTTED.fullmatch(name) and max(len(c.x) for c in curves) > 1:
            found.append(Plot(name, curves, [float(step) for step in series.checkpoints]))
    return found


def _curve(series: RunSeries, name: str) -> SvgCurve:
    x, y = series.points(name)
    # Copies: the series' own arrays are views that must not be kept.
    return SvgCurve(name, x.copy(), y.copy(), points=len(x) <= LOGGED_AT or name.startswith("eval"))


def _ended(state: JobState) -> str:
    said = state.word + (f" ({state.phase})" if state.running and state.phase else "")
    return with_reason(said, state.message)


def _why(folder: Path, state: JobState) -> list[str]:
    """What the machine and the log left behind of a run that ended badly."""
    if state.state == "died":
        from tuiwb.jobs.death import why

        death = why(folder, state)
        return [line for line in (death.why, *death.evidence, death.way_on) if line]
    return tail(folder / LOG, LAST_LINES) if state.state == "failed" else []


def _alerts(state: JobState) -> list[Alert]:
    """What the rules said and what the log warned of (a death before a resume), by time; last, how
    the run died."""
    found = list(state.alerts)
    found += [
        Alert(t=log.t, rule="log", severity="warning", evidence=log.message)
        for log in state.warnings
    ]
    found.sort(key=lambda alert: alert.t)
    if state.state == "died":
        said = state.message or "its process is gone"
        found.append(Alert(rule="died", severity="critical", evidence=said, step=state.step))
    return found


def _summary(run: RunSummary, state: JobState) -> list[Row]:
    best = f"{_number(run.best_loss)} at step {run.best_step}" if run.best_loss is not None else ""
    kind = {"eval_loss": "held-out loss", "loss": "training loss"}.get(run.best_of, "loss")
    steps = f"{run.step:,} of {run.total_steps:,}" if run.total_steps else ""
    rows = [
        ("kind", run.kind + (f", {run.method}" if run.method else "")),
        ("base model", run.base),
        ("dataset version", run.dataset_version),
        ("steps", steps + (f", epoch {run.epoch:.2f}" if run.epoch is not None else "")),
        (f"best {kind}", best),
        ("last training loss", _number(run.loss) if run.loss is not None else ""),
        ("last held-out loss", _number(run.eval_loss) if run.eval_loss is not None else ""),
        ("tokens/s", f"{run.tokens_per_second:,.0f}" if run.tokens_per_second else ""),
        ("created", _moment(run.created)),
        ("started", _moment(run.started)),
        ("ended", _moment(run.ended)),
        (
            "took",
            f"{short_seconds(run.took)} without {NOT_RUNNING}" if run.took is not None else "",
        ),
        ("cost", f"{run.cost:.2f} for {run.gpus} GPU" if run.cost is not None else ""),
        ("tags", ", ".join(run.tags)),
        *(("warned", log.message) for log in state.warnings),
    ]
    return [(label, value) for label, value in rows if value]


def _data(job: Job) -> list[tuple[str, str, str]]:
    """What the run read: what for, path, fingerprint."""
    data = job.spec.get("data")
    data = data if isinstance(data, dict) else {}
    train = data.get("train")
    used = [("training", f) for f in (train if isinstance(train, list) else [train]) if f]
    used += [("held-out", data["heldout"])] if data.get("heldout") else []
    model = job.spec.get("model")
    if isinstance(model, dict) and model.get("base"):
        used.append(("base model", model["base"]))
    rows = [(role, str(path), job.fingerprints.get(str(path), "")) for role, path in used]
    named = {path for _role, path, _print in rows}
    return [*rows, *(("", p, print_) for p, print_ in job.fingerprints.items() if p not in named)]


def _device(history: Sequence[Device], run: RunSummary) -> list[Row]:
    rows: list[Row] = []
    if run.peak_memory is not None:
        of = {
            "gpu": "GPU memory of this run, peak",
            "torch": "GPU memory of this run by torch, peak",
            "host": "host memory of this run, peak (no GPU was used)",
        }[run.peak_memory_of]
        rows.append((of, short_bytes(run.peak_memory)))
    cards: dict[str, list[Gpu]] = {}
    for gpu in (gpu for sample in history for gpu in sample.gpus):
        cards.setdefault(key(gpu), []).append(gpu)  # an instance of MIG is one of its own
    for seen in cards.values():
        words: list[str] = []
        used = max((g.memory_used for g in seen if g.memory_used is not None), default=None)
        total = max((g.memory_total for g in seen if g.memory_total is not None), default=None)
        if used is not None:
            words.append(
                f"{short_bytes(used)} used" + (f" of {short_bytes(total)}" if total else "")
            )
        busy = [g.utilisation for g in seen if g.utilisation is not None]
        if busy:
            words.append(f"{sum(busy) / len(busy):.0f} % busy on average")
        for value, unit in (
            (max((g.temperature for g in seen if g.temperature is not None), default=None), "°C"),
            (max((g.power for g in seen if g.power is not None), default=None), "W"),
        ):
            words += [f"{value:.0f} {unit} at most"] if value is not None else []
        reasons = sorted({reason for g in seen for reason in g.throttle})
        words += [f"throttled: {', '.join(reasons)}"] if reasons else []
        last = seen[-1]
        name = f"GPU {last.index} {last.name}".rstrip() + (f" MIG {last.mig}" if last.mig else "")
        name += " (not this run's)" if last.visible is False else ""
        rows.append((name, ", ".join(words) or last.problem or "no figures"))
    if history and not cards:
        rows.append(("GPU", history[-1].problem or "none on this machine"))
    return rows


def _samples(shown: Sequence[AnyEvent], state: JobState) -> list[Sample]:
    found = [event for event in shown if isinstance(event, Sample)]
    if not found and state.sample is not None:
        found = [state.sample]
    return found[-MOST_SAMPLES:]


def _moment(t: float | None) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(t)) if t else ""
    except (OverflowError, ValueError, OSError):  # a log may hold any number
        return ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def folder_of_plots(path: Path, *, replace: bool) -> Path:
    """Where a Markdown report's plots lie; BadInput where a file of that name stands, and where
    files are in it already unless `replace`."""
    beside = path.with_name(f"{path.stem}_files")
    if beside.exists() and not beside.is_dir():
        raise BadInput(f"{beside} is in the way: the report's plots go into a folder of that name")
    if beside.is_dir() and any(beside.iterdir()) and not replace:
        raise BadInput(f"there are files in {beside} already: give another name, or --force")
    return beside
