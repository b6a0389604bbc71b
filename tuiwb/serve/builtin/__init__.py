"""The engine for machines without vLLM: transformers and PEFT behind a small HTTP server.

In: a base model, adapters loaded while it runs, OpenAI requests. Out: completions whose greedy
texts equal those of plain `generate`, base and adapters mixed in one batch.

Only `model` and `batch` import torch; protocol, text and metrics are pure.
"""
