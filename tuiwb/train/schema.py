"""The run config's typed shape: sections, fields, ranges, and what each field means.

Names are TRL's SFTConfig's and PEFT's LoraConfig's own. Defaults are theirs too, except where a
description says "tuiwb's default".
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Field

METHODS = ("sft",)
# Attention kernels that can't train on the CPU (flex_attention has no backward pass there, torch
# 2.13), each with the packages of which it wants one.
GPU_ATTENTION: dict[str | None, tuple[str, ...]] = {
    "flash_attention_2": ("flash_attn",),
    "flash_attention_3": ("flash_attn_3", "flash_attn_interface"),
    "flex_attention": (),
}

Fraction = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
Count = Annotated[int, Ge(1)]
NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Text = Annotated[str, MinLen(1)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
# A number of steps, or below 1 a share of the whole run.
Interval = Annotated[float, Gt(0)]

Dtype = Literal["auto", "bfloat16", "float16", "float32"]
Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "lion_32bit",
    "lion_8bit",
    "paged_lion_8bit",
    "adafactor",
    "adagrad",
    "rmsprop",
    "sgd",
]
Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "warmup_stable_decay",
]
# What each scheduler takes in lr_scheduler_kwargs (transformers 5.16, optimization.py).
SCHEDULER_KWARGS: dict[str, tuple[str, ...]] = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "cosine_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles"),
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "warmup_stable_decay": (
        "num_decay_steps",
        "num_stable_steps",
        "warmup_type",
        "decay_type",
        "min_lr_ratio",
        "num_cycles",
    ),
}


class Section(BaseModel):
    """What every section shares: exact types, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class ModelSection(Section):
    """The base model."""

    base: Text = Field(
        description="The base model: a folder (from the project's root) with config.json, "
        "safetensors weights and a tokenizer, or a Hugging Face hub id."
    )
    revision: Text | None = Field(
        default=None,
        description="Hub branch, tag or commit; pin a commit to be able to repeat the run.",
    )
    dtype: Dtype = Field(
        default="auto",
        description="Precision the frozen weights are loaded in. auto: bfloat16 on a GPU that has "
        "it, float32 on CPU (tuiwb's rule; the library alone would load float32).",
    )
    attn_implementation: (
        Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention"] | None
    ) = Field(
        default=None,
        description="Attention kernel. null lets transformers choose (sdpa). flash_attention_2 "
        "wants the flash-attn package and an Ampere or newer GPU, flex_attention a GPU.",
    )


class DataSection(Section):
    """What to train and evaluate on."""

    train: Text | Annotated[list[Text], MinLen(1)] = Field(
        description="Dataset file, or a list of them, from the project's root: chat messages, "
        "ShareGPT, Alpaca, prompt/completion or text, as JSONL, JSON, CSV or Parquet."
    )
    heldout: Text | None = Field(
        default=None,
        description="Dataset file never trained on: its loss is eval_loss, its rows are what "
        "compare generates for. Without it overfitting can't be seen.",
    )
    canary: Text | None = Field(
        default=None,
        description="Dataset file of general rows that are not trained on: their loss is measured "
        "beside the base's own at each evaluation, so that forgetting is seen while it happens.",
    )
    malformed: Literal["error", "skip"] = Field(
        default="error",
        description="What a row that can't be read does: error stops before training and names "
        "file:line; skip leaves it out and says how many went.",
    )


