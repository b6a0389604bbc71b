"""Is the fine-tune better than its base? Completions, blind votes, a judge, metrics, statistics.

In: a finished run (its adapter) and held-out prompts. Out: runs/NAME/compare with completions,
votes, summary and report, runs/NAME/judge with verdicts, runs/NAME/eval with what the fine-tune
may have lost, and gate.json: may it be shipped? Everything here but the workers (`worker.py`,
`evaluation/worker.py`) and what only they import is free of torch; only `judge_worker.py` and
`judge_client.py` talk to a judge's endpoint, through `tuiwb.llm`.
"""
