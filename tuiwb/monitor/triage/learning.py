"""How the training loss moves as a whole: away, not at all, or hardly."""

import math
from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Metrics
from tuiwb.monitor.triage.facts import DataFacts
from tuiwb.monitor.triage.rule import (
    USUAL,
    USUAL_HIGH,
    USUAL_LOW,
    Episode,
    Points,
    log_noise,
    lowered,
    middle,
    number,
    over,
    raised,
    setting,
    spread,
    tidy,
    times,
    training_loss,
    warmup_of,
)

# Above the best smoothed loss by this factor, so many nats and SIGMAS of its noise: it has left,
# not wobbled.
AWAY, AWAY_NATS = 1.3, 0.3
BACK, BACK_NATS = 1.1, 0.1
# Log entries: those that are now, and those that make a level to hold them against.
NOW, LEVEL = 5, 9
SIGMAS = 3.5
LONE = 0.2  # the noise of a single first point, at least
NORMS = 20.0  # times its own median before: the gradient explodes
LEARNED = 0.06  # a loss that fell by less of its start, surely, has learned next to nothing
SMALL_SCALE = 0.25  # lora_alpha / r
KNOWN = 0.2  # nats; a loss that starts below has nothing to fall to
KEPT = 64  # log entries
ENDS = 32  # log entries at the start, and now, that are held against each other at most
SOON, LATE = 20, 200  # steps after the warm-up at which a run is judged at the latest


