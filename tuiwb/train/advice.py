"""What a config adds up to, and what in it will surprise: pure, from values alone."""

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec

from tuiwb.train.problems import Problem, Severity
from tuiwb.train.schema import GPU_ATTENTION, SCHEDULER_KWARGS, RunConfig

Position = Callable[[Sequence[str]], tuple[int, int]]

# Schulman and Thinking Machines Lab, "LoRA Without Regret" (2025): LoRA's best learning rate is
# about 10 times that of full fine-tuning, largely independent of rank.
USUAL_LEARNING_RATE = (2e-5, 2e-3)


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The run in optimiser steps: per epoch and in all, with its warm-up."""

    batch: int
    per_epoch: int
    total: int
    warmup: int


def effective_batch(config: RunConfig) -> int:
    """Rows in one optimiser step on one device."""
    t = config.training
    return t.per_device_train_batch_size * t.gradient_accumulation_steps


def steps(config: RunConfig, rows: int) -> Steps:
    """How many steps `rows` training rows make, as transformers' Trainer counts them.

    With packing the rows are packs, which only the trainer knows: an upper bound then.
    """
    t = config.training
    batches = math.ceil(rows / t.per_device_train_batch_size)
    per_epoch = max(math.ceil(batches / t.gradient_accumulation_steps), 1)
    total = t.max_steps if t.max_steps > 0 else math.ceil(t.num_train_epochs * per_epoch)
    warmup = t.warmup_steps
    return Steps(
        batch=effective_batch(config),
        per_epoch=per_epoch,
        total=total,
        warmup=int(warmup) if warmup >= 1 else math.ceil(warmup * total),
    )


def advise(config: RunConfig, position: Position, *, rows: int | None = None) -> list[Problem]:
    """Everything worth saying about a valid config; errors are what can't run at all."""
    said = [*_data(config), *_adapter(config), *_loop(config), *_saving(config)]
    if rows is not None:
        said += _length(config, rows)
    problems = []
    for key, severity, message in said:
        line, column = position(key.split("."))
        problems.append(
            Problem(line=line, column=column, key=key, message=message, severity=severity)
        )
    return problems


Said = Iterator[tuple[str, Severity, str]]


def eval_strategy(config: RunConfig) -> str:
    """When the held-out loss is measured once null is filled in."""
    return config.training.eval_strategy or ("epoch" if config.data.heldout else "no")


def _data(config: RunConfig) -> Said:
    data = config.data
    train = [data.train] if isinstance(data.train, str) else data.train
    if data.heldout is None:
        if config.training.eval_strategy in ("steps", "epoch"):
            yield (
                "training.eval_strategy",
                "error",
                f"eval_strategy {config.training.eval_strategy} wants data.heldout: name a "
                "held-out file or set eval_strategy: no",
            )
        if config.training.eval_on_start:
            yield (
                "training.eval_on_start",
                "error",
                "eval_on_start wants data.heldout: name a held-out file or set it to false",
            )
        yield (
            "data.heldout",
            "warning",
            "no data.heldout: overfitting can't be seen and compare has nothing to generate for",
        )
    elif data.heldout in train:
        yield (
            "data.heldout",
            "error",
            f"{data.heldout} is both trained on and held out: its eval_loss would mean nothing",
        )
    elif eval_strategy(config) == "no":
        yield (
            "training.eval_strategy",
            "warning",
            "data.heldout is set but eval_strategy is no: the held-out loss is never measured",
        )
    if len(set(train)) < len(train):
        yield "data.train", "warning", "a file stands twice in data.train: its rows count double"
    if data.malformed == "skip":
        yield "data.malformed", "note", "rows that can't be read are left out; the log counts them"


