"""Comparing against the usual loops: two models' answers, and a judge's calls, in one run.

Completions: 50 held-out prompts of the sample project, base and an adapter trained here, greedy on
the CPU, against transformers' `pipeline("text-generation")` called once per prompt per model.
Prompts are rendered and tokenised within both clocks; both have loaded their models before. Target:
at least 8x with the same texts. A second model has a more real shape (135 million random weights),
for honesty: its steps are bound by memory, not by overhead. Judge: `compare_judge.py`, at least 6x.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import finish, median

PROMPTS = 50
MOST_TOKENS = 256
ROUNDS = 3
TRAINING_STEPS = 150
SHAPE_PROMPTS, SHAPE_TOKENS = 6, 24
TARGET = 8.0
JUDGE_TARGET = 6.0

CONFIG = """\
model: {{base: models/tiny-chat}}
method: sft
data: {{train: data/support.jsonl, heldout: data/heldout.jsonl}}
lora: {{r: 16, lora_alpha: 32, lora_dropout: 0.0, target_modules: all-linear}}
training:
  max_steps: {steps}
  per_device_train_batch_size: 8
  learning_rate: 2.0e-3
  max_length: 256
  train_sampling_strategy: group_by_length
  eval_strategy: "no"
  save_strategy: "no"
"""


def main() -> int:
    """Measure and print the closing JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", type=Path, help="Take this adapter of tiny-chat: train none.")
    parser.add_argument("--only", choices=["completions", "shape", "judge"])
    given = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "completions": lambda: measure_completions(given.adapter),
        "shape": measure_shape,
        "judge": _judge,
    }
    chosen = [given.only] if given.only else list(parts)
    results = {name: parts[name]() for name in chosen}
    at_least: dict[str, tuple[float, float]] = {}
    if said := results.get("completions"):
        at_least["completions_times_faster"] = (said["times_faster"], TARGET)
        at_least["equal_texts"] = (said["equal_texts"], said["texts"])
    if said := results.get("judge"):
        at_least["judge_times_faster"] = (said["speedup"], JUDGE_TARGET)
    return finish("compare", results, {}, at_least)


def measure_completions(adapter: Path | None = None) -> dict[str, Any]:
    """Both ways on the sample project: seconds, texts, and the whole compare job's seconds."""
    from tuiwb.project import copy_sample

    with tempfile.TemporaryDirectory() as place:
        project = copy_sample(Path(place) / "demo")
        adapter = adapter or _train(project)
        base = project.root / "models" / "tiny-chat"
        heldout = project.root / "data" / "heldout.jsonl"
        found = _both_ways(base, adapter, heldout, PROMPTS, MOST_TOKENS, ROUNDS)
        found["whole_job_seconds"] = _whole_job(project, base, adapter)
    return found


