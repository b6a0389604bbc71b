"""Somebody else's training script: TRL, no tuiwb. `python trl_script.py MODEL OUT`."""

import sys

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

model, out = sys.argv[1:]
rows = [{"prompt": f"What is {n}? ", "completion": f"It is {n}."} for n in range(40)]
arguments = SFTConfig(
    output_dir=out,
    max_steps=12,
    per_device_train_batch_size=2,
    learning_rate=1e-3,
    logging_steps=1,
    eval_strategy="steps",
    eval_steps=4,
    save_steps=4,
    max_length=64,
    report_to=[],
    use_cpu=True,
    disable_tqdm=True,
)
trainer = SFTTrainer(
    model,
    args=arguments,
    train_dataset=Dataset.from_list(rows),
    eval_dataset=Dataset.from_list(rows[:4]),
)
trainer.train()
trainer.save_state()
