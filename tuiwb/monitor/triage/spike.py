"""A loss that jumps for a moment: most often a batch whose rows are unlike the others."""

import math
from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Metrics
from tuiwb.monitor.triage.rule import (
    Points,
    WorstBatch,
    log_noise,
    middle,
    number,
    over,
    times,
    training_loss,
)

WINDOW = 24  # log entries held against
LEVEL = 9  # log entries that make the level
BEFORE = 6  # log entries needed before
SIGMAS = 6.0
NATS = 0.4  # a jump below this is noise, whatever the spread
FACTOR = math.log(1.6)  # of the level before
LASTS = 6  # log entries after which it is no spike but a new level


class LossSpike:
    """The training loss far above what it was in the log entries before."""

    name = "loss_spike"

    def __init__(self, spec: dict[str, Any], worst_batch: WorstBatch | None = None) -> None:
        self.spec = spec
        self.worst_batch = worst_batch
        self._points = Points(WINDOW)
        self._since = 0

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Hold the loss of a log entry against the entries before."""
        loss = training_loss(event)
        if loss is None or not math.isfinite(loss) or not isinstance(event, Metrics):
            return
        before = self._points.values[-WINDOW:]
        level, noise = middle(before[-LEVEL:]), 0.0
        high = len(before) >= BEFORE and loss - level > NATS and times(loss, level) > FACTOR
        if high:
            noise = log_noise(before)
            high = times(loss, level) > SIGMAS * noise
        if self._since:
            self._since += 1
            if not high or self._since > LASTS:
                self._since = 0
                if not high:
                    yield over(
                        self.name, f"loss is back at {loss:.3g} at step {event.step}", event.step
                    )
        elif high:
            self._since = 1
            yield self._alert(event, loss, level, noise)
        if not high or self._since == 0:
            self._points.put(event.step, loss)

    def _alert(self, event: Metrics, loss: float, level: float, noise: float) -> Alert:
        first = self._points.steps[-1] + 1
        batch = self.worst_batch(first, event.step) if self.worst_batch is not None else None
        evidence = (
            f"loss is {loss:.3g} at step {event.step}; the median of the "
            f"{len(self._points.values[-LEVEL:])} log entries before is {level:.3g} "
            f"(noise {noise:.0%})"
        )
        if batch is not None:
            evidence += f"; the worst batch is in step {batch.step} with loss {batch.loss:.3g}"
        norm = event.values.get("grad_norm")
        clip = number(self.spec, "training.max_grad_norm", 1.0)
        change = {} if 0 < clip <= 1.0 else {"training.max_grad_norm": 1.0}
        return Alert(
            rule=self.name,
            severity="warning",
            evidence=evidence + (f"; grad_norm {norm:.3g}" if norm is not None else ""),
            cause="rows in that batch are unlike the others: garbage, another language or format, "
            "a wrong answer, an answer that was cut",
            fix="look at the rows and mend or drop the bad ones"
            + ("" if not change else "; max_grad_norm: 1.0 limits what one batch can do"),
            change=change,
            look="the rows below in the Data screen"
            if batch is not None and batch.rows
            else f"the rows of step {event.step}"
            if first == event.step
            else f"the rows of steps {first} to {event.step}",
            rows=batch.rows if batch is not None else [],
            numbers={"loss": loss, "before": level, "noise": noise}
            | ({"batch_loss": batch.loss} if batch and math.isfinite(batch.loss) else {}),
            step=event.step,
        )
