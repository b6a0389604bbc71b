"""Guided recovery of a bad run: six steps in order, each looked at as far as files tell, ticked.

In: a run's folder. Out: the steps with their evidence; ticks are kept in recovery.json there.
The order is from the cheapest and likeliest cause to the dearest: the data, the chat template, is
the adapter applied, what do the metrics say, then a fifth of the learning rate, then a miniature
run that must learn its few rows by heart.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from tuiwb import jobs
from tuiwb.errors import BadInput
from tuiwb.jobs.events import Alert
from tuiwb.jobs.folder import load, write_atomically
from tuiwb.monitor.triage import after, cleared, files, open_alerts
from tuiwb.monitor.triage.facts import AdapterFacts, DataFacts, read_facts
from tuiwb.monitor.triage.rule import lowered, number, setting, tidy

RECOVERY = "recovery.json"
NAMED = 4  # rows named with an alert
MINIATURE_STEPS = 60
ENOUGH = 10  # losses of a run that goes on, before their course says anything
# A run that learns its few rows by heart ends below this share of its first loss.
BY_HEART = 0.2

Key = Literal["data", "template", "adapter", "metrics", "learning_rate", "miniature"]
Verdict = Literal["good", "bad", "unknown"]
KEYS: tuple[Key, ...] = get_args(Key)
# What the program found of a step, in words that are not those of a person's tick.
VERDICTS: dict[Verdict, str] = {
    "good": "looks fine",
    "bad": "looks wrong",
    "unknown": "left to you",
}

# Which step an alert belongs to.
STEP_OF: dict[str, Key] = {
    "rows_cut": "data",
    "rows_masked": "data",
    "loss_spike": "data",
    "no_heldout": "data",
    "chat_template": "template",
    "stop_token": "template",
    "pad_is_eos": "template",
    "first_loss": "template",
    "adapter_not_applied": "adapter",
    "adapter_weak": "adapter",
    "adapter_partly_zero": "adapter",
    "zero_gradient": "adapter",
    "learning_rate_high": "learning_rate",
    "learning_rate_low": "learning_rate",
    "not_finite": "learning_rate",
    "plateau": "learning_rate",
}


class Step(msgspec.Struct, kw_only=True):
    """One step: what it asks, what was found by itself (`verdict`, `evidence`), what to do.

    `change` is the config change that the step offers (dotted keys), empty where there is none;
    `ticked` the unix time a person ticked it, None while it is open.
    """

    key: Key
    title: str
    checks: str
    verdict: Verdict = "unknown"
    evidence: list[str] = []
    action: str = ""
    change: dict[str, Any] = {}
    ticked: float | None = None


class Found(msgspec.Struct, kw_only=True):
    """What a run's files tell: its spec, its data, its adapter, its alerts, its metrics."""

    spec: dict[str, Any]
    facts: DataFacts | None = None
    adapter: AdapterFacts | None = None
    alerts: list[Alert] = []
    first_loss: float | None = None
    last_loss: float | None = None
    metrics: dict[str, float] = {}
    state: str = ""
    step: int = 0
    logged: int | None = None  # training losses in the log, as far as it matters; None: not known


def steps(run: Path) -> list[Step]:
    """The six steps of a run's recovery, in order, looked at anew; ticks as kept.

    Reads the adapter and one base's weights: call it from a thread. BadInput for a folder that
    holds no train run.
    """
    ticks = ticked(run)
    made = assess(look(run))
    for step in made:
        step.ticked = ticks.get(step.key)
    return made


def tick(run: Path, key: Key, done: bool = True) -> None:
    """Tick a step, or take its tick back; kept at once in the run's recovery.json."""
    ticks = ticked(run)
    if done:
        ticks[key] = time.time()
    else:
        ticks.pop(key, None)
    body = {"ticked": {name: ticks[name] for name in KEYS if name in ticks}}
    try:
        write_atomically(run / RECOVERY, json.dumps(body, indent=1).encode())
    except OSError as error:
        raise BadInput(f"can't keep the tick in {run}: {error.strerror or error}") from None


