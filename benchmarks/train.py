"""What watching costs: our training worker against a plain TRL script on the same data and config.

Runs on the GPU in bf16 where there is one, else on the CPU; there NVML's memory is also held
against nvidia-smi's. Both sides report TRL's own `train_runtime`, so that imports do not count.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import finish, median

from tuiwb import jobs
from tuiwb.monitor.device import sample
from tuiwb.project import Project, copy_sample
from tuiwb.train.start import start

STEPS, BATCH, ROUNDS = 60, 16, 3

CONFIG = """\
model: {{base: models/tiny-chat}}
method: sft
data: {{train: data/support.jsonl, heldout: null}}
lora: {{r: 16, lora_alpha: 32, lora_dropout: 0.0}}
training:
  max_steps: {steps}
  per_device_train_batch_size: {batch}
  learning_rate: 1.0e-3
  max_length: 256
  logging_steps: 5
  eval_strategy: "no"
  save_strategy: "no"
"""

PLAIN = """
import json, sys, torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
root, out, steps, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
gpu = torch.cuda.is_available()
dtype = torch.bfloat16 if gpu and torch.cuda.is_bf16_supported() else torch.float32
rows = [json.loads(line) for line in open(root + "/data/support.jsonl")]
model = AutoModelForCausalLM.from_pretrained(root + "/models/tiny-chat", dtype=dtype)
args = SFTConfig(output_dir=out, max_steps=steps, per_device_train_batch_size=batch,
    learning_rate=1e-3, max_length=256, logging_steps=5, save_strategy="no", report_to="none",
    assistant_only_loss=True, use_cpu=not gpu, bf16=dtype == torch.bfloat16, disable_tqdm=True)
trainer = SFTTrainer(model=model, args=args,
    train_dataset=Dataset.from_list([{"messages": r["messages"]} for r in rows]),
    processing_class=AutoTokenizer.from_pretrained(root + "/models/tiny-chat"),
    peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear",
                           task_type="CAUSAL_LM"))
trainer.train()
print(json.dumps([e for e in trainer.state.log_history if "train_runtime" in e][-1]))
"""


def plain_seconds(project: Project) -> float:
    """TRL's train_runtime of a script with nothing around it."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [sys.executable, "-c", PLAIN, str(project.root), out, str(STEPS), str(BATCH)],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(json.loads(done.stdout.strip().splitlines()[-1])["train_runtime"])


def our_seconds(project: Project, name: str) -> float:
    """TRL's train_runtime of our worker, detached as always."""
    folder = start(project, project.root / "configs" / "bench.yaml", name)
    while (state := jobs.status(folder)).running:
        time.sleep(0.2)
    if state.state != "finished":
        sys.exit(f"{name} {state.state}: {state.message}")
    return state.metrics["train_runtime"]


def smi_difference(project: Project) -> float | None:
    """Largest difference between NVML's and nvidia-smi's used memory, as a share of the total."""
    gpus = sample(1, project.root).gpus
    if not gpus or shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits"]
    lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    shares = []
    for gpu, line in zip(gpus, lines, strict=True):
        used, total = (float(part) for part in line.split(","))
        shares.append(abs((gpu.memory_used or 0) / (1 << 20) - used) / total)
    return max(shares)


def main() -> int:
    """Measure in turn, print the table, say whether the target holds."""
    ours, plain = [], []
    with tempfile.TemporaryDirectory() as folder:
        project = copy_sample(Path(folder) / "sample")
        text = CONFIG.format(steps=STEPS, batch=BATCH)
        (project.root / "configs" / "bench.yaml").write_text(text)
        for number in range(ROUNDS):
            plain.append(plain_seconds(project))
            ours.append(our_seconds(project, f"bench-{number}"))
        difference = smi_difference(project)
        gpus = [gpu.name for gpu in sample(1, project.root).gpus]
    ratio = median([a / b for a, b in zip(ours, plain, strict=True)])
    print(f"{STEPS} steps of {BATCH} on {', '.join(gpus) or 'the CPU'}, TRL's train_runtime")
    print(f"{'plain TRL script':<24} {median(plain):8.2f} s")
    print(f"{'tuiwb worker':<24} {median(ours):8.2f} s   {ratio:.2f}x")
    targets = {"worker / plain": (ratio, 1.15)}
    if difference is None:
        print("no GPU: NVML against nvidia-smi was not run")
    else:
        print(f"NVML against nvidia-smi, used memory: {difference:.2%} of the card apart")
        targets["NVML - nvidia-smi, share of the card"] = (difference, 0.02)
    results = {"plain": median(plain), "ours": median(ours), "gpus": gpus, "nvml": difference}
    return finish("train", results, targets)


if __name__ == "__main__":
    sys.exit(main())
