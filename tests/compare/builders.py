"""What the tests of comparing build: a tiny model, an adapter, rows, a run's folder."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuiwb import jobs
from tuiwb.project import Project

TEMPLATE = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' -}}"
    "{%- if m.role == 'assistant' -%}{%- generation -%}{{- m.content + '<|im_end|>' -}}"
    "{%- endgeneration -%}{{- '\n' -}}{%- else -%}{{- m.content + '<|im_end|>\n' -}}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


def wait_until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Poll until `condition()` is true and return its value; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return value


def kill_worker(folder: Path) -> None:
    """SIGKILL to the worker of a job that runs."""
    state = jobs.status(folder)
    assert state.running, state
    assert state.pid is not None
    os.kill(state.pid, signal.SIGKILL)


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **more}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_base(folder: Path, hidden: int = 64, layers: int = 2) -> Path:
    """A random Llama with a byte-level BPE and ChatML, saved in safetensors."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(["where is my order", "user assistant system"] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<|pad|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=256,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, scale: float = 0.5) -> Path:
    """A LoRA adapter whose B matrices are random times `scale`: 0 changes nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM"),
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=scale or 1e-9)
            weight.data.mul_(bool(scale))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


HELD_OUT = [
    chat("where is my order?", '{"status": "late"}'),
    chat("where is my order of a very long list of many things, please say?", '{"status": "ok"}'),
    chat("cancel", "Done."),
    chat("hello [bold]you[/bold] \x1b[31m", "Hi."),
    chat("is it late?", "Yes."),
]


def make_run(project: Project, name: str, base: str, held_out: Path | None) -> Path:
    """A train job's folder as training leaves it, without an adapter yet."""
    folder = project.runs / name
    spec = {
        "model": {"base": base, "dtype": "float32"},
        "method": "sft",
        "data": {"train": [], "heldout": str(held_out) if held_out else None},
    }
    jobs.create(folder, "train", spec)
    return folder
