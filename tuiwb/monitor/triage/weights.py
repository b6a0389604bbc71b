"""Is there an adapter in the adapter: its matrices, its scale, what it changes in the base."""

from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert
from tuiwb.monitor.triage.facts import AdapterFacts, Answers
from tuiwb.monitor.triage.rule import USUAL_LOW, number, raised, setting, tidy

# Of the base weight's norm: nothing, and hardly anything. In bfloat16 an element moves by 2^-9 of
# itself or not at all; the sound runs recorded in tests/monitor changed 2 to 40%.
NOTHING, HARDLY = 1e-6, 2e-3
SMALL_SCALE = 0.1
ALIKE = 0.9  # share of held-out answers that are the base's own


def adapter_alerts(
    facts: AdapterFacts, spec: dict[str, Any], step: int | None = None
) -> Iterator[Alert]:
    """What a saved adapter's own numbers say."""
    numbers = {"matrices": float(facts.matrices), "zero": float(facts.zero), "scale": facts.scale}
    if facts.update is not None:
        numbers["update"] = facts.update
    if not facts.finite:
        yield Alert(
            rule="not_finite",
            severity="critical",
            evidence="the saved adapter holds NaN or infinity",
            cause="training diverged before it was saved",
            fix="throw this adapter away; start again with a lower learning rate",
            change={
                "training.learning_rate": min(
                    tidy(number(spec, "training.learning_rate", 2e-4) / 10), 2e-4
                )
            },
            look="the step where loss or grad_norm became NaN, and the checkpoints before it",
            numbers=numbers,
            step=step,
        )
    elif facts.zero == facts.matrices or (facts.update is not None and facts.update < NOTHING):
        seen = (
            f"all {facts.matrices} lora_B matrices are zero"
            if facts.zero == facts.matrices
            else f"the update is at most {facts.update:.1e} of the base's weights"
        )
        yield Alert(
            rule="adapter_not_applied",
            severity="critical",
            evidence=f"{seen}: the model answers as the base does",
            cause="the adapter was never trained: no gradient, a learning rate of next to nothing, "
            "or an optimiser that holds other weights",
            fix="see that loss fell and grad_norm was above 0; lora.init_lora_weights: true and a "
            "usual learning rate",
            change=_usual_rate(spec),
            look="the curves of loss and grad_norm",
            numbers=numbers,
            step=step,
        )
    elif facts.scale < SMALL_SCALE or (facts.update is not None and facts.update < HARDLY):
        update = (
            ""
            if facts.update is None
            else f", changes the base's weights by {100 * facts.update:.2g}%"
        )
        yield Alert(
            rule="adapter_weak",
            severity="warning",
            evidence=f"the adapter is scaled by lora_alpha / r = {facts.scale:.2g}{update} at most",
            cause="lora_alpha is too low for the rank"
            if facts.scale < SMALL_SCALE
            else "too few steps or too low a learning rate to change the base",
            fix="set lora_alpha to r or 2 x r"
            if facts.scale < SMALL_SCALE
            else "train longer, or at a higher learning rate",
            change=_strong_alpha(spec) if facts.scale < SMALL_SCALE else raised(spec, 5),
            look="compare: how many answers differ from the base's",
            numbers=numbers,
            step=step,
        )
    elif facts.zero:
        yield Alert(
            rule="adapter_partly_zero",
            severity="note",
            evidence=f"{facts.zero} of {facts.matrices} lora_B matrices are zero",
            cause="those layers saw no gradient: unused experts, or layers after the last used one",
            fix="leave them out with lora.exclude_modules",
            look="lora.target_modules",
            numbers=numbers,
            step=step,
        )


def answers_like_the_base(answers: Answers, spec: dict[str, Any]) -> Iterator[Alert]:
    """What answers say that are the base's own, word for word."""
    numbers = {"identical": float(answers.identical), "answers": float(answers.n)}
    if answers.logit_difference is not None:
        numbers["logit_difference"] = answers.logit_difference
    if answers.n and answers.logit_difference == 0.0:
        yield Alert(
            rule="adapter_not_applied",
            severity="critical",
            evidence=f"the adapter changes no logit of the base on {answers.n} prompts",
            cause="its matrices are zero, or it was put on layers that are not used",
            fix="train again with lora.init_lora_weights: true and a usual learning rate",
            change=_usual_rate(spec),
            look="the adapter's lora_B matrices",
            numbers=numbers,
        )
    elif answers.heldout and answers.n >= 5 and answers.identical >= ALIKE * answers.n:
        scale = number(spec, "lora.lora_alpha", 32) / max(1.0, number(spec, "lora.r", 16))
        yield Alert(
            rule="adapter_weak",
            severity="warning",
            evidence=f"{answers.identical} of {answers.n} answers to held-out prompts are the "
            "base's own, word for word"
            + (
                f"; largest logit difference {answers.logit_difference:.2g}"
                if answers.logit_difference is not None
                else ""
            ),
            cause="the update is too small: lora_alpha / r is "
            f"{scale:.2g}, learning_rate {number(spec, 'training.learning_rate', 0):g}",
            fix="raise lora_alpha, or train longer or at a higher rate",
            change=_strong_alpha(spec)
            if scale < 1 and not setting(spec, "lora.use_rslora", False)
            else raised(spec, 5),
            look="the loss: did it fall?",
            numbers=numbers,
        )


def _strong_alpha(spec: dict[str, Any]) -> dict[str, Any]:
    return {"lora.lora_alpha": 2 * int(number(spec, "lora.r", 16))}


def _usual_rate(spec: dict[str, Any]) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if number(spec, "training.learning_rate", 2e-4) < USUAL_LOW:
        change["training.learning_rate"] = 2e-4
    if setting(spec, "lora.init_lora_weights", True) is not True:
        change["lora.init_lora_weights"] = True
    return change
