"""What sides answer and how likely they find the references: the worker side of a comparison.

In: sides and held-out prompts. Out: answers and token log-probabilities, on disk as they come
(`sheet`). A base is loaded once with all its adapters, or asked through vLLM or over HTTP. Only
workers import this room: it may load torch.
"""
