"""The sample project's tiny model and adapters of random weights on it."""

from pathlib import Path

from tuiwb.project import bundled

TINY_CHAT = bundled("sample_data") / "models" / "tiny-chat"


def random_adapter(base: Path, folder: Path, seed: int = 0) -> Path:
    """A LoRA adapter strong enough to change the base's greedy texts; imports torch."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=8,
        lora_alpha=24,
        target_modules="all-linear",
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    get_peft_model(model, config).save_pretrained(folder)
    return folder