class LearningRateHigh:
    """The loss leaves the level it had reached, or swings above where it began."""

    name = "learning_rate_high"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._points, self._norms = Points(KEPT), Points(KEPT)
        self._best, self._best_step = math.inf, 0
        self._noise = math.inf
        self._first: float | None = None
        self._episode = Episode(after=3, calm=3)

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Hold the smoothed loss against the best it was."""
        loss = training_loss(event)
        if loss is None or not isinstance(event, Metrics):
            return
        if math.isfinite(norm := event.values.get("grad_norm", math.nan)):
            self._norms.put(event.step, norm)
        if not math.isfinite(loss):
            return
        if self._points.steps and event.step <= self._points.steps[-1]:
            self._best, self._best_step = math.inf, 0
        self._points.put(event.step, loss)
        values = self._points.values
        now = middle(values[-NOW:])
        self._first = loss if self._first is None else self._first
        # The first point stands alone: a rate far too high leaves it at once.
        level = middle(values[-LEVEL:]) if len(values) >= LEVEL else now
        if len(values) == 1 or (len(values) >= 3 and level < self._best):
            self._best, self._best_step = level, event.step
            self._noise = log_noise(values[-2 * LEVEL :])
        lone = not math.isfinite(self._noise)
        noise = max(log_noise(values[1:]), LONE) if lone else self._noise
        away = (
            len(values) >= 5 + lone
            and now - self._best > AWAY_NATS
            and times(now, self._best) > max(math.log(AWAY), SIGMAS * noise)
        )
        exploding = now > BACK * self._best + BACK_NATS and self._exploding()
        swinging = self._swinging(values)
        match self._episode.see(
            away or exploding or swinging, good=now <= BACK * self._best + BACK_NATS
        ):
            case "fire":
                yield self._alert(event, now, swinging and not away)
            case "clear":
                yield over(self.name, f"loss is {now:.3g} again at step {event.step}", event.step)

    def _exploding(self) -> bool:
        norms = self._norms.values
        return len(norms) >= 11 and min(norms[-3:]) > NORMS * middle(norms[-35:-3])

    def _swinging(self, values: list[float]) -> bool:
        """Three of the last ten points above where the loss began, and no way down."""
        if len(values) < 12:
            return False
        last = values[-10:]
        first = (self._first or 0.0) * math.exp(SIGMAS * min(self._noise, 1.0))
        above = sum(v > 1.2 * first + AWAY_NATS for v in last)
        return above >= 3 and middle(last[5:]) > 0.95 * middle(last[:5])

    def _alert(self, event: Metrics, now: float, swinging: bool) -> Alert:
        rate = number(self.spec, "training.learning_rate", 0.0)
        change = lowered(self.spec, 5)
        lower = change.get("training.learning_rate", 0.0)
        if not number(self.spec, "training.warmup_steps", 0.0):
            change["training.warmup_steps"] = 0.05
        if not 0 < number(self.spec, "training.max_grad_norm", 1.0) <= 1.0:
            change["training.max_grad_norm"] = 1.0
        if setting(self.spec, "training.lr_scheduler_type") == "constant" and (
            "training.warmup_steps" in change
        ):
            change["training.lr_scheduler_type"] = "constant_with_warmup"
        how = "swings around" if swinging else "rose to"
        norm = self._norms.values[-1] if len(self._norms) else math.nan
        return Alert(
            rule=self.name,
            severity="critical",
            evidence=f"loss {how} {now:.3g} (median of 5) by step {event.step}; it was "
            f"{self._best:.3g} at step {self._best_step}"
            + (f"; grad_norm {norm:.3g}" if math.isfinite(norm) else "")
            + (f"; learning_rate {rate:g}" if rate else ""),
            cause="the learning rate is too high: each update overshoots",
            fix=f"stop, and start again with learning_rate {lower:g}"
            + (" and a warm-up" if "training.warmup_steps" in change else ""),
            change=change,
            look="a checkpoint from before it rose; if the rate is usual, the rows of the batches "
            "where it began",
            numbers={"loss": now, "best": self._best, "best_step": float(self._best_step)},
            step=event.step,
        )


class Flat:
    """After the warm-up and some way in, the loss is where it began.

    Told as learning_rate_low where the rate is below what LoRA usually takes, else as plateau: a
    note where the first steps may have taught all there is.
    """

    name = "plateau"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._weighed = setting(spec, "training.loss_type") == "dft"
        self._first, self._last, self._evals = Points(), Points(ENDS), Points()
        self._count = self._judged = 0
        self._learned = False
        self._open = ""

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Judge at each log entry once the run is far enough."""
        if not isinstance(event, Metrics):
            return
        if math.isfinite(held := event.values.get("eval_loss", math.nan)):
            self._evals.put(event.step, held)
        loss = training_loss(event)
        # The loss of dynamic fine-tuning is weighed by the tokens' own probability: it need not
        # fall while the model learns (Wu et al. 2025, arXiv:2508.05629).
        if loss is None or not math.isfinite(loss) or self._weighed:
            return
        if len(self._first) < ENDS or event.step <= self._first.steps[-1]:
            self._first.put(event.step, loss)
        self._last.put(event.step, loss)
        self._count += 1
        total = event.total_steps or 0
        due = warmup_of(self.spec, total) + min(max(SOON, 0.4 * (total or LATE)), LATE)
        if self._learned or not (self._open or (self._count >= 8 and event.step >= due)):
            return
        start, now, fell, doubt = self._fall()
        # Once it has surely learned something it is never flat again; what follows costs nothing.
        self._learned = fell - doubt > 2 * LEARNED
        if self._open:
            if fell > 1.5 * LEARNED:
                rule, self._open = self._open, ""
                yield over(rule, f"loss fell to {now:.3g} by step {event.step}", event.step)
            return
        flat = start > KNOWN and fell + doubt < LEARNED and now <= 1.1 * start
        if not flat or self._held_out_fell():
            return
        self._judged += 1
        if self._judged == 2:
            self._judged = 0
            yield self._alert(event, start, now, fell, self._never_fell(now))

    def _fall(self) -> tuple[float, float, float, float]:
        """The level at the start and now, by how much of the start it fell, and the doubt (2 se).

        Medians of the first and the last quarter; the standard error of a median of n is
        1.2533 sd / sqrt(n).
        """
        quarter = min(max(3, self._count // 4), ENDS)
        first, last = self._first.values[:quarter], self._last.values[-quarter:]
        start, now = middle(first), middle(last)
        if start <= 0:
            return start, now, 0.0, math.inf
        error = 1.2533 * math.hypot(spread(first), spread(last)) / math.sqrt(quarter)
        return start, now, (start - now) / start, 2 * error / start

    def _never_fell(self, now: float) -> bool:
        """Whether not even the first steps made it fall, where the noise lets that be told."""
        first = self._first.values[:3]
        start = middle(first)
        doubt = 2 * 1.2533 * log_noise(self._last.values) / math.sqrt(len(first))
        return start > 0 and doubt < LEARNED and (start - now) / start + doubt < LEARNED

    def _held_out_fell(self) -> bool:
        evals = self._evals.values
        return len(evals) >= 2 and min(evals) < (1 - LEARNED) * evals[0]

    def _alert(self, event: Metrics, start: float, now: float, fell: float, never: bool) -> Alert:
        rate = number(self.spec, "training.learning_rate", 0.0)
        optimiser = str(setting(self.spec, "training.optim", ""))
        plain = optimiser in ("sgd", "adagrad", "rmsprop")
        low = 0 < rate <= USUAL_LOW and not plain
        self._open = "learning_rate_low" if low else "plateau"
        change: dict[str, Any] = {}
        if plain:
            change["training.optim"] = "adamw_torch_fused"
            change["training.learning_rate"] = USUAL
            cause = f"{optimiser} hardly moves LoRA's matrices: they want Adam's step per weight"
        elif low:
            change["training.learning_rate"] = max(USUAL, tidy(rate * 10))
            cause = f"learning_rate {rate:g} is below what LoRA takes ({USUAL_LOW:g} to 2e-3)"
        elif rate > USUAL_HIGH:
            change["training.learning_rate"] = USUAL
            cause = (
                f"learning_rate {rate:g} is above what LoRA takes ({USUAL_LOW:g} to 2e-3): the "
                "first updates throw the adapter where it learns nothing more"
            )
        else:
            change |= raised(self.spec, 3)
            cause = (
                "the data hold nothing this adapter can learn at this rate: answers that do not "
                "follow from the prompts, too few layers or too low a rank, or a rate too low"
            )
        scale = number(self.spec, "lora.lora_alpha", 32) / number(self.spec, "lora.r", 16)
        # A run may have learned all there is in its first steps: then flat is as it should be.
        sure = low or plain or never or scale < SMALL_SCALE or rate > USUAL_HIGH
        return Alert(
            rule=self._open,
            severity="warning" if sure else "note",
            evidence=f"loss {start:.3g} at the start, {now:.3g} now (step {event.step}): "
            f"{abs(100 * fell):.1f}% {'less' if fell >= 0 else 'more'}"
            + (f"; learning_rate {rate:g}" if rate else ""),
            cause=cause,
            fix="start again with " + ", ".join(f"{k.split('.')[1]} {v}" for k, v in change.items())
            if change
            else "look at the data",
            change=change,
            look="grad_norm (0 means that nothing is trained), and the Data screen's rendered rows",
            numbers={"start": start, "now": now, "fell": fell},
            step=event.step,
        )


class FirstLoss:
    """The very first loss against a guess at random over the vocabulary, ln V."""

    name = "first_loss"
    SHARE = 0.85
    READS = 0.05  # tokens guessed right: the base reads the text, it only never saw its like

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.facts: DataFacts | None = None
        self._seen = False

    def add(self, event: AnyEvent) -> Iterator[Alert]:
        """Look at the first log entry only, if it is about the first steps."""
        loss = training_loss(event)
        if loss is None or self._seen or not isinstance(event, Metrics):
            return
        self._seen = True
        words = self.facts.vocabulary if self.facts is not None else 0
        early = event.step <= max(1, 0.05 * (event.total_steps or 0))
        sft = setting(self.spec, "method", "sft") == "sft"
        if not sft or not early or words < 2 or not math.isfinite(loss):
            return
        chance = math.log(words)
        if loss < self.SHARE * chance:
            return
        right = event.values.get("mean_token_accuracy", math.nan)
        reads = right >= self.READS
        yield Alert(
            rule=self.name,
            severity="note" if reads else "critical" if loss >= chance else "warning",
            evidence=f"loss is {loss:.3g} at step {event.step}; guessing at random among the "
            f"{words:,} tokens gives {chance:.3g}"
            + (f"; {right:.1%} of the tokens are guessed right" if math.isfinite(right) else ""),
            cause="the base model cannot read this text: another model's tokenizer or chat "
            "template, weights that are not what the config says, or a base that was never trained "
            "on such text",
            fix="put the tokenizer and the chat template that came with the base beside its "
            "weights",
            look="the Data screen's rendered rows with this base; the base's own answer to a "
            "plain question",
            numbers={"loss": loss, "chance": chance},
            step=event.step,
        )
