"""What the screen says of a run's events, of its end, and of the way on. Pure but for `Death`."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from textual.content import Content

from tuiwb.app.widgets.log_view import Line
from tuiwb.app.widgets.run_head import MUTED
from tuiwb.app.words import calm_seconds, number
from tuiwb.jobs import JobState
from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Control, Log, State
from tuiwb.monitor.runs import RunSummary
from tuiwb.text import inert, short_bytes


def log_lines(events: Iterable[AnyEvent]) -> list[Line]:
    """Events as lines of the log, each with the time of day it happened."""
    lines: list[Line] = []
    for event in events:
        words, kind = _words(event)
        if words:
            lines.append((f"{time.strftime('%H:%M:%S', time.localtime(event.t))}  {words}", kind))
    return lines


def _words(event: AnyEvent) -> tuple[str, str]:
    match event:
        case State():
            bad = event.state in ("failed", "died")
            words = ", ".join(filter(None, (event.state, event.phase)))
            said = f": {event.message}" if event.message else ""
            return f"{words}{said}", "error" if bad else "note"
        case Artifact():
            return f"wrote {event.path} ({event.kind})", "note"
        case Alert():
            return f"! {event.rule}: {event.evidence}", (
                "note" if event.severity == "note" else "warn"
            )
        case Control():
            note = event.note or ("done" if event.ok else "refused")
            return f"{event.command}: {note}", "note" if event.ok else "warn"
        case Log():
            level = event.level
            kind = "error" if level == "error" else "warn" if level.startswith("warn") else "note"
            return event.message, kind
    return "", ""


def way_on(state: JobState, can: Callable[[str], bool], acts: bool) -> str:
    """The key that helps a run that ended too early; `acts`: configs can be opened."""
    if can("go_on"):
        return "p goes on"
    checkpoint = state.last_checkpoint
    if can("resume") and checkpoint is not None:
        return f"r resumes it from step {checkpoint.step or 0:,}"
    return "R opens its config again" if state.state in ("failed", "died") and acts else ""


def ended_words(folder: Path, state: JobState) -> Content | None:
    """When, why and with what evidence a run died or failed; None for any other."""
    if state.state == "failed":
        return Content.assemble(
            (f"failed at step {state.step:,}\n", "bold $text-error"), inert(state.message)
        )
    if state.state != "died":
        return None
    from tuiwb.jobs.death import why

    death = why(folder, state)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(death.t)) if death.t else "unknown"
    evidence = "\n".join(inert(line, one_line=True) for line in death.evidence)
    return Content.assemble(
        (f"died at step {state.step:,}, {when}\n", "bold $text-error"),
        f"{inert(death.why or death.sentence)}\n",
        ("now  ", "bold $accent"),
        f"{inert(death.way_on)}\n",
        (evidence, "$foreground 60%"),
    )


def brief(run: RunSummary | None, any_runs: bool, now: float) -> Content:
    """What the table has no room for, about the run under the cursor."""
    if run is None:
        words = "no run passes the filter" if any_runs else "no run yet"
        way = "" if any_runs else ": press 3, open a config, then ctrl+t trains it"
        return Content.styled(f"{words}{way}", MUTED)
    first = [inert(run.name, one_line=True), run.method or run.kind, Path(run.base).name]
    first.append(run.dataset_version or ", ".join(Path(p).name for p in run.dataset.split(", ")))
    lines = [Content("  ").join(Content(inert(word, one_line=True)) for word in first if word)]
    facts = []
    if run.best_loss is not None:
        of = "held-out loss" if run.best_of == "eval_loss" else "training loss"
        at = f" at step {run.best_step:,}" if run.best_step is not None else ""
        facts.append(f"best {of} {number(run.best_loss)}{at}")
    if run.checkpoint:
        facts.append(Path(run.checkpoint).name)
    if run.peak_memory:
        facts.append(f"peak memory {short_bytes(run.peak_memory)} ({run.peak_memory_of})")
    if run.cost is not None:
        facts.append(f"cost {run.cost:,.2f}")
    if run.eta is not None:
        facts.append(f"{calm_seconds(run.eta)} left")
    if facts:
        lines.append(Content.styled("  ".join(facts), MUTED))
    if run.message:
        style = "$text-error" if run.state in ("failed", "died") else MUTED
        lines.append(Content.styled(inert(run.message, one_line=True), style))
    if run.tags or run.note:
        tags = " ".join(f"#{tag}" for tag in run.tags)
        note = run.note.partition("\n")[0]
        lines.append(Content(inert("  ".join(filter(None, (tags, note))), one_line=True)))
    if run.problem:
        lines.append(Content.styled(inert(run.problem, one_line=True), "$text-warning"))
    return Content("\n").join(lines)
