"""How much GPU memory a run will take, before it runs: weights, adapter, optimiser, activations.

In: a run's spec (or RunConfig) and the base model's folder. Out: a `MemoryEstimate`, each part with
its formula and where that comes from, as a range: what the rows' lengths, the kernels and the
allocator will make of it isn't known before. No torch. bytes everywhere.

Sources: activations after Korthikanti et al. 2022, "Reducing Activation Recomputation in Large
Transformer Models" (arXiv:2205.05198, section 4.1), counted anew for gated MLPs, RMSNorm and frozen
weights from transformers' modelling files and PEFT's lora/layer.py; optimiser states from torch's
and bitsandbytes' own; the output head's tiles from TRL's kernels/chunked_logprob.py.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.text import short_bytes, short_count
from tuiwb.train.model_shape import Linear, ModelShape, read_shape
from tuiwb.train.schema import RunConfig

MIB = 1 << 20
# State bytes a trained parameter: torch.optim's float32 moments; bitsandbytes' 8-bit ones have a
# float32 scale a block of 256 (bitsandbytes, functional.py). Paged states may lie in host memory.
OPTIMIZER_BYTES: dict[str, tuple[float, float]] = {
    "adamw_torch": (8, 8),
    "adamw_torch_fused": (8, 8),
    "adamw_8bit": (2, 2.1),
    "adamw_bnb_8bit": (2, 2.1),
    "paged_adamw_8bit": (0, 2.1),
    "paged_adamw_32bit": (0, 8),
    "lion_32bit": (4, 4),
    "lion_8bit": (1, 1.1),
    "paged_lion_8bit": (0, 1.1),
    "adafactor": (0.05, 0.3),
    "adagrad": (4, 4),
    "rmsprop": (4, 4),
    "sgd": (0, 0),
}
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
TILE_TOKENS, TILE_VOCABULARY = 4096, 32768  # TRL's tiles of the output head, at most
# CUDA's context and its kernels: outside torch's figures, inside nvidia-smi's. Small cards to H100.
CONTEXT = (300 * MIB, 700 * MIB)
# cuBLAS workspaces (torch's docs, "CUDA semantics"): 8 MiB, on Hopper 32 MiB, a handle and stream.
WORKSPACE = (8 * MIB, 64 * MIB)


class MemoryPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the estimate, from `low` to `high` bytes; `torch`: torch's figures hold it."""

    name: str
    low: int
    high: int
    formula: str
    source: str
    torch: bool = True


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run will take of one GPU. `low` and `high` count everything, as nvidia-smi does;
    `torch_low` and `torch_high` only what torch's max_memory_reserved will say."""

    parts: list[MemoryPart]
    low: int
    high: int
    torch_low: int
    torch_high: int
    parameters: int
    trained: int
    tokens: int
    notes: list[str]

    def fits(self, card: int) -> str:
        """ "yes" (even `high` fits in `card` bytes), "maybe" or "no" (not even `low` does)."""
        return "yes" if self.high <= card else ("maybe" if self.low <= card else "no")

    def words(self) -> str:
        """'18.2 to 24.0 GiB'."""
        return f"{short_bytes(self.low)} to {short_bytes(self.high)}"


def estimate_memory(
    spec: Mapping[str, Any] | RunConfig, model_folder: Path, *, longest: int | None = None
) -> MemoryEstimate:
    """The GPU memory that training `spec` from the model in `model_folder` takes.

    `longest`: tokens of the longest row, where it is known; else rows may be as long as
    training.max_length. BadInput when the model's config.json can't be read.
    """
    values = spec.model_dump() if isinstance(spec, RunConfig) else spec
    return estimate(values, read_shape(model_folder), longest=longest)


def estimate(
    spec: Mapping[str, Any], shape: ModelShape, *, longest: int | None = None
) -> MemoryEstimate:
    """As `estimate_memory`, from a model's shape."""
    t, notes = spec["training"], [] if shape.exact else ["parameters counted from config.json only"]
    tokens = _tokens(t, shape, longest, notes)
    targets = targeted(shape, spec["lora"])
    adapter = adapter_parameters(targets, spec["lora"])
    whole = _trained_whole(shape, spec["lora"])
    if shape.experts and not any(".experts." in target.name for target in targets):
        notes.append("the experts of a mixture are fused tensors: LoRA leaves them as they are")
    parts = [
        _weights(spec["model"]["dtype"], shape),
        *_trained(t["optim"], adapter, whole),
        *_activations(spec, shape, targets, tokens),
    ]
    low, high = sum(p.low for p in parts), sum(p.high for p in parts)
    parts += _overheads(low, high)
    return MemoryEstimate(
        parts=parts,
        low=sum(p.low for p in parts),
        high=sum(p.high for p in parts),
        torch_low=sum(p.low for p in parts if p.torch),
        torch_high=sum(p.high for p in parts if p.torch),
        parameters=shape.parameters,
        trained=adapter + whole,
        tokens=tokens[1],
        notes=notes,
    )


