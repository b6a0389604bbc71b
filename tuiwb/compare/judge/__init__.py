"""A model as the judge: both orders of every pair, control pairs, within a budget.

In: completions, a rubric, an endpoint. Out: verdicts.jsonl, batches.jsonl, summary.json: what the
verdicts add up to and whether they may be trusted; review.jsonl, where a person rules on what they
and the judge see differently. Only `worker` and what it alone imports talk to the endpoint.
"""
