"""The head of a run: how it stands and how far it is, in two lines, and why it ended in a third.

In: a JobState and its series. Out: lines that fit the width, the least important parts left out
first. Durations are rounded, so that a line changes when what it says does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tuiwb.app.words import calm_seconds, mark_of, meter, number
from tuiwb.jobs import JobState
from tuiwb.jobs.events import Alert, Device
from tuiwb.monitor.triage.rule import open_alerts
from tuiwb.text import inert, short_bytes, short_count

MUTED = "$foreground 60%"
BAR = 20


@dataclass(frozen=True)
class Part:
    """A piece of a line; when room is short the piece of the lowest worth goes first."""

    content: Content
    worth: int


def fit(parts: Sequence[Part], width: int) -> Content:
    """The parts that fit into `width` cells, in order, two blanks between them."""
    kept = list(parts)
    while len(kept) > 1 and sum(p.content.cell_length for p in kept) + 2 * (len(kept) - 1) > width:
        kept.remove(min(reversed(kept), key=lambda part: part.worth))
    return Content("  ").join(part.content for part in kept)


def first_line(
    state: JobState, left: float | None, loaded: float, width: int, now: float
) -> Content:
    """Mark, name, state, progress, how long it takes or took."""
    mark, style = mark_of(state)
    parts = [
        Part(
            Content.assemble((f"{mark} ", style), (inert(state.name, one_line=True), "bold")), 100
        ),
        Part(Content.styled(_state_words(state), style), 99),
    ]
    share = _share(state)
    if share is not None and state.state != "finished":
        filled = int(share * BAR)
        bar = Content.assemble(("━" * filled, "$primary"), ("─" * (BAR - filled), MUTED))
        parts += [Part(bar, 60), Part(Content(f"{share:.0%}"), 90)]
    if state.of_steps:
        parts.append(Part(Content(f"step {state.at_step:,}/{state.of_steps:,}"), 80))
    elif state.step:
        parts.append(Part(Content(f"step {state.step:,}"), 80))
    if state.epoch is not None:
        parts.append(Part(Content(f"epoch {state.epoch:.2f}"), 40))
    if state.running and left is not None and state.phase != "paused":
        parts.append(Part(Content.assemble(("ETA ", MUTED), calm_seconds(left)), 85))
    if (lasted := state.lasted(now)) is not None:
        word = "for" if state.running else "took"
        words = calm_seconds(lasted, whole=not state.running)
        parts.append(Part(Content.assemble((f"{word} ", MUTED), words), 50))
    if not state.running and state.ended is not None:
        parts.append(Part(Content.styled(f"{calm_seconds(now - state.ended)} ago", MUTED), 45))
    if loaded < 1:
        parts.append(Part(Content.styled(f"reading its history {loaded:.0%}", "$text-accent"), 70))
    return fit(parts, width)


def second_line(state: JobState, pace: float | None, width: int) -> Content:
    """Loss, held-out, best, pace, memory, alerts; or what the phase before training does."""
    values = state.metrics
    progress = state.progress
    parts: list[Part] = []
    if standing := open_alerts(state.alerts):
        worst = worst_of(standing)
        words = f"! {len(standing)} alert{'s' if len(standing) > 1 else ''}"
        parts.append(Part(Content.styled(words, f"bold {severity_style(worst)}"), 95))
    if "loss" in values:
        parts.append(_value("loss", number(values["loss"]), 100))
    if "eval_loss" in values:
        parts.append(_value("held-out", number(values["eval_loss"]), 90))
    best, _, of = state.best
    if best is not None:
        word = "best training loss" if of == "loss" else "best"
        parts.append(_value(word, number(best), 80))
    for name, word in (("rewards/accuracies", "accuracy"), ("reward", "reward"), ("kl", "KL")):
        if name in values:
            parts.append(_value(word, number(values[name], 3), 55))
    if (speed := values.get("tokens_per_second")) is not None:
        parts.append(_value("", f"{short_count(speed)} tokens/s", 70))
    if pace is not None and pace > 0:
        words = f"{pace:.2g} s/step" if pace >= 1 else f"{1 / pace:.2g} steps/s"
        parts.append(_value("", words, 30))
    if (memory := memory_words(state.device)) is not None:
        parts.append(Part(memory, 85))
    if state.running and (not state.step or state.phase == "evaluating") and progress is not None:
        done = f"{progress.done:,.0f}" + (f"/{progress.total:,.0f}" if progress.total else "")
        parts.insert(0, _value(inert(progress.phase, one_line=True), f"{done} {progress.unit}", 98))
    if not parts:
        parts.append(Part(Content.styled("no value yet", MUTED), 1))
    return fit(parts, width)


def third_line(state: JobState, way_on: str) -> Content:
    """Why a run ended too early or what it waits for, and the key that helps; empty else."""
    message = inert(state.message, one_line=True)
    if not message:
        return Content.styled(way_on, "bold $accent")
    key = (f"{way_on}  ", "bold $accent") if way_on else ""
    style = "$text-error" if state.state in ("failed", "died") else MUTED
    if way_on and state.last_checkpoint is not None:
        message = message.removesuffix(f"; it can resume from {state.last_checkpoint.path}")
    return Content.assemble(key, (message, style))


def memory_words(device: Device | None) -> Content | None:
    """The fullest GPU's memory as a meter, of the host's where there is no GPU."""
    if device is None:
        return None
    gpus = [g for g in device.gpus if g.memory_total and g.memory_used is not None]
    if gpus:
        gpu = max(
            gpus, key=lambda g: (g.memory_job or 0, (g.memory_used or 0) / (g.memory_total or 1))
        )
        used, total = gpu.memory_used or 0, gpu.memory_total or 1
        name = f"GPU{gpu.index if len(device.gpus) > 1 else ''}"
    elif device.host is not None:
        used, total, name = device.host.memory_used, device.host.memory_total or 1, "RAM"
    else:
        return None
    share = used / total
    style = "$text-error" if share > 0.95 else "$text-warning" if share > 0.85 else "$text-success"
    return Content.assemble(
        (f"{name} ", MUTED),
        (meter(share), style),
        f" {short_bytes(used).removesuffix(' GiB')}/{short_bytes(total)}"
        if used >= 1 << 30
        else f" {short_bytes(used)}/{short_bytes(total)}",
    )


def worst_of(alerts: Sequence[Alert]) -> str:
    """The highest severity among alerts."""
    order = ("note", "info", "warning", "warn", "critical")
    return max(
        (a.severity for a in alerts),
        key=lambda s: order.index(s) if s in order else 0,
        default="note",
    )


def severity_style(severity: str) -> str:
    """The colour of a severity."""
    return {"critical": "$text-error", "note": "$text-accent"}.get(severity, "$text-warning")


def _value(name: str, words: str, worth: int) -> Part:
    return Part(Content.assemble((f"{name} ", MUTED) if name else "", words), worth)


def _state_words(state: JobState) -> str:
    if state.running and state.phase and state.phase != state.state:
        phase = inert(state.phase, one_line=True)
        return phase if state.state in ("running", "starting") else f"{state.word}, {phase}"
    return state.word


def _share(state: JobState) -> float | None:
    if state.of_steps:
        return min(1.0, state.at_step / state.of_steps)
    progress = state.progress
    if state.running and progress is not None and progress.total:
        return min(1.0, progress.done / progress.total)
    return None


class RunHead(Widget):
    """Three lines, each painted only when it says something else."""

    DEFAULT_CSS = """
    RunHead {
        height: auto;
        padding: 0 1;
        & > Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #why { height: auto; max-height: 3; text-wrap: wrap; display: none; }
    }
    """

    def compose(self) -> "list[Static]":
        return [Static(id=name, markup=False) for name in ("how", "values", "why")]

    def on_mount(self) -> None:
        self._said: dict[str, Content] = {}
        self._last: tuple[JobState, float | None, float | None, float, str, float] | None = None

    def show(
        self,
        state: JobState,
        left: float | None,
        pace: float | None,
        loaded: float,
        way_on: str,
        now: float,
    ) -> None:
        """`left` and `pace` in seconds (per step), `way_on` what to press after an early end."""
        self._last = (state, left, pace, loaded, way_on, now)
        width = max(1, self.size.width - 2)
        self._say("how", first_line(state, left, loaded, width, now))
        self._say("values", second_line(state, pace, width))
        why = third_line(state, way_on)
        self._say("why", why)

    def _say(self, name: str, content: Content) -> None:
        if self._said.get(name) == content:
            return
        self._said[name] = content
        line = self.query_one(f"#{name}", Static)
        if name == "why":
            line.display = bool(content.plain)
        line.update(content, layout=name == "why")

    def on_resize(self) -> None:
        """Other parts fit another width."""
        if self._last is not None:
            self.show(*self._last)
