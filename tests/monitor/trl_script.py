"""Somebody else's training script: TRL, no tuiwb. `python trl_script.py MODEL OUT GO`.

After each save it waits until there is a file GO-STEP.
"""

import os
import sys
import time

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

model, out, go = sys.argv[1:]


class Waits(TrainerCallback):
    """Trains on when it is told to."""

    def on_save(self, args, state, control, **_):
        """Wait for the word."""
        while not os.path.exists(f"{go}-{state.global_step}"):
            time.sleep(0.02)


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
    callbacks=[Waits()],
)
trainer.train()
trainer.save_state()