def targeted(shape: ModelShape, lora: Mapping[str, Any]) -> list[Linear]:
    """The linear layers that get an adapter, by PEFT's rules (tuners_utils.py, check_target)."""
    wanted, excluded = lora.get("target_modules"), lora.get("exclude_modules")
    only = lora.get("layers_to_transform")
    layers = {only} if isinstance(only, int) else set(only or ())
    found = []
    for linear in shape.linears:
        if wanted != "all-linear" and not _named(linear.name, wanted):
            continue
        if excluded and _named(linear.name, excluded):
            continue
        number = re.search(r"\.(\d+)\.", linear.name)
        if layers and (number is None or int(number[1]) not in layers):
            continue
        found.append(linear)
    return found


def adapter_parameters(targets: list[Linear], lora: Mapping[str, Any]) -> int:
    """r x (inputs + outputs) a layer, DoRA's magnitudes on top (arXiv:2106.09685, 2402.09353)."""
    ranks: Mapping[str, int] = lora.get("rank_pattern") or {}
    total = 0
    for linear in targets:
        own = (r for pattern, r in ranks.items() if re.match(rf"(.*\.)?({pattern})$", linear.name))
        rank = next(own, int(lora["r"]))
        total += rank * (linear.inputs + linear.outputs)
        total += linear.outputs if lora.get("use_dora") else 0
    return total


def _named(name: str, wanted: Any) -> bool:
    if isinstance(wanted, str):
        try:
            return re.fullmatch(wanted, name) is not None
        except re.error:
            return False
    return any(name == one or name.endswith(f".{one}") for one in wanted or ())


def _trained_whole(shape: ModelShape, lora: Mapping[str, Any]) -> int:
    """Parameters of lora.modules_to_save, which are copied and trained in full."""
    saved = lora.get("modules_to_save") or []
    ends = ("embed_tokens", "lm_head", "wte")
    tables = sum(name.rsplit(".", 1)[-1] in ends for name in saved) * shape.vocabulary
    linears = sum(one.inputs * one.outputs for one in shape.linears if _named(one.name, saved))
    return tables * shape.hidden + linears


def _tokens(
    t: Mapping[str, Any], shape: ModelShape, longest: int | None, notes: list[str]
) -> tuple[int, int]:
    """Tokens of one forward pass, at least and at most."""
    batch, limit = int(t["per_device_train_batch_size"]), t["max_length"]
    most = limit or shape.longest or 4096
    if longest is not None:
        most = min(most, longest) if limit or shape.longest else longest
    if t["packing"]:
        return batch * most, batch * most
    if limit is None and longest is None:
        notes.append(f"training.max_length is not set: rows of up to {most} tokens are counted")
    if longest is None:
        notes.append("rows may be shorter than training.max_length: the low end counts half")
        return batch * most // 2, batch * most
    return batch * most, batch * most


def _weights(dtype: str, shape: ModelShape) -> MemoryPart:
    # auto: bfloat16 where the GPU has it, else float32 (sft.load_model).
    each = DTYPE_BYTES.get(dtype, 2)
    held = shape.parameters * each
    return MemoryPart(
        name="weights",
        low=held,
        high=held,
        formula=f"{short_count(shape.parameters)} parameters x {each} bytes",
        source="safetensors headers" if shape.exact else "config.json",
    )


def _trained(optim: str, adapter: int, whole: int) -> list[MemoryPart]:
    """Adapter, gradients and optimiser states: PEFT keeps trained weights in float32."""
    trained = adapter + whole
    count = short_count(trained)
    low, high = OPTIMIZER_BYTES.get(optim, (8, 8))
    return [
        MemoryPart(
            name="adapter",
            low=4 * trained,
            high=4 * trained,
            formula=f"{count} trained x 4 bytes",
            source="PEFT, autocast_adapter_dtype: float32",
        ),
        MemoryPart(
            name="gradients",
            low=4 * trained,
            high=4 * trained,
            formula=f"{count} trained x 4 bytes",
            source="as the adapter's type",
        ),
        MemoryPart(
            name="optimizer",
            low=int(low * trained),
            high=int(high * trained),
            formula=f"{count} trained x {high:g} bytes ({optim})",
            source="torch.optim; bitsandbytes",
        ),
    ]


