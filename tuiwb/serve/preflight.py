"""Would this adapter serve rightly on this base? Told from its files, before anything loads.

Engines accept an adapter of another base with a smile and serve garbage, or fail a whole start on
one bad adapter; every rule here stands for one such case. Of the base no weights are read, of the
adapter they are only looked through for NaN and infinities.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.prepared import prepared
from tuiwb.text import inert
from tuiwb.train.finite import not_finite
from tuiwb.train.safetensors_header import Tensor, read_header, read_model_headers

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
_KEY = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_UNKNOWN_SHOWN = 3


class Problem(msgspec.Struct, frozen=True):
    """Why an adapter must not be loaded: the rule's name and a sentence for the user."""

    rule: str
    message: str


class AdapterConfig(msgspec.Struct, kw_only=True):
    """The keys of adapter_config.json that decide whether an engine can serve the adapter."""

    peft_type: str = ""
    r: int = 8
    rank_pattern: dict[str, int] | None = None
    use_dora: bool = False
    bias: str = "none"
    lora_bias: bool = False
    modules_to_save: list[str] | None = None
    trainable_token_indices: Any = None
    target_parameters: list[str] | None = None
    base_model_name_or_path: str | None = None

    @property
    def max_rank(self) -> int:
        """The largest rank of any module."""
        return max(self.r, *(self.rank_pattern or {}).values(), 0)


def read_config(adapter: Path) -> AdapterConfig:
    """adapter_config.json of an adapter folder; BadInput when it is missing or unreadable."""
    path = adapter / CONFIG
    try:
        return msgspec.json.decode(path.read_bytes(), type=prepared(AdapterConfig))
    except FileNotFoundError:
        raise BadInput(f"{adapter} is not an adapter folder: it has no {CONFIG}") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"can't read {path}: {error}") from None


def preflight(adapter: Path, base: Path, *, max_rank: int | None = None) -> list[Problem]:
    """Every reason not to load `adapter` (a PEFT folder) on `base` (a model folder); [] is fine.

    `max_rank` is the largest rank the engine was started for; None: it takes any.
    """
    try:
        config = read_config(adapter)
    except BadInput as error:
        return [Problem("config", str(error))]
    problems = _config_problems(adapter, config, max_rank)
    if config.peft_type.upper() != "LORA":
        return problems
    try:
        weights = _read_weights(adapter)
    except BadInput as error:
        return [*problems, Problem("weights", str(error))]
    try:
        base_tensors = read_model_headers(base)
        quantised = _quantised(base)
    except BadInput as error:
        return [*problems, Problem("base", str(error))]
    problems += _weight_problems(adapter, weights, base, base_tensors, check_sizes=not quantised)
    if broken := not_finite(adapter):
        problems.append(Problem("not_finite", broken.sentence))
    return problems


def require(adapter: Path, base: Path, *, max_rank: int | None = None) -> AdapterConfig:
    """The adapter's config when it may be loaded; BadInput with the first reason when not."""
    problems = preflight(adapter, base, max_rank=max_rank)
    if problems:
        raise BadInput(problems[0].message)
    return read_config(adapter)


def _config_problems(adapter: Path, config: AdapterConfig, max_rank: int | None) -> list[Problem]:
    where = adapter / CONFIG
    found: list[Problem] = []
    if config.peft_type.upper() != "LORA":
        kind = inert(config.peft_type, one_line=True) or "nothing"
        return [
            Problem("peft_type", f"{where} says {kind}: only LoRA adapters can be served; merge it")
        ]
    if max_rank is not None and config.max_rank > max_rank:
        found.append(
            Problem(
                "rank",
                f"{where}: rank {config.max_rank} is above the {max_rank} this server was started "
                "for; start a server for it, or train with a smaller r",
            )
        )
    if config.use_dora:
        found.append(
            Problem("dora", f"{where}: DoRA can't be served as an adapter; merge it into its base")
        )
    if config.bias != "none" or config.lora_bias:
        found.append(
            Problem(
                "bias",
                f"{where}: it trained biases (bias: {inert(config.bias, one_line=True)}), which no "
                "engine loads with an adapter; merge it, or train with bias: none",
            )
        )
    if config.modules_to_save:
        modules = inert(", ".join(config.modules_to_save), one_line=True)
        found.append(
            Problem(
                "modules_to_save",
                f"{where}: it holds whole copies of {modules} (modules_to_save), which an engine "
                "does not load; merge it into its base",
            )
        )
    if config.trainable_token_indices or config.target_parameters:
        found.append(
            Problem(
                "not_linear",
                f"{where}: it trained token embeddings or bare parameters, which an engine does "
                "not load; merge it into its base",
            )
        )
    return found