def measure_shape() -> dict[str, Any]:
    """Both ways on a Llama of 135 million random weights, few prompts, every answer cut."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tuiwb.project import bundled

    sample = bundled("sample_data")
    tokenizer = AutoTokenizer.from_pretrained(sample / "models" / "tiny-chat")
    torch.manual_seed(0)
    # The shape of SmolLM2-135M.
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    with tempfile.TemporaryDirectory() as place:
        base, adapter = Path(place) / "base", Path(place) / "adapter"
        model = LlamaForCausalLM(config)
        model.save_pretrained(base)
        tuned = get_peft_model(
            model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        )
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.02)
        tuned.save_pretrained(adapter)
        tokenizer.save_pretrained(base)
        heldout = sample / "data" / "heldout.jsonl"
        return _both_ways(base, adapter, heldout, SHAPE_PROMPTS, SHAPE_TOKENS, 1)


def _both_ways(
    base: Path, adapter: Path, heldout: Path, count: int, most: int, rounds: int
) -> dict[str, Any]:
    """Our seconds are the median of rounds before, between and after the loop's two models."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    from tuiwb.compare.inference import generation
    from tuiwb.compare.inference.generation import Asking
    from tuiwb.compare.inference.loading import free_cores, load_sides
    from tuiwb.compare.prompts import held_out

    prompts = held_out(heldout, limit=count).prompts
    tokenizer = AutoTokenizer.from_pretrained(base)
    usual = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    loaded = load_sides(str(base), {"base": None, "adapter": str(adapter)}, "float32")
    ours: list[float] = []
    cpu = {"ours": 0.0, "loop": 0.0}
    texts: dict[tuple[str, str], str] = {}
    tokens, threads = 0, free_cores()
    cores = torch.get_num_threads()

    def answer() -> None:
        nonlocal tokens
        # As the compare job does; the loop has torch's own number, all cores.
        torch.set_num_threads(threads)
        begun, worked = time.perf_counter(), time.process_time()
        encoded = [generation.encode(loaded, prompt) for prompt in prompts]
        asked = {"base": encoded, "adapter": encoded}
        tokens = 0
        asking = Asking(max_new_tokens=most)
        for ended in generation.answers(loaded, asked, asking, lambda *_: None):
            texts.update({(a.side, a.id): a.text for a in ended})
            tokens += sum(a.tokens for a in ended)
        ours.append(time.perf_counter() - begun)
        cpu["ours"] += time.process_time() - worked
        torch.set_num_threads(cores)

    def loop(model: Any) -> tuple[list[str], float]:
        pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
        options = {"do_sample": False, "max_new_tokens": most, "return_full_text": False}
        begun, worked = time.perf_counter(), time.process_time()
        said = [pipe(prompt.messages, **options)[0]["generated_text"] for prompt in prompts]
        cpu["loop"] += time.process_time() - worked
        return said, time.perf_counter() - begun

    answer()
    base_texts, base_seconds = loop(usual)
    if rounds > 1:
        answer()
    tuned = PeftModel.from_pretrained(usual, str(adapter)).eval()
    adapter_texts, adapter_seconds = loop(tuned)
    if rounds > 2:
        answer()
    said = {"base": base_texts, "adapter": adapter_texts}
    equal = sum(
        texts[side, prompt.id] == text
        for side, each in said.items()
        for prompt, text in zip(prompts, each, strict=True)
    )
    mine = median(ours)
    return {
        "prompts": len(prompts),
        "loop_seconds": round(base_seconds + adapter_seconds, 2),
        "loop_base_seconds": round(base_seconds, 2),
        "loop_adapter_seconds": round(adapter_seconds, 2),
        "seconds": round(mine, 2),
        "all_seconds": [round(x, 2) for x in ours],
        "times_faster": round((base_seconds + adapter_seconds) / mine, 2),
        # Processor seconds, which others on the machine do not stretch.
        "loop_cpu_seconds": round(cpu["loop"], 2),
        "cpu_seconds": round(cpu["ours"] / len(ours), 2),
        "texts": 2 * len(prompts),
        "equal_texts": equal,
        "tokens": tokens,
        "parameters": sum(p.numel() for p in usual.parameters()),
        "threads": threads,
        "loop_threads": cores,
    }


def _train(project: Any) -> Path:
    from tuiwb import jobs
    from tuiwb.jobs.run import main as do_job
    from tuiwb.train.plan import plan

    config = project.root / "configs" / "bench.yaml"
    config.write_text(CONFIG.format(steps=TRAINING_STEPS))
    folder, spec = plan(project, config, "bench")
    jobs.create(folder, "train", spec)
    if do_job(folder) != 0:
        sys.exit(f"training failed: {jobs.status(folder).message}")
    return Path(folder / "adapter")


def _whole_job(project: Any, base: Path, adapter: Path) -> float:
    """Seconds of the compare job from its folder to its report: loading, the references' scoring
    and the writing included, imports not."""
    import shutil

    from tuiwb import jobs
    from tuiwb.compare.plan import plan, prepare
    from tuiwb.jobs.run import main as do_job

    run = project.runs / "measured"
    model = {"base": str(base), "dtype": "float32"}
    heldout = str(project.root / "data" / "heldout.jsonl")
    jobs.create(run, "train", {"model": model, "data": {"train": [], "heldout": heldout}})
    shutil.copytree(adapter, run / "adapter")
    folder = prepare(plan(project, "measured", limit=PROMPTS, max_new_tokens=MOST_TOKENS))
    begun = time.perf_counter()
    if do_job(folder) != 0:
        sys.exit(f"comparing failed: {jobs.status(folder).message}")
    return round(time.perf_counter() - begun, 2)


def _judge() -> dict[str, Any]:
    from compare_judge import measure_judge

    return measure_judge()


if __name__ == "__main__":
    # As tuiwb starts its workers: threads that spin while they wait burn the others' cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
