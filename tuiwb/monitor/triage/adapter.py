"""A saved LoRA adapter looked at without torch: is there anything in it, how much does it change.

In: the adapter's folder and the base model's. Out: AdapterFacts. Safetensors only.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from tuiwb.monitor.triage.facts import AdapterFacts
from tuiwb.train.finite import first_not_finite

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
LOOKED_AT = 8  # base weights read to hold the update against; each may be hundreds of MB
MOST_HEADER = 100 << 20  # bytes, as the safetensors library allows


class _Tensor(NamedTuple):
    path: Path
    dtype: str
    shape: list[int]
    start: int
    end: int


def read_adapter(folder: Path, base: Path | None = None) -> AdapterFacts | None:
    """What an adapter holds; None where there is no LoRA adapter that can be read."""
    import numpy as np

    try:
        config = json.loads((folder / CONFIG).read_bytes())
        tensors = _tensors(folder / WEIGHTS)
        pairs = _pairs(tensors)
        if not pairs:
            return None
        scale = _scale(config)
        base_tensors = _base_tensors(base) if base is not None else {}
        zero, shares = 0, []
        step = max(1, len(pairs) // LOOKED_AT)
        for position, (module, (a, b)) in enumerate(sorted(pairs.items())):
            up = _read(b)
            empty = not np.any(up)
            zero += empty
            weight = base_tensors.get(f"{module}.weight")
            if weight is None or empty or position % step:
                continue
            down = _read(a)
            # |B A|^2 = trace((B'B)(A A')), r x r instead of the weight's size.
            squared = float(np.sum((up.T @ up) * (down @ down.T).T))
            norm = _norm(weight)
            if norm > 0 and math.isfinite(squared):
                shares.append(scale * math.sqrt(max(squared, 0.0)) / norm)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        RecursionError,
    ):
        return None
    return AdapterFacts(
        matrices=len(pairs),
        zero=zero,
        scale=scale,
        update=max(shares) if shares else (0.0 if zero == len(pairs) else None),
        finite=first_not_finite(folder / WEIGHTS) is None,
    )


def _scale(config: dict[str, Any]) -> float:
    """PEFT's scaling: lora_alpha / r, with rsLoRA lora_alpha / sqrt(r) (Kalajdzievski 2023)."""
    alpha, rank = float(config["lora_alpha"]), float(config["r"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pairs(tensors: dict[str, _Tensor]) -> dict[str, tuple[_Tensor, _Tensor]]:
    """lora_A and lora_B of each module, by the module's name in the base."""
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(".lora_B.weight"):
            stem = name.removesuffix(".lora_B.weight")
            down = tensors.get(f"{stem}.lora_A.weight")
            if down is not None and len(tensor.shape) == 2:
                found[stem.removeprefix("base_model.model.")] = (down, tensor)
    return found


def _base_tensors(base: Path) -> dict[str, _Tensor]:
    tensors: dict[str, _Tensor] = {}
    for path in sorted(base.glob("*.safetensors")):
        tensors |= _tensors(path)
    return tensors


def _tensors(path: Path) -> dict[str, _Tensor]:
    """The header of a safetensors file: 8 bytes of its length, JSON, then the numbers."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MOST_HEADER:
            raise ValueError(f"{path} is not safetensors")
        header = json.loads(file.read(length))
    at = 8 + length
    return {
        name: _Tensor(
            path, t["dtype"], t["shape"], at + t["data_offsets"][0], at + t["data_offsets"][1]
        )
        for name, t in header.items()
        if name != "__metadata__"
    }


def _read(tensor: _Tensor) -> Any:
    """The tensor in float32."""
    import numpy as np

    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    with tensor.path.open("rb") as file:
        file.seek(tensor.start)
        raw = np.frombuffer(file.read(tensor.end - tensor.start), dtype=kinds[tensor.dtype])
    if tensor.dtype == "BF16":
        # A bfloat16 is the upper half of a float32.
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False).reshape(tensor.shape)


def _norm(tensor: _Tensor) -> float:
    import numpy as np

    return float(np.linalg.norm(_read(tensor)))