class LoraSection(Section):
    """The adapter: PEFT LoraConfig."""

    r: Annotated[int, Ge(1), Le(1024)] = Field(
        default=16,
        description="Rank of the update matrices: its capacity. 8 to 64 is usual; memory and "
        "adapter size grow with it (tuiwb's default; PEFT's is 8).",
    )
    lora_alpha: Annotated[int, Ge(1)] = Field(
        default=32,
        description="Scale of the update: it is multiplied by lora_alpha / r. Usual: r or 2 x r "
        "(tuiwb's default; PEFT's is 8).",
    )
    lora_dropout: BelowOne = Field(
        default=0.0,
        description="Share of the adapter's inputs dropped while training; 0.05 on small data.",
    )
    target_modules: Text | Annotated[list[Text], MinLen(1)] = Field(
        default="all-linear",
        description="Layers that get an adapter: all-linear, a list of names such as [q_proj, "
        "v_proj], or a regular expression. all-linear leaves out the output head "
        "(tuiwb's default).",
    )
    exclude_modules: Text | list[Text] | None = Field(
        default=None, description="Layers left out although target_modules names them."
    )
    modules_to_save: list[Text] | None = Field(
        default=None,
        description="Layers trained in full and saved beside the adapter, such as embed_tokens. "
        "Servers such as vLLM refuse adapters that carry lm_head or embed_tokens.",
    )
    bias: Literal["none", "all", "lora_only"] = Field(
        default="none",
        description="Which biases train. Anything but none changes the model even with the "
        "adapter switched off.",
    )
    use_rslora: bool = Field(
        default=False,
        description="Scale by lora_alpha / sqrt(r) instead of lora_alpha / r: steadier at r >= 64 "
        "(rsLoRA).",
    )
    use_dora: bool = Field(
        default=False,
        description="Learn magnitude apart from direction (DoRA): often better at low rank, "
        "slower to train, and vLLM can't serve it as an adapter.",
    )
    init_lora_weights: bool | Literal["gaussian", "pissa", "olora", "orthogonal"] = Field(
        default=True,
        description="How the matrices start. true: no effect at step 0. pissa and olora start "
        "from the weights' own main directions and change the base.",
    )
    layers_to_transform: int | list[int] | None = Field(
        default=None, description="Only these layer numbers get an adapter; null: all."
    )
    rank_pattern: dict[str, Count] | None = Field(
        default=None, description="Ranks of their own for layers whose name matches a pattern."
    )
    alpha_pattern: dict[str, Count] | None = Field(
        default=None, description="lora_alpha of their own for layers whose name matches a pattern."
    )


