"""Fine-tuning: the run's config, the checks before launch, the trainer.

In: a YAML config in TRL's and PEFT's own names, and a project. Out: a `train` job folder with the
adapter, its lineage, the checkpoints and an event log. Only `worker.py` and what it alone imports
load torch.
"""
