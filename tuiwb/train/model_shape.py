"""The size of a model by its config.json or its weights' headers: parameters and linear layers.

In: a model folder (or its config as a dict). Out: a `ModelShape`: how many parameters, which linear
layers with how many inputs and outputs, and the few sizes that a memory estimate needs. No torch.

Layer shapes are those of transformers' modelling files of the Llama-shaped families (Llama,
Mistral, Qwen2/3, Gemma, Phi-3, OLMo, Mixtral, Qwen-MoE ...); where the folder has safetensors files
their headers say the shapes, whatever the family.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.prepared import prepared
from tuiwb.train.base_model import read_json

MOST_HEADER_BYTES = 100_000_000
DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1}
# Attention biases that the config doesn't mention: transformers' modelling_qwen2(_moe).py.
_QKV_BIAS = ("qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl")
# Norms over each head's queries and keys: modelling_qwen3(_moe), modelling_gemma3.
_HEAD_NORMS = ("qwen3", "qwen3_moe", "gemma3", "gemma3_text")
# Norms over all of the queries and keys: modelling_olmo2.
_WIDE_NORMS = ("olmo2", "olmo3")
_NORMS_A_LAYER = {"gemma2": 4, "gemma3": 4, "gemma3_text": 4}


@dataclass(frozen=True)
class Linear:
    """A linear layer: its name in the model, inputs and outputs."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class ModelShape:
    """What a memory estimate needs to know of a model. Widths are numbers of values a token.

    `active_inner` is the MLP's width that one token goes through (of a mixture: its experts' and
    the shared one's); `exact` says whether `parameters` were counted from the weights.
    """

    family: str
    parameters: int
    linears: tuple[Linear, ...]
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    active_inner: int
    vocabulary: int
    tied: bool
    experts: int
    longest: int
    stored_bytes: float
    exact: bool


def read_shape(folder: Path) -> ModelShape:
    """The shape of the model in `folder`; BadInput when its config.json can't be understood."""
    config = read_json(folder / "config.json", "the model's config.json")
    return shape_of(config, tensor_shapes(folder))


