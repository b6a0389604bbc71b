"""Load a base model once with every adapter that is compared on it (worker side).

Everything that can be wrong with the files becomes one BadInput sentence before or at loading.
"""

import contextlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tuiwb.compare.inference.swaps import Swap, swapped, taken_back, values_of
from tuiwb.errors import BadInput, MissingHere
from tuiwb.stops import stop_tokens

BASE = "__base__"  # PEFT's name for "no adapter" in a mixed batch
UNKNOWN_ROOM = 1 << 20
# A tokenizer by base, adapter and the base's revision.
TokenizerOf = Callable[[str, str | None, str | None], Any]
SHARE_FOR_COPIES = 0.25  # of the free memory, for weights to come back to
SOFT_PROMPTS = frozenset(
    {"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT"}
    | {"ADAPTION_PROMPT", "CARTRIDGE"}
)
# What decoding token by token needs a model's forward to take; others are left to `generate`.
_NEEDED = frozenset({"position_ids", "past_key_values", "attention_mask"})


class LoadedSide(msgspec.Struct, kw_only=True):
    """One side on a loaded model: PEFT's name of its adapter (BASE: none), its tokenizer, and the
    token ids that end its turns."""

    name: str
    adapter: str
    tokenizer: Any
    stops: list[int]


class Loaded(msgspec.Struct, kw_only=True):
    """One model in memory with its adapters.

    `tokenizer` and `stops` (the ids that end a turn) are those of the last side; `room` is the most
    tokens, prompt and answer together, that the model can place. `mixes` says whether one batch
    can hold rows of several adapters, `steps` whether it can be decoded token by token here.
    `swaps` are, by adapter, weights of the base that PEFT leaves changed when the adapter is off
    (trained biases, what PiSSA and OLoRA take away): the base's stand but in `only`.
    """

    model: Any
    tokenizer: Any
    device: str
    dtype: str
    has_adapter: bool
    stops: list[int]
    room: int
    sides: dict[str, LoadedSide] = {}
    mixes: bool = False
    steps: bool = True
    held: str | None = None
    swaps: dict[str, list[Swap]] = {}

    @property
    def config(self) -> Any:
        """The base model's own config."""
        return self.model.get_base_model().config if self.has_adapter else self.model.config

    def forward(self, adapters: Sequence[str], **inputs: Any) -> Any:
        """The model's output for rows that each ask for an adapter by PEFT's name."""
        inputs = {**inputs, **self._keep_last(inputs.pop("logits_to_keep", 0))}
        if len(set(adapters)) > 1:
            return self.model(**inputs, adapter_names=list(adapters))
        with self.only(adapters[0]):
            return self.model(**inputs)

    @contextlib.contextmanager
    def hold(self, adapter: str) -> Iterator[None]:
        """`only` for many steps: to switch an adapter off takes PEFT longer than a small step.

        In float32 on a CPU the adapter's product is added to the weights meanwhile, which saves
        three calls a layer and changes no more than rounding does; the weights come back as they
        were, bit by bit.
        """
        with self.only(adapter), self._merged(adapter):
            self.held = adapter
            try:
                yield
            finally:
                self.held = None

    @contextlib.contextmanager
    def _merged(self, adapter: str) -> Iterator[None]:
        kept = self._mergeable(adapter)
        if not kept:
            yield
            return
        try:
            self.model.merge_adapter([adapter])
            yield
        finally:
            try:
                self.model.unmerge_adapter()
            finally:
                for parameter, values in kept:
                    parameter.data = values

    def _mergeable(self, adapter: str) -> list[tuple[Any, Any]]:
        """The weights and biases a merge changes, with a copy of each; none where it may not be:
        rounding to bfloat16 is no small change, a tied weight would change twice."""
        if adapter == BASE or not self.has_adapter or self.held is not None:
            return []
        if self.device != "cpu" or self.dtype != "float32":
            return []
        found = [m for m in self.model.modules() if isinstance(m, LoraLayer)]
        plain = [layer.get_base_layer() for layer in found]
        tied = self.model.get_input_embeddings().weight
        if any(type(x) is not torch.nn.Linear or x.weight is tied for x in plain):
            return []
        changed = [p for layer in plain for p in (layer.weight, layer.bias) if p is not None]
        size = sum(p.nbytes for p in changed)
        if size > SHARE_FOR_COPIES * psutil.virtual_memory().available:
            return []
        return [(p, p.data.clone()) for p in changed]

    def only(self, adapter: str) -> contextlib.AbstractContextManager[Any]:
        """While it lasts, the model answers with one adapter (PEFT's name), or as the base."""
        if not self.has_adapter or adapter == self.held:
            return contextlib.nullcontext()
        if adapter == BASE:
            off: contextlib.AbstractContextManager[Any] = self.model.disable_adapter()
            return off
        if self.model.active_adapter != adapter:
            self.model.set_adapter(adapter)
        return swapped(self.swaps.get(adapter, []))

    def _keep_last(self, count: int) -> dict[str, int]:
        inner = self.model.get_base_model() if self.has_adapter else self.model
        takes = "logits_to_keep" in inspect.signature(inner.forward).parameters
        return {"logits_to_keep": count} if count and takes else {}