def ticked(run: Path) -> dict[Key, float]:
    """When each step was ticked; what can't be read counts as open."""
    try:
        kept = json.loads((run / RECOVERY).read_bytes())["ticked"]
        return {key: float(kept[key]) for key in KEYS if key in kept}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def look(run: Path) -> Found:
    """Everything the run's files tell. BadInput for a folder that holds no train run."""
    job = load(run)
    if job.kind != "train":
        raise BadInput(f"{job.name} is a {job.kind} job: only a train run can be recovered")
    state = jobs.status(run)
    alerts = [a for a in state.alerts if isinstance(a, Alert)]
    facts = read_facts(run)
    first, last = files.losses(run)
    return Found(
        spec=job.spec,
        facts=facts,
        adapter=files.adapter_facts(run),
        alerts=standing([*alerts, *after(run)]),
        first_loss=first,
        last_loss=last,
        metrics=dict(state.metrics),
        state=state.state,
        step=state.step,
        logged=files.losses_logged(run, ENOUGH),
    )


def standing(alerts: list[Alert]) -> list[Alert]:
    """The alerts that still say something: the open ones, and spikes though they are over, for
    the rows that made them are still in the data."""
    spikes = [a for a in alerts if a.rule == "loss_spike" and not cleared(a)]
    return [*spikes, *(a for a in open_alerts(alerts) if a.rule != "loss_spike")]


def assess(found: Found) -> list[Step]:
    """The six steps with what the files say to each. Pure."""
    return [
        _data(found),
        _template(found),
        _adapter(found),
        _metrics(found),
        _learning_rate(found),
        _miniature(found),
    ]


def _data(found: Found) -> Step:
    step = Step(
        key="data",
        title="Look at the data",
        checks="rows that are cut, masked, garbled, or not what the model should say",
        action="read ten random rows as rendered in the Data screen, and the rows named here",
    )
    facts = found.facts
    if facts is not None:
        step.evidence.append(
            f"{facts.rows} rows trained on, {facts.cut} cut, {facts.masked} without a trained "
            f"token; {facts.heldout_rows} held out"
        )
        step.verdict = "good"
    elif rows := setting(found.spec, "rows.train"):
        step.evidence.append(f"{rows} rows; the run kept no measurement of them")
    return _with_alerts(step, found)


def _template(found: Found) -> Step:
    step = Step(
        key="template",
        title="Check the chat template",
        checks="the base's own marks, the end of an answer trained, a first loss that makes sense",
        action="compare the rendering with the base's own in the Data screen's template view",
    )
    facts = found.facts
    if facts is not None:
        unstopped = f"{facts.uncut - facts.unstopped} of {facts.uncut} whole rows train their end"
        step.evidence.append(
            unstopped + (f"; first loss {found.first_loss:.3g}" if found.first_loss else "")
        )
        step.verdict = "good"
    return _with_alerts(step, found)


def _adapter(found: Found) -> Step:
    step = Step(
        key="adapter",
        title="See that the adapter is applied",
        checks="lora_B is not zero, the update is not too small, answers differ from the base's",
        action="compare on the held-out file: the answers must differ from the base's",
    )
    adapter = found.adapter
    if adapter is None:
        step.evidence.append("no adapter was saved")
        return _with_alerts(step, found)
    share = (
        f", changes weights by up to {100 * adapter.update:.2g}%"
        if adapter.update is not None
        else ""
    )
    step.evidence.append(
        f"{adapter.matrices - adapter.zero} of {adapter.matrices} lora_B matrices are not zero, "
        f"scale {adapter.scale:.2g}{share}"
    )
    step.verdict = "good"
    if not adapter.finite:
        step.verdict = "bad"
        step.evidence.append("it holds numbers that are not finite")
    return _with_alerts(step, found)


