"""Makes the sample project from a seed: chats from templates, a tokenizer, a tiny chat model."""