def free_cores() -> int:
    """The cores that nobody else uses now, at least one: as many torch threads are worth having,
    more would wait for each other."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) - round(os.getloadavg()[0]))


def load_model(base: str, adapter: str | None, dtype: str, revision: str | None = None) -> Loaded:
    """The base with the adapter (if any) on it, in `dtype`, on the GPU where there is one.

    `revision` is the commit, branch or tag of a base from the hub.
    """
    sides = {"base": None} if adapter is None else {"base": None, "adapter": adapter}
    return load_sides(base, sides, dtype, revision)


def load_sides(
    base: str,
    sides: Mapping[str, str | None],
    dtype: str,
    revision: str | None = None,
    tokenizer_of: TokenizerOf | None = None,
) -> Loaded:
    """The base with every adapter that `sides` names (a folder, or None for the base itself).

    A side's tokenizer is the one training saved beside its adapter; the base's is that of the side
    named adapter, else of the first one, whose prompts it is asked. `tokenizer_of` gives those that
    are read already.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = _dtype(dtype, device)
    folders = list(dict.fromkeys(adapter for adapter in sides.values() if adapter is not None))
    first = _first_adapter(sides)
    read = tokenizer_of or read_tokenizer
    tokenizers: dict[str | None, Any] = {
        folder: read(base, folder, revision) for folder in (*folders, *[None][bool(folders) :])
    }
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
    named: dict[str | None, str] = {None: BASE}
    swaps: dict[str, list[Swap]] = {}
    for folder in folders:
        _check_vocabulary(model, tokenizers[folder], base, folder)
        name = named[folder] = f"side{len(named)}" if len(named) > 1 else "default"
        before = values_of(model)
        model = _with_adapter(model, Path(folder), base, name)
        if changed := taken_back(before):
            swaps[name] = changed
    if not folders:
        _check_vocabulary(model, tokenizers[None], base, None)
    try:
        model = model.to(device).eval()
    except torch.cuda.OutOfMemoryError:
        raise MissingHere(
            f"the GPU has too little free memory for {base} in {str(chosen).split('.')[-1]}: "
            "free it, or compare on another machine"
        ) from None
    for swap in (swap for each in swaps.values() for swap in each):
        swap.base, swap.own = swap.parameter.data, swap.own.to(device)
    # The model's own sampling settings must not leak into greedy decoding.
    inner = model.get_base_model() if folders else model
    configured = inner.generation_config.eos_token_id
    found = {}
    for name, given in sides.items():
        tokenizer = tokenizers[given or first]
        stops = sorted(stop_tokens(configured, tokenizer))
        found[name] = LoadedSide(name=name, adapter=named[given], tokenizer=tokenizer, stops=stops)
    last = list(found.values())[-1]
    plain = GenerationConfig(do_sample=False, num_beams=1, pad_token_id=last.tokenizer.pad_token_id)
    model.generation_config = inner.generation_config = plain
    taken = inspect.signature(inner.forward).parameters
    loaded = Loaded(
        model=model,
        tokenizer=last.tokenizer,
        device=device,
        dtype=str(chosen).split(".")[-1],
        has_adapter=bool(folders),
        stops=last.stops,
        room=_room(inner.config),
        sides=found,
        swaps=swaps,
        steps=taken.keys() >= _NEEDED and not getattr(inner, "_is_stateful", False),
    )
    # On a CPU a mixed batch copies rows for each LoRA layer: slower than taking turns.
    loaded.mixes = bool(folders) and device == "cuda" and not swaps and can_mix(loaded)
    return loaded