def _adapter(config: RunConfig) -> Said:
    lora = config.lora
    scale = lora.lora_alpha / (math.sqrt(lora.r) if lora.use_rslora else lora.r)
    root = "sqrt(r)" if lora.use_rslora else "r"
    if not lora.use_rslora and not 0.25 <= scale <= 8:
        yield (
            "lora.lora_alpha",
            "warning",
            f"lora_alpha / {root} is {scale:g}: the update is scaled by that; 1 or 2 is usual",
        )
    if lora.r >= 64 and not lora.use_rslora:
        yield (
            "lora.r",
            "note",
            f"at r {lora.r} lora_alpha / r shrinks the update: use_rslora keeps it steady",
        )
    served = {"lm_head", "embed_tokens"} & set(lora.modules_to_save or [])
    if served:
        yield (
            "lora.modules_to_save",
            "warning",
            f"{', '.join(sorted(served))} in the adapter: vLLM refuses to serve it unmerged",
        )
    if isinstance(lora.target_modules, list) and "lm_head" in lora.target_modules:
        yield (
            "lora.target_modules",
            "error",
            "TRL's fused loss can't train an adapter on lm_head: take it out of target_modules",
        )
    if lora.init_lora_weights == "orthogonal" and lora.r % 2:
        yield "lora.r", "error", f"init_lora_weights orthogonal wants an even r, not {lora.r}"
    if lora.layers_to_transform is not None and isinstance(lora.target_modules, str):
        yield (
            "lora.layers_to_transform",
            "error",
            "PEFT takes layers_to_transform only with a list of target_modules, such as [q_proj, "
            "v_proj]",
        )
    if lora.use_dora:
        yield "lora.use_dora", "note", "vLLM can't serve a DoRA adapter: merge it before serving"
    if lora.bias != "none":
        yield (
            "lora.bias",
            "note",
            f"bias {lora.bias} changes the model even with the adapter switched off",
        )


def _loop(config: RunConfig) -> Said:
    t = config.training
    low, high = USUAL_LEARNING_RATE
    if not low <= t.learning_rate <= high:
        way = "above" if t.learning_rate > high else "below"
        what = "the loss may diverge" if way == "above" else "LoRA will hardly learn"
        yield (
            "training.learning_rate",
            "warning",
            f"learning_rate {t.learning_rate:g} is {way} what LoRA usually takes ({low:g} to "
            f"{high:g}): {what}",
        )
    if t.bf16 and t.fp16:
        yield "training.fp16", "error", "bf16 and fp16 are both true: keep one"
    if t.fp16 and t.use_cpu:
        yield "training.fp16", "error", "fp16 can't train on the CPU: set fp16: false"
    if t.use_cpu and config.model.attn_implementation in GPU_ATTENTION:
        name = config.model.attn_implementation
        yield "model.attn_implementation", "error", f"{name} can't train on the CPU: sdpa can"
    if t.packing and t.max_length is None:
        yield "training.max_length", "error", "packing wants max_length: the length of a pack"
    if t.padding_free and not t.packing and t.max_length is not None:
        yield (
            "training.padding_free",
            "error",
            "padding_free without packing wants max_length: null (TRL can't cut rows then)",
        )
    if (t.padding_free or t.packing) and not _flash(config):
        isolated = t.packing and t.packing_strategy != "wrapped"
        yield (
            "training.packing" if t.packing else "training.padding_free",
            "warning",
            "without flash attention "
            + (
                "rows in one pack are kept apart by position ids only; check the loss against an "
                "unpacked run"
                if isolated
                else "rows in one sequence see each other"
            ),
        )
    if t.completion_only_loss and t.assistant_only_loss:
        yield (
            "training.completion_only_loss",
            "note",
            "both losses are on: chat rows learn the assistant's tokens, prompt/completion rows "
            "the completion",
        )
    if not t.assistant_only_loss:
        yield (
            "training.assistant_only_loss",
            "note",
            "the model also learns to write the user's and the system's turns",
        )
    if t.lr_scheduler_type == "constant" and t.warmup_steps:
        yield (
            "training.lr_scheduler_type",
            "warning",
            "constant ignores warmup_steps: constant_with_warmup honours them",
        )
    yield from _schedule(config)
    if t.max_steps == 0:
        yield "training.max_steps", "error", "max_steps is 0: -1 goes by num_train_epochs"
    if 1 < t.warmup_steps != int(t.warmup_steps):
        yield "training.warmup_steps", "error", "warmup_steps above 1 must be a whole number"
    if t.max_steps > 0 and t.warmup_steps >= max(t.max_steps, 1):
        yield (
            "training.warmup_steps",
            "warning",
            f"the warm-up ({t.warmup_steps:g} steps) is as long as the run ({t.max_steps})",
        )


