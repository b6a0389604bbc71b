"""Numbers that are not numbers, and gradients that are nothing."""

import math
from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Metrics
from tuiwb.monitor.triage.rule import Episode, number, over, setting, tidy

WATCHED = ("loss", "grad_norm", "entropy", "eval_loss", "kl", "reward", "rewards/margins")
SCALES = 3  # log entries on end in which fp16's gradients overflow: it finds no scale
NOTHING = 1e-12  # a gradient norm below is 0 in float32 but for rounding


class NotFinite:
    """NaN or infinity in what the trainer logs: once for each metric."""

    name = "not_finite"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._told: set[str] = set()
        # In fp16 the loss is scaled up until a gradient overflows; that step is left out.
        self._scaled = bool(setting(spec, "training.fp16", False))
        self._scaling = 0

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Look at the watched metrics of a log entry."""
        if not isinstance(event, Metrics):
            return
        whole = math.isfinite(event.values.get("loss", 0.0))
        if "grad_norm" in event.values:
            broken = not math.isfinite(event.values["grad_norm"])
            self._scaling = self._scaling + 1 if broken else 0
        for metric in WATCHED:
            value = event.values.get(metric)
            if value is None or math.isfinite(value) or metric in self._told:
                continue
            if metric == "grad_norm" and self._scaled and whole and self._scaling < SCALES:
                continue
            self._told.add(metric)
            yield Alert(
                rule=self.name,
                severity="critical",
                evidence=f"{metric} is {value} at step {event.step}",
                cause="an update was too large, or fp16 overflowed; from here on every weight of "
                "the adapter may be NaN",
                fix="stop the run; lower training.learning_rate, set max_grad_norm: 1.0, "
                "use bf16 rather than fp16, and look for rows without trained tokens",
                change=self._change(),
                look="the steps before it: did grad_norm grow? The last checkpoint before this "
                "step may be whole",
                step=event.step,
            )

    def _change(self) -> dict[str, Any]:
        rate = number(self.spec, "training.learning_rate", 2e-4)
        change: dict[str, Any] = {"training.learning_rate": min(tidy(rate / 10), 2e-4)}
        if not 0 < number(self.spec, "training.max_grad_norm", 1.0) <= 1.0:
            change["training.max_grad_norm"] = 1.0
        if setting(self.spec, "training.fp16", False):
            change |= {"training.fp16": False, "training.bf16": True}
        return change


class ZeroGradient:
    """The gradient's norm is 0 in several log entries on end: nothing is learned."""

    name = "zero_gradient"

    def __init__(self) -> None:
        self._episode = Episode(after=2, calm=2)

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Look at the gradient's norm of a log entry."""
        if not isinstance(event, Metrics) or "grad_norm" not in event.values:
            return
        norm = event.values["grad_norm"]
        match self._episode.see(norm <= NOTHING):
            case "fire":
                yield Alert(
                    rule=self.name,
                    severity="critical",
                    evidence=f"grad_norm is {norm:g} at step {event.step}, twice in a row",
                    cause="no gradient reaches the adapter: its matrices start at zero on both "
                    "sides, every token of the batches is masked, or the loss does not depend on "
                    "what is trained",
                    fix="stop the run; set lora.init_lora_weights: true and see that rows have "
                    "trained tokens",
                    change={"lora.init_lora_weights": True},
                    look="the Data screen's rendered rows: are the answers' tokens trained?",
                    numbers={"grad_norm": norm},
                    step=event.step,
                )
            case "clear":
                yield over(self.name, f"grad_norm is {norm:.3g} at step {event.step}", event.step)
