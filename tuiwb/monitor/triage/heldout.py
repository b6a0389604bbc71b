"""The held-out loss against the training loss, and what the base knew against what is left."""

import math
from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Metrics
from tuiwb.monitor.triage.rule import (
    LEAST,
    Points,
    lowered,
    middle,
    number,
    over,
    setting,
    training_loss,
)

# Above its lowest by so much, two evaluations on end: the held-out loss rises.
RISES, RISES_NATS = 1.05, 0.05
# By so much, one evaluation is enough.
AT_ONCE, AT_ONCE_NATS = 1.25, 0.15
BADLY = 1.5
STALLED = 3  # evaluations without a new best, while the training loss falls on
FORGOT, FORGOT_NATS = 1.15, 0.1


class Overfitting:
    """The held-out loss has left its lowest point while the training loss goes on down.

    Also told, as a note of heldout_gap: it has stopped falling while the training loss falls.
    """

    name = "overfitting"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._loss, self._held = Points(), Points()
        self._epochs: dict[int, float] = {}
        self._rising = 0
        self._open = self._gap = False

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Judge at each evaluation."""
        if not isinstance(event, Metrics):
            return
        loss = training_loss(event)
        if loss is not None and math.isfinite(loss):
            self._loss.put(event.step, loss)
        held = event.values.get("eval_loss", math.nan)
        if not math.isfinite(held):
            return
        self._held.put(event.step, held)
        if event.epoch is not None:
            self._epochs[event.step] = event.epoch
        best = min(self._held.values)
        at = self._held.steps[self._held.values.index(best)]
        falls = self._trained_since(at)
        rises = held > best + (RISES - 1) * abs(best) + RISES_NATS and falls
        self._rising = self._rising + 1 if rises else 0
        much = rises and held > best + (AT_ONCE - 1) * abs(best) + AT_ONCE_NATS
        if not self._open and (self._rising >= 2 or much):
            self._open = True
            yield self._alert(event, held, best, at)
        elif self._open and held <= best:
            self._open = False
            yield over(self.name, f"eval_loss is at its lowest, {held:.3g}", event.step)
        elif not self._open and not self._gap:
            yield from self._stalled(event, held, best, at)

    def _trained_since(self, step: int) -> bool:
        """Whether the training loss has not risen since a step: else it is no overfitting."""
        before, since = self._around(step)
        return not before or not since or middle(since) <= 1.1 * middle(before) + 0.05

    def _around(self, step: int) -> tuple[list[float], list[float]]:
        """The last five training losses up to a step, and the last five after it."""
        at = self._loss.until(step)
        return self._loss.values[max(0, at - 5) : at], self._loss.values[
            max(at, len(self._loss) - 5) :
        ]

    def _stalled(self, event: Metrics, held: float, best: float, at: int) -> Iterator[Alert]:
        since = len(self._held) - self._held.until(at)
        if since < STALLED:
            return
        loss = middle(self._loss.values[-5:])
        then, _ = self._around(at)
        if then and loss < 0.9 * middle(then) and held > 1.5 * loss:
            self._gap = True
            yield Alert(
                rule="heldout_gap",
                severity="note",
                evidence=f"eval_loss {held:.3g} has not been lower than {best:.3g} (step {at}) for "
                f"{since} evaluations; the training loss fell on to {loss:.3g}",
                cause="what is learned now is the training rows, not the task",
                fix="more or more varied data; stopping near the lowest eval_loss loses nothing",
                look="compare on the checkpoint nearest to that step",
                numbers={"best": best, "best_step": float(at), "loss": loss, "eval_loss": held},
                step=event.step,
            )

    def _alert(self, event: Metrics, held: float, best: float, at: int) -> Alert:
        loss = middle(self._loss.values[-5:])
        keeps = bool(setting(self.spec, "training.load_best_model_at_end", False))
        worse = 1 + (held - best) / max(abs(best), LEAST)
        epoch = self._epochs.get(at)
        change: dict[str, Any] = {}
        if at <= 0:
            # Measured before the first step (eval_on_start): there is no step to end at.
            change |= lowered(self.spec, 5)
        elif number(self.spec, "training.max_steps", -1) > 0:
            change["training.max_steps"] = at
        elif epoch is not None:
            change["training.num_train_epochs"] = max(0.01, math.ceil(epoch * 100) / 100)
        ends = f"epoch {epoch:.2f}" if epoch is not None else f"step {at}"
        return Alert(
            rule=self.name,
            severity="note" if keeps else "critical" if worse >= BADLY else "warning",
            evidence=f"eval_loss bottomed out at {best:.3g} in step {at} ({ends}) and is "
            f"{held:.3g} at step {event.step}, {100 * (worse - 1):.0f}% above; the training loss "
            f"is {loss:.3g}",
            cause="the adapter learns the training rows by heart: too many passes over too little "
            "data, or too high a rank or rate for it",
            fix="load_best_model_at_end keeps the adapter of the lowest eval_loss"
            if keeps
            else "the held-out loss never fell: start again with a fifth of the learning rate, and "
            "see that training and held-out rows are of one kind"
            if at <= 0
            else f"end the run at {ends}, or set load_best_model_at_end: true with save_strategy "
            "as eval_strategy; lora_dropout 0.05 or a lower r also help",
            change=change,
            look=f"compare on the checkpoint nearest to step {at}",
            numbers={
                "best": best,
                "best_step": float(at),
                "eval_loss": held,
                "loss": loss,
            },
            step=event.step,
        )


class NoHeldout:
    """A run that trains without a held-out loss: a note, once."""

    name = "no_heldout"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._told = not isinstance(spec.get("data"), dict)

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """At the first training loss."""
        if self._told or training_loss(event) is None:
            return
        self._told = True
        heldout = setting(self.spec, "data.heldout")
        if heldout and setting(self.spec, "training.eval_strategy") != "no":
            return
        yield Alert(
            rule=self.name,
            severity="note",
            evidence="eval_strategy is no: the held-out loss is never measured"
            if heldout
            else "the run has no held-out file",
            cause="without a held-out loss overfitting can't be seen",
            fix="set training.eval_strategy: epoch"
            if heldout
            else "split the data (tuiwb data split) and name the held-out part as data.heldout",
            change={"training.eval_strategy": "epoch"} if heldout else {},
            look="the Data screen's split",
            step=event.step if isinstance(event, Metrics) else None,
        )


class Forgetting:
    """The loss on general rows (data.canary) against the base's own on the same rows."""

    name = "forgetting"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._open = False

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """At each evaluation that measured both."""
        if not isinstance(event, Metrics):
            return
        now = event.values.get("canary_loss", math.nan)
        base = event.values.get("canary_base_loss", math.nan)
        if not (math.isfinite(now) and math.isfinite(base)):
            return
        forgot = now > FORGOT * base + FORGOT_NATS
        if forgot and not self._open:
            self._open = True
            yield self._alert(event, now, base)
        elif self._open and now <= (1 + FORGOT) / 2 * base + FORGOT_NATS / 2:
            self._open = False
            yield over(self.name, f"canary_loss is back at {now:.3g}", event.step)

    def _alert(self, event: Metrics, now: float, base: float) -> Alert:
        return Alert(
            rule=self.name,
            severity="critical" if now > BADLY * base + 3 * FORGOT_NATS else "warning",
            evidence=f"on the general rows of data.canary the loss is {now:.3g} at step "
            f"{event.step}; the base's own is {base:.3g}",
            cause="catastrophic forgetting: the fine-tune overwrites what the base knew",
            fix="lower the learning rate or the rank, train for fewer steps, or mix general rows "
            "into data.train (5 to 20%)",
            change=lowered(self.spec, 2),
            look="compare on the canary file: which questions does it get wrong now?",
            numbers={"canary_loss": now, "canary_base_loss": base},
            step=event.step,
        )
