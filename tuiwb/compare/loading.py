"""Load a base model once with its adapter on top, for comparing the two (worker side).

Everything that can be wrong with the files becomes one BadInput sentence before or at loading.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tuiwb.errors import BadInput, MissingHere
from tuiwb.stops import stop_tokens


class Loaded(msgspec.Struct, kw_only=True):
    """One model in memory. `stops` are the token ids that end a turn; `room` is the most tokens,
    prompt and answer together, that the model can place."""

    model: Any
    tokenizer: Any
    device: str
    dtype: str
    has_adapter: bool
    stops: list[int]
    room: int


def load_model(base: str, adapter: str | None, dtype: str, revision: str | None = None) -> Loaded:
    """The base with the adapter (if any) on it, in `dtype`, on the GPU where there is one.

    `revision` is the commit, branch or tag of a base from the hub.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = _dtype(dtype, device)
    tokenizer = _tokenizer(base, adapter, revision)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base,
            revision=revision,
            dtype=chosen,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(f"can't load the base model {base}: {_first_line(error)}") from None
    _check_vocabulary(model, tokenizer, base, adapter)
    if adapter is not None:
        model = _with_adapter(model, Path(adapter), base)
    try:
        model = model.to(device).eval()
    except torch.cuda.OutOfMemoryError:
        raise MissingHere(
            f"the GPU has too little free memory for {base} in {str(chosen).split('.')[-1]}: "
            "free it, or compare on another machine"
        ) from None
    # The model's own sampling settings must not leak into greedy decoding.
    inner = model.get_base_model() if adapter is not None else model
    stops = sorted(stop_tokens(inner.generation_config.eos_token_id, tokenizer))
    plain = GenerationConfig(do_sample=False, num_beams=1, pad_token_id=tokenizer.pad_token_id)
    model.generation_config = inner.generation_config = plain
    limit = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=str(chosen).split(".")[-1],
        has_adapter=adapter is not None,
        stops=stops,
        room=int(limit or 1 << 20),
    )


def _dtype(name: str, device: str) -> Any:
    if name != "auto":
        return getattr(torch, name)
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float32


def _tokenizer(base: str, adapter: str | None, revision: str | None) -> Any:
    """The tokenizer training saved beside the adapter, else the base's; padded on the left."""
    beside = adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file()
    source, revision = (adapter, None) if beside else (base, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
    except Exception as error:
        raise BadInput(f"can't load a tokenizer from {source}: {_first_line(error)}") from None
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise BadInput(f"the tokenizer in {source} has neither a pad nor an end token: set one")
    return tokenizer


def _check_vocabulary(model: Any, tokenizer: Any, base: str, adapter: str | None) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows and not _saves_embeddings(adapter):
        raise BadInput(
            f"the tokenizer has {len(tokenizer)} tokens but {base} has room for {rows}: the "
            "adapter belongs to another base, or its tokens were added after training"
        )


def _saves_embeddings(adapter: str | None) -> bool:
    if adapter is None:
        return False
    config = _adapter_config(Path(adapter))
    saved = [*(config.get("modules_to_save") or []), *(config.get("target_modules") or [])]
    return any("embed" in name for name in saved)


def _adapter_config(adapter: Path) -> dict[str, Any]:
    path = adapter / "adapter_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"can't read {path}: {error}") from None
    if not isinstance(config, dict):
        raise BadInput(f"{path} is not a PEFT config: train the adapter again")
    return config


def _with_adapter(model: Any, adapter: Path, base: str) -> Any:
    """Put the adapter on; BadInput unless every tensor of it finds its place in this base."""
    _adapter_config(adapter)
    saved = _check_shapes(model, adapter, base)
    try:
        model = PeftModel.from_pretrained(model, str(adapter), use_safetensors=True)
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        raise BadInput(
            f"the adapter in {adapter} does not fit {base}: {_first_line(error)}"
        ) from None
    expected = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if lost := sorted(expected - saved):
        raise BadInput(
            f"the adapter in {adapter} lacks {len(lost)} tensors that {base} needs "
            f"(first: {lost[0]}): it was trained on another base"
        )
    return model


def _check_shapes(model: Any, adapter: Path, base: str) -> set[str]:
    """Compare each LoRA matrix with the layer it goes on; returns the tensors' names."""
    path = adapter / "adapter_model.safetensors"
    layers = dict(model.named_modules())
    try:
        with safe_open(str(path), framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadInput(f"can't read {path}: {_first_line(error)}") from None
    for name, shape in shapes.items():
        module, found, _ = name.partition(".lora_")
        side = name[len(module) + len(".lora_") :][:1]
        if not found or side not in "AB":
            continue
        module = module.removeprefix("base_model.model.")
        layer = layers.get(module)
        if layer is None:
            raise BadInput(
                f"the adapter in {adapter} changes {module}, which {base} does not have: "
                "it was trained on another base"
            )
        size = getattr(layer, "in_features" if side == "A" else "out_features", None)
        given = shape[1] if side == "A" else shape[0]
        if size is not None and given != size:
            raise BadInput(
                f"the adapter in {adapter} expects {module} to be {given} wide, but in {base} it "
                f"is {size}: it was trained on another base"
            )
    return set(shapes)


def _first_line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{words[:300] or type(error).__name__}"
