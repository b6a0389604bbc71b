"""What a run will take of the disk, and whether there is room for it."""

import math
import shutil
from pathlib import Path

from tuiwb.errors import MissingHere
from tuiwb.project import Project
from tuiwb.text import short_bytes
from tuiwb.train import base_model
from tuiwb.train.schema import RunConfig


def check_disk(project: Project, config: RunConfig, model: Path | None) -> None:
    """MissingHere when the run's checkpoints can't fit on the disk."""
    where = next(p for p in (project.runs, *project.runs.parents) if p.is_dir())
    needed = disk_needed(config, model)
    free = shutil.disk_usage(where).free
    if free < needed:
        raise MissingHere(
            f"{where} has {short_bytes(free)} free and the run needs about {short_bytes(needed)} "
            "for its checkpoints: free some room or lower training.save_total_limit"
        )


def disk_needed(config: RunConfig, model: Path | None) -> int:
    """Bytes the adapter and the checkpoints kept at once will take, roughly.

    A checkpoint holds the adapter in float32 (4 bytes a parameter), Adam's two moments (8), and
    the tokenizer's files.
    """
    parameters = lora_parameters(config, model) if model is not None else None
    if parameters is None or model is None:
        return 256 << 20
    tokenizer = sum(
        (model / name).stat().st_size
        for name in base_model.TOKENIZER_FILES
        if (model / name).is_file()
    )
    kept = 0 if config.training.save_strategy == "no" else (config.training.save_total_limit or 3)
    return (kept + 1) * (12 * parameters + tokenizer) + 4 * parameters + tokenizer + (4 << 20)


def lora_parameters(config: RunConfig, model: Path) -> int | None:
    """Trainable parameters of LoRA on every linear layer, r x (in + out) each; None if unknown.

    From config.json of the Llama-shaped families (q, k, v, o, gate, up, down): an upper bound when
    target_modules names fewer.
    """
    shape = base_model.read_json(model / "config.json", "the model's config.json")
    shape = shape.get("text_config", shape)
    try:
        hidden, layers = int(shape["hidden_size"]), int(shape["num_hidden_layers"])
        inner, heads = int(shape["intermediate_size"]), int(shape["num_attention_heads"])
    except (KeyError, TypeError, ValueError):
        return None
    head = int(shape.get("head_dim") or hidden // max(heads, 1))
    keys = int(shape.get("num_key_value_heads") or heads) * head
    attention = 2 * (hidden + heads * head) + 2 * (hidden + keys)
    experts = int(shape.get("num_local_experts") or shape.get("num_experts") or 1)
    return math.ceil(config.lora.r * layers * (attention + 3 * experts * (hidden + inner)))