def _schedule(config: RunConfig) -> Said:
    """What the scheduler's own arguments must be; the trainer would end with a TypeError."""
    t = config.training
    given, takes = t.lr_scheduler_kwargs or {}, SCHEDULER_KWARGS[t.lr_scheduler_type]
    for name in given:
        if name not in takes:
            hint = f"it takes {', '.join(takes)}" if takes else "it takes none"
            yield (
                "training.lr_scheduler_kwargs",
                "error",
                f"{t.lr_scheduler_type} has no argument {name!r}: {hint}",
            )
    minima = {"min_lr", "min_lr_rate"} & set(given)
    if t.lr_scheduler_type == "cosine_with_min_lr" and len(minima) != 1:
        yield (
            "training.lr_scheduler_type",
            "error",
            "cosine_with_min_lr wants lr_scheduler_kwargs: {min_lr_rate: 0.1}"
            + (", or min_lr, not both" if minima else ""),
        )
    if t.lr_scheduler_type == "warmup_stable_decay" and "num_decay_steps" not in given:
        yield (
            "training.lr_scheduler_type",
            "error",
            "warmup_stable_decay wants lr_scheduler_kwargs: {num_decay_steps: 100}",
        )
    end = given.get("lr_end")
    if isinstance(end, int | float) and end >= t.learning_rate:
        yield (
            "training.lr_scheduler_kwargs",
            "error",
            f"lr_end {end:g} must be below learning_rate {t.learning_rate:g}",
        )


def _saving(config: RunConfig) -> Said:
    t = config.training
    evaluates = eval_strategy(config)
    for key in ("logging_steps", "eval_steps", "save_steps"):
        value = getattr(t, key)
        if value is not None and value > 1 and value != int(value):
            yield f"training.{key}", "error", f"{key} above 1 must be a whole number, not {value:g}"
    if t.save_strategy == "no":
        yield (
            "training.save_strategy",
            "warning",
            "no checkpoints: a run that dies starts again from step 0",
        )
    if not t.load_best_model_at_end:
        return
    if evaluates == "no":
        yield (
            "training.load_best_model_at_end",
            "error",
            "load_best_model_at_end wants data.heldout and an eval_strategy",
        )
    elif evaluates != t.save_strategy:
        yield (
            "training.load_best_model_at_end",
            "error",
            f"load_best_model_at_end wants save_strategy {evaluates}, as eval_strategy has it, "
            f"not {t.save_strategy}",
        )
    elif evaluates == "steps":
        every = t.eval_steps or t.logging_steps
        if t.save_steps >= 1 and every >= 1 and t.save_steps % every:
            yield (
                "training.save_steps",
                "error",
                f"save_steps {t.save_steps:g} must be a multiple of eval_steps {every:g} with "
                "load_best_model_at_end",
            )


def _length(config: RunConfig, rows: int) -> Said:
    t = config.training
    counted = steps(config, rows)
    packed = " before packing" if t.packing else ""
    yield (
        "training",
        "note",
        f"{rows:,} rows in batches of {counted.batch} make {counted.per_epoch:,} steps an epoch, "
        f"{counted.total:,} in all{packed}",
    )
    if counted.batch > rows:
        yield (
            "training.per_device_train_batch_size",
            "warning",
            f"the effective batch ({counted.batch}) is larger than the data ({rows} rows)",
        )
    if t.max_steps < 0 and counted.warmup >= counted.total:
        yield (
            "training.warmup_steps",
            "warning",
            f"the warm-up ({counted.warmup} steps) is as long as the run ({counted.total})",
        )
    if t.save_strategy == "steps" and t.save_steps >= 1 and t.save_steps > counted.total:
        yield (
            "training.save_steps",
            "warning",
            f"save_steps {t.save_steps:g} is beyond the run's end ({counted.total} steps): no "
            "checkpoint before it",
        )
    every = t.eval_steps or t.logging_steps
    if eval_strategy(config) == "steps" and every >= 1 and every > counted.total:
        yield (
            "training.eval_steps" if t.eval_steps else "training.eval_strategy",
            "warning",
            f"eval_steps {every:g} is beyond the run's end ({counted.total} steps): no held-out "
            "loss",
        )
    if t.logging_steps > counted.total >= 1 and t.logging_steps >= 1:
        yield (
            "training.logging_steps",
            "warning",
            f"logging_steps {t.logging_steps:g} is beyond the run's end ({counted.total} steps)",
        )
    if t.max_steps > 0 and t.max_steps > 20 * counted.per_epoch:
        yield (
            "training.max_steps",
            "warning",
            f"max_steps {t.max_steps} is {t.max_steps / counted.per_epoch:.0f} passes over "
            f"{rows} rows",
        )


def _flash(config: RunConfig) -> bool:
    return "flash" in (config.model.attn_implementation or "")
