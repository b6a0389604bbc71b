"""A tiny random Llama with a byte-level tokenizer and ChatML, and a project around it; no torch."""

import json
from pathlib import Path

HIDDEN, INNER, LAYERS, HEADS, KEYS, VOCABULARY = 64, 128, 2, 4, 2, 384
CHATML = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "<|im_start|>assistant\n{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}\n"
    "{% else %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UNMARKED_CHATML = CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")
CONFIG = """\
model: {base: models/tiny}
data: {train: data/train.jsonl, heldout: data/heldout.jsonl}
lora: {r: 4, lora_alpha: 8}
training:
  max_steps: 12
  per_device_train_batch_size: 4
  learning_rate: 1.0e-3
  logging_steps: 2
  eval_strategy: steps
  eval_steps: 6
  save_strategy: steps
  save_steps: 4
  max_length: 128
"""


def build_model(folder: Path) -> Path:
    """Write config.json, safetensors weights and a tokenizer with a chat template to `folder`."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder.mkdir(parents=True)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        ["What is the colour of the sky? The sky is blue.", "user assistant system"] * 4,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    bpe.save(str(folder / "tokenizer.json"))
    _write(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "chat_template.jinja").write_text(CHATML)
    _write(folder / "config.json", _config(bpe.get_vocab_size()))
    random = np.random.default_rng(0)
    keys = HIDDEN // HEADS * KEYS
    shapes = {"model.embed_tokens": (bpe.get_vocab_size(), HIDDEN), "model.norm": (HIDDEN,)}
    for n in range(LAYERS):
        at = f"model.layers.{n}"
        shapes |= {f"{at}.input_layernorm": (HIDDEN,), f"{at}.post_attention_layernorm": (HIDDEN,)}
        for name, rows in (("q", HIDDEN), ("k", keys), ("v", keys), ("o", HIDDEN)):
            shapes[f"{at}.self_attn.{name}_proj"] = (rows, HIDDEN)
        shapes |= {f"{at}.mlp.{name}_proj": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj"] = (HIDDEN, INNER)
    tensors = {
        f"{name}.weight": np.ones(shape, np.float32)
        if "norm" in name
        else (0.02 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def chat(question: str, answer: str) -> dict[str, object]:
    """One row of chat messages."""
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def build_project(root: Path, config: str = CONFIG) -> Path:
    """A project of 40 training and 6 held-out chats on a tiny model, with configs/base.yaml."""
    build_model(root / "models/tiny")
    write_rows(root / "data/train.jsonl", [chat(f"What is {i}?", f"It is {i}.") for i in range(40)])
    held_out = [chat(f"What is {i} now?", f"It is {i}.") for i in range(6)]
    write_rows(root / "data/heldout.jsonl", held_out)
    (root / "configs").mkdir()
    (root / "configs/base.yaml").write_text(config)
    return root


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1))


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 512,
    }


def _config(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEYS,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "dtype": "float32",
    }
