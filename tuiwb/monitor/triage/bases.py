"""The same config and data on another base model: did the change of base make it worse. Pure."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tuiwb.jobs.events import Alert
from tuiwb.jobs.folder import Job
from tuiwb.monitor.triage.facts import Answers
from tuiwb.monitor.triage.rule import section, setting

WORSE, WORSE_NATS = 1.05, 0.03
SCORE = 0.05  # of a task metric's mean
# Settings in which two runs may differ and still be the same experiment.
FREE = ("seed", "data_seed", "logging_steps", "save_steps", "save_strategy", "save_total_limit")


class Outcome(msgspec.Struct, kw_only=True):
    """A run as far as two of them can be held against each other.

    `eval_loss` is its last; `words` the size of its vocabulary: losses per token of two tokenizers
    can't be compared. `score` is the mean of the task metric `metric` over its held-out prompts.
    """

    name: str
    created: float
    base: str
    fingerprint: str
    data: list[str]
    config: dict[str, Any]
    eval_loss: float = math.nan
    words: int = 0
    metric: str = ""
    score: float | None = None


def outcome_of(job: Job, eval_loss: float, words: int, answers: Answers | None) -> Outcome:
    """The outcome of a train job from what is known of it."""
    base = str(setting(job.spec, "model.base", ""))
    train = setting(job.spec, "data.train", [])
    paths = [*(train if isinstance(train, list) else [train]), setting(job.spec, "data.heldout")]
    scores = answers.metrics[0] if answers and answers.heldout and answers.metrics else None
    return Outcome(
        name=job.name,
        created=job.created,
        base=base,
        fingerprint=str(job.fingerprints.get(base) or ""),
        data=[str(job.fingerprints.get(str(path)) or path) for path in paths if path],
        config={key: job.spec.get(key) for key in ("method", "lora", "training")},
        eval_loss=eval_loss,
        words=words,
        metric=scores.name if scores is not None else "",
        score=scores.adapter if scores is not None else None,
    )


def same_experiment(run: Outcome, other: Outcome) -> bool:
    """Whether method, data, adapter and training agree and only the base differs."""
    return (
        bool(run.fingerprint and other.fingerprint)
        and run.fingerprint != other.fingerprint
        and run.data == other.data
        and _core(run.config) == _core(other.config)
    )


def base_alerts(run: Outcome, others: Iterable[Outcome]) -> Iterator[Alert]:
    """`run` against the newest earlier one that differs in its base alone."""
    before = [o for o in others if o.created < run.created and same_experiment(run, o)]
    if not before:
        return
    other = max(before, key=lambda o: o.created)
    said = [*_scores(run, other), *_losses(run, other)]
    if not said:
        return
    yield Alert(
        rule="base_change",
        severity="warning",
        evidence=f"{'; '.join(said)} (run {other.name}, same config and data, other base)",
        cause="the new base suits the task less, or its chat template, tokenizer or precision "
        "differ",
        fix=f"go back to {other.base}, or tune learning rate and template for the new base",
        change={"model.base": other.base} if other.base != run.base else {},
        look="the config diff of both runs and their curves over each other",
        numbers={
            key: value
            for key, value in {"eval_loss": run.eval_loss, "before": other.eval_loss}.items()
            if math.isfinite(value)
        },
    )


def _losses(run: Outcome, other: Outcome) -> Iterator[str]:
    comparable = run.words == other.words and math.isfinite(run.eval_loss + other.eval_loss)
    if comparable and run.eval_loss > WORSE * other.eval_loss + WORSE_NATS:
        yield f"eval_loss ended at {run.eval_loss:.3g}; it was {other.eval_loss:.3g}"


def _scores(run: Outcome, other: Outcome) -> Iterator[str]:
    if run.score is None or other.score is None or run.metric != other.metric:
        return
    if run.score < other.score - SCORE:
        yield f"{run.metric} is {run.score:.0%}; it was {other.score:.0%}"


def _core(config: dict[str, Any]) -> dict[str, Any]:
    training = {k: v for k, v in section(config.get("training")).items() if k not in FREE}
    return {"method": config.get("method"), "lora": config.get("lora"), "training": training}
