"""Adapter folders written with numpy alone, sound ones and such as a diverged training leaves."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

MODULE = "base_model.model.model.layers.0.self_attn.q_proj"


def write_adapter(folder: Path, bad: float | None = None) -> Path:
    """A LoRA adapter of rank 4 on a 192x192 projection; `bad` stands among its numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    tensors = {
        f"{MODULE}.lora_A.weight": draw.standard_normal((4, 192)).astype(np.float32),
        f"{MODULE}.lora_B.weight": draw.standard_normal((192, 4)).astype(np.float32),
    }
    if bad is not None:
        tensors[f"{MODULE}.lora_A.weight"][3, 191] = bad
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
