"""Is the fine-tune better than its base? Completions, blind votes, a judge, metrics, statistics.

In: a finished run (its adapter) and held-out prompts. Out: runs/NAME/compare with completions,
votes, summary and report, runs/NAME/judge with verdicts, runs/NAME/eval with what the fine-tune
may have lost, and gate.json: may it be shipped? Everything here but the workers (`worker.py`,
`evaluation/worker.py`) and what only they import (all of `inference/`) is free of torch; only
`judge/worker.py` and what it alone imports talk to a judge's endpoint, through `tuiwb.llm`.
"""
