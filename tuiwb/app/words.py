"""How states and numbers are said on every screen: a mark, a word, a colour that only helps."""

import math

from tuiwb.jobs import JobState
from tuiwb.text import inert, short_seconds

STATE_MARKS = {
    "queued": ("○", "$foreground 60%"),
    "starting": ("◌", "$text-accent"),
    "running": ("●", "$text-success"),
    "stopping": ("◍", "$text-warning"),
    "finished": ("✓", "$text-success"),
    "failed": ("✗", "$text-error"),
    "cancelled": ("■", "$text-warning"),
    "died": ("†", "$text-error"),
    "quiet": ("◦", "$foreground 60%"),  # another tool's run: not ended, not written to lately
}


def number(value: float | None, digits: int = 4) -> str:
    """A metric for people: 'NaN' stays visible, tiny ones go scientific, None is a dash."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.2e}"
    return f"{value:.{digits}g}"


def mark_of(state: JobState) -> tuple[str, str]:
    """The mark of a job and its colour; a paused one has its own."""
    if state.running and state.phase == "paused":
        return "‖", "$text-warning"
    return STATE_MARKS.get(state.state, STATE_MARKS["queued"])


def meter(share: float, width: int = 6) -> str:
    """A small bar for a share between 0 and 1; NaN is empty."""
    filled = round(max(0.0, min(1.0, share if share == share else 0.0)) * width)
    return "▰" * filled + "▱" * (width - filled)


def calm_seconds(seconds: float, *, whole: bool = False) -> str:
    """A duration that does not change at each look: to 5 s, then 10 s, minutes from ten on."""
    if whole or not math.isfinite(seconds):
        return short_seconds(seconds) if math.isfinite(seconds) else "?"
    grain = 5 if seconds < 60 else 10 if seconds < 600 else 60
    rounded = max(0, round(seconds / grain) * grain)
    words = short_seconds(rounded)
    return words.removesuffix("00s") if rounded >= 600 else words


def state_line(state: JobState) -> str:
    """One line on how a job stands: its state, how far, the loss, for how long."""
    words = [state.word]
    if state.running and state.phase and state.phase != state.state:
        words = [state.phase]
    if state.of_steps and state.state != "finished":
        words.append(f"{min(1.0, state.at_step / state.of_steps):.0%}")
    loss = state.metrics.get("eval_loss", state.metrics.get("loss"))
    if loss is not None:
        words.append(f"loss {number(loss, 3)}")
    if state.ended and (lasted := state.lasted(state.ended)) is not None:
        words.append(short_seconds(lasted))
    return inert("  ".join(words), one_line=True)