def _metrics(found: Found) -> Step:
    step = Step(
        key="metrics",
        title="Read the metrics",
        checks="loss falls, held-out loss falls with it, grad_norm is neither 0 nor huge",
        action="look at loss, eval_loss and grad_norm over each other",
    )
    if found.first_loss is not None and found.last_loss is not None:
        step.evidence.append(
            f"loss {found.first_loss:.3g} -> {found.last_loss:.3g} in {found.step} steps"
        )
        if early := _too_early(found):
            step.evidence.append(early)
        elif found.last_loss < 0.9 * found.first_loss:
            step.verdict = "good"
        elif not found.last_loss < found.first_loss:
            step.verdict = "bad"
    for name in ("eval_loss", "grad_norm", "mean_token_accuracy"):
        if name in found.metrics:
            step.evidence.append(f"{name} {found.metrics[name]:.3g} at the end")
    return _with_alerts(step, found)


def _too_early(found: Found) -> str:
    """Why the course of the loss says nothing yet; "" where it does."""
    running = bool(found.state) and found.state not in jobs.ENDED
    if found.logged is not None and found.logged < (ENOUGH if running else 2):
        losses = "loss" if found.logged == 1 else "losses"
        return f"too early to tell: {found.logged} {losses} logged"
    warm = number(found.spec, "training.warmup_steps", 0.0)
    if running and found.step < warm:
        return f"too early to tell: the learning rate still rises, until step {warm:.0f}"
    return ""


def _learning_rate(found: Found) -> Step:
    rate = number(found.spec, "training.learning_rate", 0.0)
    change = lowered(found.spec, 5)
    lower = change.get("training.learning_rate", 0.0)
    step = Step(
        key="learning_rate",
        title="Try a fifth of the learning rate"
        if lower >= tidy(rate / 5)
        else "Try a learning rate that LoRA takes",
        checks="whether the run gets better when each update is smaller",
        action=f"start again with learning_rate {lower:g} and the same seed"
        if lower
        else "start again with a fifth of the learning rate",
        change=change,
    )
    if rate:
        step.evidence.append(f"learning_rate {rate:g}; LoRA usually takes 1e-4 to 5e-4")
    said = [a for a in found.alerts if STEP_OF.get(a.rule) == "learning_rate"]
    low = next((a for a in said if a.rule in ("learning_rate_low", "plateau")), None)
    if low is not None and low.change:
        step.title = "Try another learning rate"
        step.action, step.change = low.fix, low.change
    return _with_alerts(step, found)


def _miniature(found: Found) -> Step:
    warm = number(found.spec, "training.warmup_steps", 0.0)
    change: dict[str, Any] = {
        "training.max_steps": MINIATURE_STEPS,
        "training.lr_scheduler_type": "constant",
        "training.logging_steps": 1,
    }
    if warm:
        change["training.warmup_steps"] = 0
    return Step(
        key="miniature",
        title="Make a miniature run",
        checks="whether this pipeline can learn at all: a few rows, learned by heart",
        action="put 20 rows into a file of their own, train on them alone for "
        f"{MINIATURE_STEPS} steps: the loss must fall below {BY_HEART:.0%} of its start. If it "
        "doesn't, the fault is in template, masks or adapter; if it does, it is in the data or "
        "the settings",
        change=change,
    )


def _with_alerts(step: Step, found: Found) -> Step:
    """The alerts that belong to a step, worst first; any above a note makes it bad."""
    order = ("critical", "warning", "note")
    mine = [a for a in found.alerts if STEP_OF.get(a.rule, "metrics") == step.key]
    for alert in sorted(mine, key=lambda a: order.index(a.severity) if a.severity in order else 2):
        rows = f" ({', '.join(alert.rows[:NAMED])})" if alert.rows else ""
        step.evidence.append(f"{alert.severity}: {alert.evidence}{rows}")
        if alert.severity != "note":
            if step.verdict != "bad":
                step.action = alert.fix or step.action
                step.change = alert.change or step.change
            step.verdict = "bad"
    return step


def first_open(made: Iterable[Step]) -> Step | None:
    """The step to go on with: the first bad one that is not ticked, else the first not ticked."""
    left = [step for step in made if step.ticked is None]
    return next((s for s in left if s.verdict == "bad"), left[0] if left else None)
