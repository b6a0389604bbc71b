"""Datasets: read any format, show what the model will see, check it before it is trained on.

In: files (JSONL, JSON, CSV, Parquet) in the field's usual row formats. Out: typed rows that know
their file and line, plain examples shaped for TRL, rendered tokens, findings.
"""
