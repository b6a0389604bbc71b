"""What may be changed while a run trains: the learning rate and the logging interval.

In: the arguments of a `set` command and the trainer. Out: what was changed, in words.
Worker side only: it takes torch's optimizer and scheduler as they are.
"""

import math
from typing import Any

from tuiwb.errors import BadInput

SETTABLE = ("learning_rate", "logging_steps")


def change(trainer: Any, args: dict[str, Any]) -> list[str]:
    """Apply the changes of a `set` command from the next step on; all of them or none.

    Returns a line for each. BadInput for a name or a value that can't be.
    """
    if not args:
        raise BadInput(f"nothing to set: give {' or '.join(SETTABLE)}")
    if unknown := sorted(set(args) - set(SETTABLE)):
        raise BadInput(
            f"{', '.join(unknown)} can't be changed in flight: only {' and '.join(SETTABLE)}"
        )
    if any(value is None for value in args.values()):
        # NaN and infinity become null on their way through JSON.
        raise BadInput(f"{' and '.join(args)} must be numbers")
    rate = args.get("learning_rate")
    if rate is not None and not (_number(rate) and math.isfinite(rate) and rate > 0):
        raise BadInput(f"learning_rate {rate!r} must be a number above 0")
    every = args.get("logging_steps")
    if every is not None and not (_number(every) and every == int(every) and every >= 1):
        raise BadInput(f"logging_steps {every!r} must be a whole number of at least 1")
    step, said = trainer.state.global_step, []
    if rate is not None:
        before = set_learning_rate(trainer.optimizer, trainer.lr_scheduler, float(rate))
        said.append(f"learning_rate {before:g} -> {float(rate):g} from step {step + 1} on")
    if every is not None:
        said.append(
            f"logging_steps {trainer.state.logging_steps} -> {int(every)} from step {step + 1} on"
        )
        # The trainer's flow asks its state, not its arguments, and a checkpoint keeps the state.
        trainer.state.logging_steps = int(every)
    return said


def set_learning_rate(optimizer: Any, scheduler: Any, rate: float) -> float:
    """Make `rate` the base (peak) learning rate; returns the base it replaces.

    The schedule goes on from where it is: its next value is `rate` times the same factor. Groups
    with rates of their own keep their ratio to the first. A scheduler without base rates (on
    plateau) starts to lower from `rate`.
    """
    inner = getattr(scheduler, "scheduler", scheduler)
    bases: list[float] | None = getattr(inner, "base_lrs", None)
    groups = optimizer.param_groups
    base = float(bases[0] if bases else groups[0]["lr"])
    ratio = rate / base if base else None
    for group in groups:
        for key in ("lr", "initial_lr"):
            if key in group:
                group[key] = group[key] * ratio if ratio is not None else rate
    if bases:
        inner.base_lrs = [b * ratio if ratio is not None else rate for b in bases]
    if hasattr(inner, "_last_lr"):
        inner._last_lr = [group["lr"] for group in groups]
    return base


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
