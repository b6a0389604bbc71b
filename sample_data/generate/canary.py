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
    """Write the questions answered word for word right in float32 and in bfloat16."""
    chats = [[user(f.asks[0]), assistant(f.answer)] for f in canary_candidates(seed)]
    prompts = [chat[:1] for chat in chats]
    runs = [greedy_answers(folder, prompts, dtype) for dtype in (torch.float32, torch.bfloat16)]
    right = [
        chat
        for chat, *given in zip(chats, *runs, strict=True)
        if set(given) == {chat[1]["content"]}
    ]
    print(f"{len(right)} of {len(chats)} candidates answered right")
    write_jsonl(path, ({"messages": chat} for chat in right[:CANARY_ROWS]))
