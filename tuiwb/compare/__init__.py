"""Is the fine-tune better than its base? Completions, blind votes, a judge, metrics, statistics.

In: a finished run (its adapter) and held-out prompts. Out: runs/NAME/compare with completions,
votes, summary and report, and runs/NAME/judge with verdicts. Everything here but the worker
(`worker.py`) is free of torch; only `judge_worker.py` and `judge_client.py` talk to an endpoint,
through `tuiwb.llm`.
"""
