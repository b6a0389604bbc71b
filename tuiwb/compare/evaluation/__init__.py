"""What the fine-tune may have lost: canary questions, odd prompts, general ability, benchmarks.

In: a finished run (its adapter), the project's canary and out-of-distribution prompts, the probe
shipped here (`general.yaml`), lm-evaluation-harness tasks where their data is cached. Out:
runs/NAME/eval with items.jsonl (every answer of both sides, as it comes) and results.json (paired
figures a suite). Only `worker.py` and what it alone imports load torch.
"""
