"""What a comparison's answers say: format, forgetting, worse than the base. Pure."""

from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert
from tuiwb.monitor.triage.facts import Answers, Scores
from tuiwb.monitor.triage.rule import lowered, number
from tuiwb.monitor.triage.weights import answers_like_the_base

FEW = 5  # prompts below which nothing is said
BROKEN = (0.04, 0.5)  # share of answers that break the format: a warning, critical
SURE = 0.05  # p of the sign test
MUCH = 0.2  # a drop of the mean that is critical
# From the plainest to the most forgiving: the first that applies decides.
WHOLE = ("all_fields", "normalised_match", "exact_match", "token_f1")


def answer_alerts(answers: Answers, spec: dict[str, Any]) -> Iterator[Alert]:
    """Everything that a comparison's answers say."""
    yield from answers_like_the_base(answers, spec)
    yield from _format(answers, spec)
    yield from _worse(answers, spec)


def _format(answers: Answers, spec: dict[str, Any]) -> Iterator[Alert]:
    valid = next((m for m in answers.metrics if m.name == "json_valid"), None)
    if valid is None or valid.n < FEW or 1 - valid.adapter < BROKEN[0]:
        return
    share = 1 - valid.adapter
    broken = round(share * valid.n)
    rambles = answers.cut >= 0.5 * broken
    yield Alert(
        rule="format_violations",
        severity="critical" if share >= BROKEN[1] else "warning",
        evidence=f"{broken} of {valid.n} answers are no JSON although the reference is (the base: "
        f"{round((1 - valid.base) * valid.n)})"
        + (f"; {answers.cut} answers never ended" * bool(answers.cut)),
        cause="the answers don't end: the stop token is not trained, or max_new_tokens is too low"
        if rambles
        else "the format is not learned yet, or the training answers break it too",
        fix="train longer on answers that all keep the format; look at the audit's format drift",
        change=_longer(spec),
        look="the answers below in the Compare screen; the Data screen's findings of `format`",
        rows=answers.not_json,
        numbers={"broken": float(broken), "answers": float(valid.n)},
    )


def _worse(answers: Answers, spec: dict[str, Any]) -> Iterator[Alert]:
    scores = next((m for name in WHOLE for m in answers.metrics if m.name == name), None)
    if scores is None or scores.n < FEW or not _surely_worse(scores):
        return
    drop = scores.base - scores.adapter
    p = f", p {scores.p:.2g}" if scores.p is not None else ""
    evidence = (
        f"{scores.name} is {scores.adapter:.0%} where the base has {scores.base:.0%} on "
        f"{scores.n} prompts ({scores.worse} worse, {scores.better} better{p})"
    )
    severity = "critical" if drop >= MUCH else "warning"
    change = lowered(spec, 2)
    numbers = {"base": scores.base, "adapter": scores.adapter, "prompts": float(scores.n)}
    if answers.heldout:
        yield Alert(
            rule="worse_than_base",
            severity=severity,
            evidence=evidence,
            cause="the fine-tune took away more than it gave: data that contradict the held-out "
            "rows, another template than the base's, or too high a learning rate",
            fix="look at the answers that became worse, then at training rows like them",
            change=change,
            look="the Compare screen, sorted by worse",
            numbers=numbers,
        )
    else:
        yield Alert(
            rule="forgetting",
            severity=severity,
            evidence=evidence,
            cause="catastrophic forgetting: the fine-tune overwrites what the base knew",
            fix="lower the learning rate or the rank, train for fewer steps, or mix general rows "
            "into data.train (5 to 20%)",
            change=change,
            look="the Compare screen: which questions does it get wrong now?",
            numbers=numbers,
        )


def _surely_worse(scores: Scores) -> bool:
    if scores.worse <= scores.better:
        return False
    if scores.p is not None:
        return scores.p < SURE
    return scores.base - scores.adapter >= MUCH


def _longer(spec: dict[str, Any]) -> dict[str, Any]:
    steps = int(number(spec, "training.max_steps", -1))
    if steps > 0:
        return {"training.max_steps": 2 * steps}
    return {"training.num_train_epochs": 2 * number(spec, "training.num_train_epochs", 3.0)}
