"""The canary set: general questions the base answers right, to see what a fine-tune forgets."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from generate.datasets import canary_candidates
from generate.sources import Chat, assistant, user, write_jsonl

CANARY_ROWS = 80


def greedy_answers(
    folder: Path, prompts: list[Chat], dtype: torch.dtype, max_new_tokens: int = 48
) -> list[str]:
    """Return the model's greedy answers to the prompts."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    batch = tokenizer.apply_chat_template(
        prompts, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        output = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
    answers: list[str] = tokenizer.batch_decode(
        output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return answers


def write_canary(folder: Path, path: Path, seed: int) -> None:
    """Write the questions the base knows firmly.

    It answers every phrasing of them word for word in float32, and the first in bfloat16 too.
    """
    candidates = canary_candidates(seed)
    asked = [(fact, ask) for fact in candidates for ask in fact.asks]
    given = greedy_answers(folder, [[user(ask)] for _, ask in asked], torch.float32)
    missed = {f.answer for (f, _), answer in zip(asked, given, strict=True) if answer != f.answer}
    first = greedy_answers(folder, [[user(f.asks[0])] for f in candidates], torch.bfloat16)
    missed |= {f.answer for f, answer in zip(candidates, first, strict=True) if answer != f.answer}
    right = [[user(f.asks[0]), assistant(f.answer)] for f in candidates if f.answer not in missed]
    print(f"{len(right)} of {len(candidates)} candidates known firmly")
    write_jsonl(path, ({"messages": chat} for chat in right[:CANARY_ROWS]))