def asked_with(
    base: str, sides: Mapping[str, str | None], revision: str | None, tokenizer_of: TokenizerOf
) -> tuple[int, list[Any]]:
    """What `load_sides` would ask these sides with, without the weights: the most tokens that the
    model can place, and each tokenizer. A base that can't be read has no limit here: to load it
    says why."""
    try:
        config = AutoConfig.from_pretrained(base, revision=revision, trust_remote_code=False)
    except (OSError, ValueError):
        return UNKNOWN_ROOM, []
    first = _first_adapter(sides)
    named = dict.fromkeys(adapter or first for adapter in sides.values())
    return _room(config), [tokenizer_of(base, adapter, revision) for adapter in named]


def _first_adapter(sides: Mapping[str, str | None]) -> str | None:
    """The adapter whose tokenizer the base is asked with."""
    return sides.get("adapter") or next(filter(None, sides.values()), None)


def _room(config: Any) -> int:
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(limit or UNKNOWN_ROOM)


def can_mix(loaded: Loaded) -> bool:
    """Whether PEFT can run these adapters and the base in one batch (LoRA without DoRA can)."""
    names = list(dict.fromkeys([BASE, *(side.adapter for side in loaded.sides.values())]))
    ids = torch.zeros(len(names), 1, dtype=torch.long, device=loaded.device)
    try:
        with torch.inference_mode():
            loaded.forward(names, input_ids=ids, attention_mask=torch.ones_like(ids))
    except (ValueError, TypeError, NotImplementedError, AttributeError, RuntimeError):
        return False
    return True


def _dtype(name: str, device: str) -> Any:
    if name != "auto":
        return getattr(torch, name)
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float32


def read_tokenizer(base: str, adapter: str | None, revision: str | None) -> Any:
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


def _with_adapter(model: Any, adapter: Path, base: str, name: str) -> Any:
    """Put the adapter on; BadInput unless every tensor of it finds its place in this base."""
    config = _adapter_config(adapter)
    if str(config.get("peft_type")).upper() in SOFT_PROMPTS:
        raise BadInput(
            f"the adapter in {adapter} is a soft prompt ({config['peft_type']}): only adapters "
            "that change layers (LoRA and its kin) can be compared"
        )
    saved = _check_shapes(model, adapter, base)
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(adapter), adapter_name=name, use_safetensors=True)
        else:
            model = PeftModel.from_pretrained(
                model, str(adapter), adapter_name=name, use_safetensors=True
            )
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        raise BadInput(
            f"the adapter in {adapter} does not fit {base}: {_first_line(error)}"
        ) from None
    expected = set(get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False))
    if lost := sorted(expected - saved):
        raise BadInput(
            f"the adapter in {adapter} lacks {len(lost)} tensors that {base} needs "
            f"(first: {lost[0]}): it was trained on another base"
        )
    return model


def _check_shapes(model: Any, adapter: Path, base: str) -> set[str]:
    """Compare each LoRA matrix with the layer it goes on; returns the tensors' names."""
    path = adapter / "adapter_model.safetensors"
    plain = model.get_base_model() if isinstance(model, PeftModel) else model
    layers = dict(plain.named_modules())
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