def _activations(
    spec: Mapping[str, Any], shape: ModelShape, targets: list[Linear], tokens: tuple[int, int]
) -> list[MemoryPart]:
    """What the forward pass keeps, and the most that is needed on top of it at one time.

    The output head works while all that is kept is there, the layers' backward passes later: the
    larger of the two counts, not both (so it is in the published measurements, docs/device.md).
    """
    t = spec["training"]
    checkpointed = t["gradient_checkpointing"] is not False  # null: on, on a GPU
    each = 4 if _computes_in_float32(spec) else 2
    layer = _layer_bytes(shape, targets, each)
    edge = shape.hidden * each  # a layer's input, bytes a token

    def square(count: int) -> float:
        # Eager attention keeps scores, their float32 softmax and its copy: heads x length^2 each.
        batch = int(t["per_device_train_batch_size"])
        eager = spec["model"].get("attn_implementation") == "eager"
        length: float = count / batch
        return batch * shape.heads * length * length * (2 * each + 4) if eager else 0.0

    def one(count: int) -> float:
        return layer * count + square(count)

    kept = edge if checkpointed else layer
    low, high = (shape.layers * (kept * count) for count in tokens)
    if not checkpointed:
        low += shape.layers * square(tokens[0])
        high += shape.layers * square(tokens[1])
    work_low = max(_head(shape, tokens[0] // 2), one(tokens[0]) if checkpointed else 0)
    work_high = max(_head(shape, tokens[1]), (2.0 if checkpointed else 1.0) * one(tokens[1]))
    tile = min(shape.vocabulary, TILE_VOCABULARY)
    return [
        MemoryPart(
            name="activations",
            low=int(low if checkpointed else 0.85 * low),
            high=int(high if checkpointed else 1.25 * high),
            formula=f"{shape.layers} layers x {short_bytes(kept)} a token x {tokens[1]} tokens"
            + (", only each layer's input (checkpointing)" * checkpointed),
            source="arXiv:2205.05198, section 4.1, counted for frozen weights",
        ),
        MemoryPart(
            name="at the peak",
            low=int(work_low),
            high=int(work_high),
            formula=f"the larger of one layer's backward ({short_bytes(layer)} a token) and the "
            f"output head (tiles of {TILE_TOKENS} x {tile} logits, gradient in float32)",
            source="TRL 1.16, kernels/chunked_logprob.py; arXiv:2205.05198",
        ),
    ]


def _layer_bytes(shape: ModelShape, targets: list[Linear], each: int) -> float:
    """Bytes a token that one layer keeps for its backward pass.

    Both RMSNorms keep a float32 input (4 x hidden each); attention its queries, keys, values and
    output; the gated MLP its gate, the gate's activation and the up projection; each adapter its
    own copy of its input (PEFT casts it) and the rank's few values.
    """
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norms = 2 * 4 * shape.hidden
    attention = each * (2 * queries + 2 * keys)
    mlp = 3 * each * shape.active_inner
    copies = each * sum(t.inputs for t in targets) / max(shape.layers, 1)
    return norms + attention + mlp + copies


def _head(shape: ModelShape, tokens: int) -> int:
    """TRL's fused output head: logits exist a tile at a time, twice in the backward pass; the
    trained positions' hidden states are copied, their gradient is float32."""
    tile = min(tokens, TILE_TOKENS) * min(shape.vocabulary, TILE_VOCABULARY) * 2
    return 2 * tile + tokens * shape.hidden * (2 + 4)


def _overheads(low: int, high: int) -> list[MemoryPart]:
    return [
        MemoryPart(
            name="fragmentation",
            low=WORKSPACE[0] + low // 50,
            high=WORKSPACE[1] + high // 10,
            formula="2% to 10% of the above, and cuBLAS workspaces",
            source="torch's docs, CUDA semantics, memory management",
        ),
        MemoryPart(
            name="CUDA context",
            low=CONTEXT[0],
            high=CONTEXT[1],
            formula="300 to 700 MiB by card and driver",
            source="nvidia-smi of an idle torch process",
            torch=False,
        ),
    ]


def _computes_in_float32(spec: Mapping[str, Any]) -> bool:
    t = spec["training"]
    return t.get("bf16") is False and not t.get("fp16") and spec["model"]["dtype"] == "float32"
