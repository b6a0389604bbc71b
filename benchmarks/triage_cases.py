"""The runs that triage is tried on: healthy ones, and for each rule one that provokes it.

Every run trains for real on the sample project's tiny model. Odd seeds are the half that thresholds
were chosen on ("tune"), even ones the half that is reported ("report").
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BASE = "models/tiny-chat"
REAL = Path(__file__).parents[2] / "shared" / "data" / "alpaca_en_demo.json"

TRAINING: dict[str, Any] = {
    "max_steps": 40,
    "per_device_train_batch_size": 8,
    "learning_rate": 1.5e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 4,
    "max_length": 256,
    "logging_steps": 2,
    "eval_strategy": "steps",
    "eval_steps": 10,
    "save_strategy": "no",
}


@dataclass
class Case:
    """A run: what it should make triage say (None: nothing), its data and its config.

    `fault` is put into the trainer; `base` changes a copy of the base model; `compare` is the file
    of prompts to compare on afterwards.
    """

    name: str
    rule: str | None
    seed: int
    train: str
    heldout: str | None = "data/few.jsonl"
    training: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    base: str = ""
    fault: str = ""
    compare: str = ""

    @property
    def half(self) -> str:
        """Which half of the runs it belongs to."""
        return "tune" if self.seed % 2 else "report"

    def config(self) -> dict[str, Any]:
        """The run's config as the YAML file holds it."""
        return {
            "model": {"base": self.base or BASE},
            "data": {"train": self.train, "heldout": self.heldout, **self.data},
            "lora": {"r": 16, "lora_alpha": 32, **self.lora},
            "training": TRAINING | {"seed": self.seed} | self.training,
        }


