"""The memory estimate next to torch's own measured peak, run by run, on a GPU.

For each shape and setting a model of random weights is made, the real worker trains a few steps,
and torch's peak allocated and reserved memory, from the run's own device events, is held against
the estimate made before it began. Without a GPU it says so and exits 0; `--rehearse` then runs one
small case on the CPU, so that all but the figures is seen to work.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import finish

from tuiwb import jobs
from tuiwb.jobs.events import Device, EventReader
from tuiwb.jobs.folder import EVENTS
from tuiwb.monitor.nvml import Nvml
from tuiwb.project import Project, copy_sample
from tuiwb.train.estimate import MemoryEstimate, estimate_memory
from tuiwb.train.start import start

GIB = 1 << 30
STEPS = 20
# Llama-shaped, random: hidden, layers, heads, key/value heads, inner.
SHAPES = {
    "tiny": (64, 2, 4, 2, 128),
    "0.2B": (1024, 12, 16, 4, 2816),
    "1B": (2048, 16, 32, 8, 8192),
    "3B": (3072, 28, 24, 8, 8192),
}
# shape, batch, length, gradient checkpointing, optimiser, rank
CASES: list[tuple[str, int, int, bool, str, int]] = [
    ("0.2B", 8, 512, True, "adamw_torch_fused", 16),
    ("0.2B", 8, 512, False, "adamw_torch_fused", 16),
    ("1B", 4, 1024, True, "adamw_torch_fused", 16),
    ("1B", 8, 2048, True, "adamw_torch_fused", 64),
    ("1B", 4, 1024, False, "adamw_torch_fused", 16),
    ("3B", 4, 2048, True, "adamw_torch_fused", 16),
    ("3B", 1, 4096, True, "sgd", 16),
]
REHEARSAL = [("tiny", 2, 128, True, "adamw_torch", 4)]
MAKE = """
import json, sys, torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
source, target, sizes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(source)
hidden, layers, heads, keys, inner = sizes
config = LlamaConfig(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
    num_key_value_heads=keys, intermediate_size=inner, vocab_size=max(32000, len(tokenizer)),
    max_position_embeddings=8192, bos_token_id=tokenizer.bos_token_id,
    eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
torch.set_default_dtype(torch.bfloat16)
LlamaForCausalLM(config).save_pretrained(target)
tokenizer.save_pretrained(target)
"""
CONFIG = """\
model: {{base: models/{shape}}}
method: sft
data: {{train: data/support.jsonl, heldout: null}}
lora: {{r: {rank}, lora_alpha: {rank}}}
training:
  max_steps: {steps}
  per_device_train_batch_size: {batch}
  max_length: {length}
  packing: true
  gradient_checkpointing: {checkpointing}
  optim: {optim}
  logging_steps: 5
  eval_strategy: "no"
  save_strategy: "no"
"""


def main() -> int:
    """Run every case that fits the card; print the table; say whether the estimates held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="one small case on the CPU")
    options = parser.parse_args()
    gpus, problem = Nvml().gpus()
    if not gpus and not options.rehearse:
        print(
            f"no GPU here ({problem or 'no driver'}): the estimate was not measured "
            "(--rehearse runs one case on the CPU)"
        )
        return 0
    card = gpus[0].memory_total or 0 if gpus else 0
    cases = REHEARSAL if options.rehearse else CASES
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        project = copy_sample(Path(folder) / "sample")
        for number, case in enumerate(cases):
            row = measure(project, number, case, card)
            if row is not None:
                rows.append(row)
                show(row)
    if not gpus:
        print("no GPU: rehearsed without figures")
        return 0
    within = [row for row in rows if row["low"] * 0.9 <= row["allocated"] and row["ok"]]
    worst = max((row["reserved"] / row["high"] for row in rows), default=0.0)
    return finish(
        "vram",
        {"card": gpus[0].name, "cases": rows, "within": len(within)},
        {"peak reserved / estimate's high end, worst": (worst, 1.0)},
        {"cases within the range": (len(within) / max(len(rows), 1), 0.8)},
    )


def measure(
    project: Project, number: int, case: tuple[str, int, int, bool, str, int], card: int
) -> dict[str, Any] | None:
    """One run: what was estimated and what torch measured, in GiB; None where it can't fit."""
    shape, batch, length, checkpointing, optim, rank = case
    model = project.root / "models" / shape
    if not model.exists():
        source = project.root / "models" / "tiny-chat"
        sizes = json.dumps(SHAPES[shape])
        subprocess.run([sys.executable, "-c", MAKE, str(source), str(model), sizes], check=True)
    config = project.root / "configs" / "vram.yaml"
    config.write_text(
        CONFIG.format(
            shape=shape,
            rank=rank,
            steps=STEPS,
            batch=batch,
            length=length,
            checkpointing=str(checkpointing).lower(),
            optim=optim,
        )
    )
    folder = start(project, config, f"vram-{number}")
    estimate = estimate_memory(jobs.load(folder).spec, model)
    if card and estimate.low > card:
        jobs.send(folder, "stop")
        return None
    while (state := jobs.status(folder)).running:
        time.sleep(0.2)
    if state.state != "finished":
        sys.exit(f"{folder.name} {state.state}: {state.message}")
    row = compared(folder, estimate)
    shutil.rmtree(folder)
    return {"case": f"{shape} b{batch} x {length} ckpt={checkpointing} {optim} r{rank}", **row}


def compared(folder: Path, estimate: MemoryEstimate) -> dict[str, Any]:
    """The estimate of torch's share and its peaks over the run's device events."""
    peaks = [
        (torch.peak_allocated, torch.peak_reserved)
        for event in EventReader(folder / EVENTS).read()
        if isinstance(event, Device)
        for torch in event.torch
    ]
    allocated = max((a for a, _ in peaks), default=0) / GIB
    reserved = max((r for _, r in peaks), default=0) / GIB
    low, high = estimate.torch_low / GIB, estimate.torch_high / GIB
    return {
        "low": low,
        "high": high,
        "allocated": allocated,
        "reserved": reserved,
        "ok": allocated <= high,
    }


def show(row: dict[str, Any]) -> None:
    """A line of the table."""
    print(
        f"{row['case']:<48} estimate {row['low']:6.2f} to {row['high']:6.2f} GiB   "
        f"allocated {row['allocated']:6.2f}   reserved {row['reserved']:6.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