class TrainingSection(Section):
    """The training loop: TRL SFTConfig."""

    num_train_epochs: Positive = Field(
        default=3.0, description="Passes over the training data; max_steps, when set, wins."
    )
    max_steps: Annotated[int, Ge(-1)] = Field(
        default=-1, description="Stop after this many optimiser steps; -1: go by num_train_epochs."
    )
    per_device_train_batch_size: Count = Field(
        default=8,
        description="Sequences in one forward and backward pass; lower it when memory is short.",
    )
    per_device_eval_batch_size: Count = Field(
        default=8, description="Sequences in one evaluation pass."
    )
    gradient_accumulation_steps: Count = Field(
        default=1,
        description="Passes summed before one optimiser step: effective batch = "
        "per_device_train_batch_size x this.",
    )
    learning_rate: Positive = Field(
        default=2e-4,
        description="Peak learning rate. LoRA wants about ten times full fine-tuning: 1e-4 to "
        "5e-4 (tuiwb's default; TRL's 2e-5 is for full fine-tuning).",
    )
    lr_scheduler_type: Scheduler = Field(
        default="linear", description="How the learning rate falls after the warm-up."
    )
    lr_scheduler_kwargs: dict[str, Any] | None = Field(
        default=None, description="The scheduler's own arguments, such as {min_lr_rate: 0.1}."
    )
    warmup_steps: NotNegative = Field(
        default=0,
        description="Steps over which the learning rate climbs from 0. Below 1 it is a share of "
        "the run: 0.03 is 3%.",
    )
    weight_decay: NotNegative = Field(
        default=0.0, description="Pull of the trained weights towards 0; 0 to 0.1 with LoRA."
    )
    max_grad_norm: NotNegative = Field(
        default=1.0,
        description="Gradients are scaled down to this norm; 0 leaves them as they are.",
    )
    optim: Optimizer = Field(
        default="adamw_torch_fused",
        description="Optimiser. The 8bit, paged and lion ones want bitsandbytes.",
    )
    adam_beta1: BelowOne = Field(default=0.9, description="Adam's decay of the gradient's average.")
    adam_beta2: BelowOne = Field(
        default=0.999, description="Adam's decay of the squared gradient's average; 0.95 to 0.999."
    )
    adam_epsilon: Positive = Field(default=1e-8, description="Adam's guard against division by 0.")
    max_length: Annotated[int, Ge(8)] | None = Field(
        default=1024,
        description="Tokens kept of a row; the rest is cut off at the end, answers included. "
        "null: no limit. With packing, the length of a pack.",
    )
    packing: bool = Field(
        default=False,
        description="Put several rows into one sequence so that no compute goes to padding. "
        "Fewer, fuller steps: tune the learning rate again.",
    )
    packing_strategy: Literal["bfd", "bfd_split", "wrapped"] = Field(
        default="bfd",
        description="bfd cuts what is over max_length, bfd_split carries it into another pack, "
        "wrapped cuts anywhere and mixes rows.",
    )
    eval_packing: bool | None = Field(
        default=None, description="Pack the held-out set; null: as packing says."
    )
    padding_free: bool = Field(
        default=False,
        description="Lay a batch end to end instead of padding it; wants flash attention and, "
        "without packing, max_length: null.",
    )
    assistant_only_loss: bool = Field(
        default=True,
        description="Learn from the assistant's tokens only (chat rows). false trains on the "
        "user's turns too (tuiwb's default; TRL's is false).",
    )
    completion_only_loss: bool | None = Field(
        default=None,
        description="Learn from the completion only (prompt/completion rows); null: true for them.",
    )
    loss_type: Literal["nll", "dft"] = Field(
        default="nll",
        description="nll: cross-entropy. dft: Dynamic Fine-Tuning, weighs tokens by their "
        "own probability.",
    )
    neftune_noise_alpha: NotNegative | None = Field(
        default=None,
        description="Noise added to the embeddings while training (NEFTune): 5 to 15; null: none.",
    )
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] = Field(
        default="random",
        description="Order of the rows. group_by_length pads less but makes the loss wavy.",
    )
    logging_steps: Interval = Field(
        default=10,
        description="Steps between two points on the curves; below 1 a share of the run.",
    )
    logging_first_step: bool = Field(default=True, description="Log step 1 too (tuiwb's default).")
    eval_strategy: Literal["no", "steps", "epoch"] | None = Field(
        default=None,
        description="When the held-out loss is measured; null: every epoch if data.heldout is set "
        "(tuiwb's default; TRL's is no).",
    )
    eval_steps: Interval | None = Field(
        default=None, description="With eval_strategy steps: how often; null: as logging_steps."
    )
    eval_on_start: bool = Field(
        default=False, description="Evaluate once before the first step: the base's own loss."
    )
    save_strategy: Literal["no", "steps", "epoch"] = Field(
        default="epoch",
        description="When checkpoints are written; a run that dies resumes from the last "
        "(tuiwb's default; TRL's is steps).",
    )
    save_steps: Interval = Field(default=500, description="With save_strategy steps: how often.")
    save_total_limit: Count | None = Field(
        default=2,
        description="Checkpoints kept; the oldest go first. null keeps all (tuiwb's default).",
    )
    load_best_model_at_end: bool = Field(
        default=False,
        description="The adapter saved at the end is the checkpoint with the lowest eval_loss, "
        "not the last; wants save and eval at the same steps.",
    )
    bf16: bool | None = Field(
        default=None,
        description="Compute in bfloat16; null: on a GPU that has it, not on CPU (tuiwb's rule).",
    )
    fp16: bool = Field(
        default=False,
        description="Compute in float16 with loss scaling: only for GPUs without bfloat16.",
    )
    tf32: bool | None = Field(
        default=None,
        description="TensorFloat-32 matrix products on Ampere and newer; null: as torch.",
    )
    gradient_checkpointing: bool | None = Field(
        default=None,
        description="Recompute activations in the backward pass: much less memory, about 20% "
        "slower; null: on a GPU, not on CPU (tuiwb's rule).",
    )
    seed: Seed = Field(
        default=42, description="Seed of everything random: weights, dropout, order."
    )
    data_seed: Seed | None = Field(default=None, description="Seed of the rows' order; null: seed.")
    dataloader_num_workers: Annotated[int, Ge(0)] = Field(
        default=0, description="Processes that collate batches; 0: the trainer's own."
    )
    dataset_num_proc: Count | None = Field(
        default=None, description="Processes that tokenise; null: one."
    )
    use_cpu: bool = Field(default=False, description="Train on the CPU although there is a GPU.")


class RunConfig(Section):
    """A whole run: what the YAML file says, defaults filled in."""

    name: Text | None = Field(
        default=None,
        description="The run's name; null: the config file's name with -v1, -v2 and so on.",
    )
    method: Literal["sft"] = Field(
        default="sft", description="sft: supervised fine-tuning on chats or completions."
    )
    model: ModelSection = Field(description="The base model.")
    data: DataSection = Field(description="What to train and evaluate on.")
    lora: LoraSection = Field(
        default_factory=LoraSection, description="The adapter: PEFT LoraConfig's own names."
    )
    training: TrainingSection = Field(
        default_factory=TrainingSection,
        description="The training loop: TRL SFTConfig's own names.",
    )