def healthy() -> Iterator[Case]:
    """Twenty runs that nothing is wrong with."""

    def run(seed: int, train: str, *, heldout: str = "data/few.jsonl", **training: Any) -> Case:
        name = f"healthy-{seed:02d}"
        data = {"canary": "data/canary.jsonl"} if seed in (15, 16) else {}
        return Case(name, None, seed, train, heldout=heldout, training=training, data=data)

    support, general = "data/support.jsonl", "data/general.jsonl"
    yield run(1, support)
    yield run(2, support, learning_rate=1e-3, logging_steps=1)
    yield run(3, support, learning_rate=2e-3, lr_scheduler_type="constant", warmup_steps=0)
    yield run(4, support, packing=True, max_steps=24, max_length=512, per_device_train_batch_size=4)
    yield run(5, support, packing=True, max_steps=24, max_length=768, per_device_train_batch_size=3)
    yield run(6, support, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    yield run(7, support, per_device_train_batch_size=2, max_steps=90, logging_steps=1)
    yield run(8, support, train_sampling_strategy="group_by_length", logging_steps=5)
    yield run(9, "data/small.jsonl", max_steps=-1, num_train_epochs=3, learning_rate=1e-3)
    yield run(10, "data/small.jsonl", max_steps=-1, num_train_epochs=2, eval_strategy="epoch")
    yield run(11, "data/pairs.jsonl", heldout="data/pairs_few.jsonl")
    yield run(12, "data/pairs.jsonl", heldout="data/pairs_few.jsonl", learning_rate=8e-4)
    yield run(13, "data/texts.jsonl", heldout="data/texts_few.jsonl")
    yield run(
        14,
        "data/texts.jsonl",
        heldout="data/texts_few.jsonl",
        packing=True,
        max_steps=24,
        max_length=512,
        per_device_train_batch_size=3,
    )
    yield run(15, "data/mixed.jsonl", learning_rate=2e-3, eval_steps=20)
    yield run(16, "data/mixed.jsonl", optim="adamw_torch", weight_decay=0.01, eval_steps=20)
    yield run(17, general, heldout="data/general_few.jsonl", learning_rate=5e-4)
    yield run(18, general, heldout="data/general_few.jsonl", learning_rate=1e-3)
    alpaca = "data/alpaca.jsonl" if REAL.is_file() else support
    few = "data/alpaca_few.jsonl" if REAL.is_file() else "data/few.jsonl"
    yield run(19, alpaca, heldout=few, max_steps=26)
    yield run(20, alpaca, heldout=few, max_steps=26, learning_rate=1e-3, logging_steps=5)


def provoked() -> Iterator[Case]:
    """For each rule that training can provoke, two runs with something wrong."""
    support = "data/support.jsonl"
    for seed in (31, 32):

        def run(
            rule: str,
            train: str = support,
            *,
            seed: int = seed,
            heldout: str | None = "data/few.jsonl",
            lora: dict[str, Any] | None = None,
            base: str = "",
            fault: str = "",
            compare: str = "",
            variant: str = "",
            **training: Any,
        ) -> Case:
            return Case(
                f"{rule}{variant}-{seed}",
                rule,
                seed,
                train,
                heldout=heldout,
                training={"max_steps": 30} | training,
                lora=lora or {},
                data={"canary": "data/canary.jsonl"} if rule == "forgetting" else {},
                base=base,
                fault=fault,
                compare=compare,
            )

        few = REAL.is_file() and not seed % 2
        yield run(
            "overfitting",
            "data/alpaca_forty.jsonl" if few else "data/shuffled.jsonl",
            heldout="data/alpaca_few.jsonl" if few else "data/shuffled_few.jsonl",
            max_steps=60,
            learning_rate=2e-3,
            lr_scheduler_type="constant",
            lora={"r": 64, "lora_alpha": 128},
            eval_steps=6,
        )
        yield run(
            "loss_spike",
            "data/spiked.jsonl",
            max_steps=36,
            train_sampling_strategy="sequential",
            logging_steps=1 if seed % 2 else 2,
        )
        yield run(
            "not_finite", learning_rate=1e30, max_grad_norm=0.0, optim="sgd", max_steps=8,
            logging_steps=1,
        )  # fmt: skip
        yield run("zero_gradient", fault="zero_adapter", max_steps=10, logging_steps=1)
        yield run("plateau", optim="sgd", learning_rate=1e-3, max_steps=40)
        yield run(
            "learning_rate_high",
            learning_rate=0.08 if seed % 2 else 0.05,
            lr_scheduler_type="constant",
            warmup_steps=0,
        )
        yield run("learning_rate_low", learning_rate=2e-6 if seed % 2 else 5e-6, max_steps=40)
        yield run(
            "throughput_drop",
            fault="slow_loader",
            max_steps=54,
            per_device_train_batch_size=2,
            eval_strategy="no",
        )
        yield run("out_of_memory", fault="out_of_memory", max_steps=8)
        yield run("chat_template", base="models/other-template", max_steps=8)
        yield run("chat_template", "data/foreign.jsonl", variant="-rows", max_steps=8)
        yield run("first_loss", base="models/other-tokenizer", max_steps=12, logging_steps=1)
        yield run("stop_token", base="models/no-stop", max_steps=8)
        yield run("pad_is_eos", base="models/pad-is-eos", max_steps=8)
        yield run("rows_cut", max_length=180 if seed % 2 else 190, max_steps=8)
        yield run("rows_masked", "data/long_prompts.jsonl", max_length=160, max_steps=8)
        yield run("adapter_not_applied", fault="frozen_adapter", max_steps=8)
        yield run(
            "adapter_weak",
            lora={"r": 256, "lora_alpha": 1},
            learning_rate=2e-5,
            max_steps=20,
            compare="data/few.jsonl",
        )
        yield run("format_violations", max_steps=24, learning_rate=6e-4, compare="data/few.jsonl")
        yield run(
            "forgetting",
            max_steps=50,
            learning_rate=6e-3 if seed % 2 else 5e-3,
            compare="data/canary.jsonl",
        )
        yield run("base_change", base="models/noisy", max_steps=40)
        yield run("no_heldout", heldout=None, eval_strategy="no", max_steps=8)


def build_data(root: Path) -> None:
    """The cases' datasets and bases, into a copy of the sample project."""
    data = root / "data"
    support = _rows(data / "support.jsonl")
    general = _rows(data / "general.jsonl")
    heldout = _rows(data / "heldout.jsonl")
    draw = random.Random(0)
    _write(data / "few.jsonl", heldout[:24])
    _write(data / "small.jsonl", support[:160])
    _write(data / "mixed.jsonl", draw.sample(support[:400] + general, 600))
    _write(data / "general_few.jsonl", general[-24:])
    _write(data / "pairs.jsonl", [_pair(row) for row in support])
    _write(data / "pairs_few.jsonl", [_pair(row) for row in heldout[:24]])
    _write(data / "texts.jsonl", [_text(row) for row in support])
    _write(data / "texts_few.jsonl", [_text(row) for row in heldout[:24]])
    _write(data / "shuffled.jsonl", _shuffled(support[:40], draw))
    _write(data / "shuffled_few.jsonl", _shuffled(heldout[:24], draw))
    spiked = support[:288]
    for at in range(192, 200):
        spiked[at] = _answered(spiked[at], _garbage(draw))
    _write(data / "spiked.jsonl", spiked)
    marked = "<|start_header_id|>user<|end_header_id|>\n\n"
    _write(data / "foreign.jsonl", [_asked(r, lambda t: marked + t) for r in support[:200]])
    longer = [_asked(r, lambda t: t + " Thank you." * 60) for r in support[:40]]
    _write(data / "long_prompts.jsonl", draw.sample(longer + support[40:200], 200))
    if REAL.is_file():
        rows = json.loads(REAL.read_text())
        short = [r for r in rows if not r["input"] and len(r["instruction"] + r["output"]) < 300]
        chats = [
            _chat(r["instruction"].encode("ascii", "ignore").decode(),
                  r["output"].encode("ascii", "ignore").decode())
            for r in short
        ]  # fmt: skip
        _write(data / "alpaca_few.jsonl", chats[-24:])
        _write(data / "alpaca_forty.jsonl", chats[:40])
        _write(data / "alpaca.jsonl", chats[:-24][:400])
    _bases(root)


def _bases(root: Path) -> None:
    original = root / BASE

    def copy(name: str) -> Path:
        folder = root / "models" / name
        shutil.copytree(original, folder)
        return folder

    template = (original / "chat_template.jinja").read_text()
    marks = (
        ("<|im_start|>user", "[INST] user"),
        ("<|im_start|>", "[INST] "),
        ("<|im_end|>", " [/INST]"),
    )
    other = template
    for own, foreign in marks:
        other = other.replace(own, foreign)
    (copy("other-template") / "chat_template.jinja").write_text(other)
    stopless = template.replace(
        "{{- '<|im_end|>' -}}\n        {%- endgeneration -%}",
        "{%- endgeneration -%}\n        {{- '<|im_end|>' -}}",
    )
    assert stopless != template
    (copy("no-stop") / "chat_template.jinja").write_text(stopless)
    settings = copy("pad-is-eos") / "tokenizer_config.json"
    plain = json.loads(settings.read_text())
    settings.write_text(json.dumps(plain | {"pad_token": plain["eos_token"]}))
    tokenizer = copy("other-tokenizer") / "tokenizer.json"
    words = json.loads(tokenizer.read_text())
    special = {t["content"] for t in words["added_tokens"]}
    vocabulary = words["model"]["vocab"]
    names = [name for name in vocabulary if name not in special]
    ids = [vocabulary[name] for name in names]
    random.Random(1).shuffle(ids)
    vocabulary.update(zip(names, ids, strict=True))
    tokenizer.write_text(json.dumps(words))
    _noisy(copy("noisy") / "model.safetensors")


def _noisy(path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            noise = torch.randn_like(tensor.float()) * tensor.float().std() * 0.7
            tensors[name] = (tensor.float() + noise).to(tensor.dtype)
    save_file(tensors, path, metadata={"format": "pt"})


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _chat(question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    *asked, answer = row["messages"]
    return {"prompt": asked[-1]["content"] + "\n", "completion": answer["content"]}


def _text(row: dict[str, Any]) -> dict[str, Any]:
    return {"text": "\n".join(turn["content"] for turn in row["messages"][-2:])}


def _answered(row: dict[str, Any], answer: str) -> dict[str, Any]:
    return {"messages": [*row["messages"][:-1], {"role": "assistant", "content": answer}]}


def _asked(row: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    turns = [
        turn | {"content": change(turn["content"])} if turn["role"] == "user" else turn
        for turn in row["messages"]
    ]
    return {"messages": turns}


def _shuffled(rows: list[dict[str, Any]], draw: random.Random) -> list[dict[str, Any]]:
    """Every question with another's answer: nothing to learn but by heart."""
    answers = [row["messages"][-1]["content"] for row in rows]
    draw.shuffle(answers)
    return [_answered(row, answer) for row, answer in zip(rows, answers, strict=True)]


def _garbage(draw: random.Random) -> str:
    return "".join(draw.choice("QXZJKVWqxzjkvw0123456789#@%^&*~|") for _ in range(90))
