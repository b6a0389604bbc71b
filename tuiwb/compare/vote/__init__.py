"""Blind votes of people: which side is better, sides hidden until the reveal.

In: completions and what raters press. Out: votes.jsonl (`records`), a rater's `Ballot`, and how far
raters agree.
"""