def _read_weights(adapter: Path) -> dict[str, Tensor]:
    path = adapter / WEIGHTS
    if not path.exists() and (adapter / "adapter_model.bin").exists():
        raise BadInput(
            f"{adapter} has only adapter_model.bin, a pickle, which is never loaded; "
            "save it again as safetensors"
        )
    return read_header(path)


def _quantised(base: Path) -> bool:
    """Packed weights have other sizes than the modules they stand for."""
    try:
        config = msgspec.json.decode((base / "config.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"can't read {base / 'config.json'}: {error}") from None
    return "quantization_config" in config


def _weight_problems(
    adapter: Path,
    weights: Mapping[str, Tensor],
    base: Path,
    base_tensors: Mapping[str, Tensor],
    *,
    check_sizes: bool,
) -> list[Problem]:
    where = adapter / WEIGHTS
    sides: dict[str, dict[str, Tensor]] = {}
    unknown: list[str] = []
    for key, tensor in weights.items():
        match = _KEY.fullmatch(key)
        if match is None or not key.startswith(PREFIX):
            unknown.append(key)
            continue
        sides.setdefault(match["module"].removeprefix(PREFIX), {})[match["side"]] = tensor
    found: list[Problem] = []
    if unknown:
        words = inert(", ".join(unknown[:_UNKNOWN_SHOWN]), one_line=True)
        found.append(
            Problem("keys", f"{where} holds tensors that are no LoRA weights of a model: {words}")
        )
    if not sides:
        found.append(Problem("empty", f"{where} holds no LoRA weights at all; train it again"))
    for module, pair in sides.items():
        if problem := _pair_problem(where, module, pair, base, base_tensors, check_sizes):
            found.append(problem)
    return found


def _pair_problem(
    where: Path,
    module: str,
    pair: Mapping[str, Tensor],
    base: Path,
    base_tensors: Mapping[str, Tensor],
    check_sizes: bool,
) -> Problem | None:
    name = inert(module, one_line=True)
    if len(pair) != 2 or any(len(t.shape) != 2 for t in pair.values()):
        return Problem("pair", f"{where}: {name} lacks lora_A or lora_B; save the adapter again")
    a, b = pair["A"].shape, pair["B"].shape
    if a[0] != b[1]:
        return Problem(
            "pair", f"{where}: the ranks of lora_A ({a[0]}) and lora_B ({b[1]}) of {name} differ"
        )
    target = _base_weight(module, base_tensors)
    if target is None:
        return Problem(
            "module",
            f"{where} changes {name}, which the base {base} does not have: it was trained on "
            "another base",
        )
    if (
        check_sizes
        and len(target.shape) == 2
        and (a[1], b[0]) != (target.shape[1], target.shape[0])
    ):
        return Problem(
            "size",
            f"{where}: {name} is {b[0]}x{a[1]} and the base {base} has "
            f"{target.shape[0]}x{target.shape[1]}: it was trained on another base",
        )
    return None


def _base_weight(module: str, base_tensors: Mapping[str, Tensor]) -> Tensor | None:
    if target := base_tensors.get(f"{module}.weight"):
        return target
    # A base with tied embeddings stores no lm_head of its own.
    if module == "lm_head":
        return next((t for n, t in base_tensors.items() if n.endswith("embed_tokens.weight")), None)
    return None
