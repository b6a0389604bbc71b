"""Runs that tuiwb didn't start: other trainers' output folders, watched while they grow.

In: a folder of TRL or transformers (trainer_state.json), TensorBoard (events.out.tfevents.*) or
W&B (run-*.wandb), or such a file. Out: a `Watched` that only looks: nothing in the folder is ever
written, and no pickle in it is ever loaded.
"""

from tuiwb.monitor.foreign.find import open_foreign

__all__ = ["open_foreign"]