def shape_of(
    config: Mapping[str, Any], tensors: Mapping[str, tuple[str, tuple[int, ...]]] | None = None
) -> ModelShape:
    """The shape that a config.json (and, where known, the weights' tensors) describes."""
    text = config.get("text_config")
    c: Mapping[str, Any] = {**config, **text} if isinstance(text, dict) else config
    try:
        hidden = _whole(c, "hidden_size", "n_embd", "d_model")
        layers = _whole(c, "num_hidden_layers", "n_layer", "num_layers")
        heads = _whole(c, "num_attention_heads", "n_head")
        vocabulary = _whole(c, "vocab_size")
    except KeyError as missing:
        raise BadInput(
            f"the model's config.json doesn't say {missing.args[0]}: its memory can't be estimated"
        ) from None
    family = str(c.get("model_type") or "")
    kv_heads = _maybe(c, "num_key_value_heads") or heads
    head_dim = _maybe(c, "head_dim") or hidden // max(heads, 1)
    inner = _maybe(c, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    experts = _maybe(c, "num_local_experts", "num_experts", "n_routed_experts") or 0
    per_token = _maybe(c, "num_experts_per_tok", "moe_top_k") or 2
    expert_inner = _maybe(c, "moe_intermediate_size") or inner
    shared = _maybe(c, "shared_expert_intermediate_size") or (
        (_maybe(c, "n_shared_experts") or 0) * expert_inner
    )
    tied = bool(c.get("tie_word_embeddings", config.get("tie_word_embeddings", _ties(family))))
    sizes = _Sizes(
        family=family,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        inner=inner,
        vocabulary=vocabulary,
        tied=tied,
        experts=experts,
        expert_inner=expert_inner,
        shared=shared,
        qkv_bias=bool(c.get("attention_bias", c.get("qkv_bias", family in _QKV_BIAS))),
        out_bias=bool(c.get("attention_bias", False)) and family not in _QKV_BIAS,
        mlp_bias=bool(c.get("mlp_bias", False)),
    )
    linears: tuple[Linear, ...]
    if tensors:
        parameters = sum(prod(shape) for _, shape in tensors.values())
        stored = sum(prod(shape) * DTYPE_BYTES.get(kind, 2) for kind, shape in tensors.values())
        if tied and any(name.startswith("lm_head.") for name in tensors):
            parameters -= hidden * vocabulary
        linears = tuple(_linears_in(tensors, vocabulary)) or tuple(sizes.linears())
        stored_bytes = stored / max(parameters, 1)
    else:
        parameters, linears, stored_bytes = sizes.parameters(), tuple(sizes.linears()), 2.0
    return ModelShape(
        family=family,
        parameters=parameters,
        linears=linears,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        active_inner=per_token * expert_inner + shared if experts else inner,
        vocabulary=vocabulary,
        tied=tied,
        experts=experts,
        longest=_maybe(c, "max_position_embeddings", "n_positions") or 0,
        stored_bytes=stored_bytes,
        exact=bool(tensors),
    )


@dataclass(frozen=True)
class _Sizes:
    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocabulary: int
    tied: bool
    experts: int
    expert_inner: int
    shared: int
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool

    def linears(self) -> Iterator[Linear]:
        """Every nn.Linear but the output head; experts are fused tensors, not linear layers."""
        h, queries, keys = self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim
        for n in range(self.layers):
            at = f"model.layers.{n}"
            if self.family == "phi3":
                yield Linear(f"{at}.self_attn.qkv_proj", h, queries + 2 * keys)
                yield Linear(f"{at}.self_attn.o_proj", queries, h)
                yield Linear(f"{at}.mlp.gate_up_proj", h, 2 * self.inner)
                yield Linear(f"{at}.mlp.down_proj", self.inner, h)
                continue
            yield Linear(f"{at}.self_attn.q_proj", h, queries)
            yield Linear(f"{at}.self_attn.k_proj", h, keys)
            yield Linear(f"{at}.self_attn.v_proj", h, keys)
            yield Linear(f"{at}.self_attn.o_proj", queries, h)
            inner, mlp = (self.shared, "shared_expert") if self.experts else (self.inner, "")
            if inner:
                path = f"{at}.mlp.{mlp}".rstrip(".")
                yield Linear(f"{path}.gate_proj", h, inner)
                yield Linear(f"{path}.up_proj", h, inner)
                yield Linear(f"{path}.down_proj", inner, h)
            if self.shared and self.family == "qwen2_moe":
                yield Linear(f"{at}.mlp.shared_expert_gate", h, 1)

    def parameters(self) -> int:
        """All parameters; a tied output head counts once."""
        h, queries, keys = self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim
        layer = _NORMS_A_LAYER.get(self.family, 2) * h
        layer += (queries + 2 * keys) * self.qkv_bias + h * self.out_bias
        if self.family in _HEAD_NORMS:
            layer += 2 * self.head_dim
        if self.family in _WIDE_NORMS:
            layer += queries + keys
        if self.experts:
            layer += self.experts * (3 * h * self.expert_inner + h)
        elif self.mlp_bias:
            layer += 2 * self.inner + h
        matrices = sum(linear.inputs * linear.outputs for linear in self.linears())
        embeddings = self.vocabulary * h * (1 if self.tied else 2)
        return embeddings + self.layers * layer + matrices + h


def tensor_shapes(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """(type, shape) of each tensor of the folder's safetensors files; {} where one can't be read.

    Format: https://huggingface.co/docs/safetensors, "Format".
    """
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
    for path in files:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                if not 0 < length <= MOST_HEADER_BYTES:
                    return {}
                header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            header.pop("__metadata__", None)
            for name, raw in header.items():
                tensor = msgspec.json.decode(raw, type=prepared(_Tensor))
                found[name] = (tensor.dtype, tuple(tensor.shape))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return {}
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = read_json(index, "the weights' index").get("weight_map")
        if isinstance(named, dict) and set(named) - set(found):
            return {}
    return found


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]


def _linears_in(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], vocabulary: int
) -> Iterator[Linear]:
    for name, (_, shape) in tensors.items():
        module, _, last = name.rpartition(".")
        if last != "weight" or len(shape) != 2 or vocabulary in shape:
            continue
        # On disk each expert is a matrix; loaded, they are one fused tensor and no linear layer.
        if re.search(r"\.experts\.\d+\.|(^|\.)(wte|wpe|embed\w*)$|\.gate$", module):
            continue
        yield Linear(module, shape[1], shape[0])


def _ties(family: str) -> bool:
    """Whether a family ties its head to its embeddings when the config is silent."""
    return family.startswith("gemma") or family == "gpt2"


def _whole(c: Mapping[str, Any], *names: str) -> int:
    found = _maybe(c, *names)
    if found is None:
        raise KeyError(names[0])
    return found


def _maybe(c: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = c.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        if isinstance(value, list) and value and isinstance(value[0], int) and value[0] > 0:
            return value[0]
    return None
