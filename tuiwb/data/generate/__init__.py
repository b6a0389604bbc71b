"""Synthetic rows: from seed examples and a task, by a language model, with their provenance.

In: a dataset of seeds, a task, an endpoint, a budget. Out: a job folder with requests.jsonl
(everything asked and answered, the truth all else is derived from), generated.jsonl,
rejected.jsonl with a reason each, summary.json, and a new dataset version. `plan.py` plans and
estimates, `prompts.py` says what is asked, `parse.py` and `sift.py` what is kept of the answers;
`worker.py` does the asking, with
its state in `generation.py`.
"""
