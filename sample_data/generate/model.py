"""Trains the tiny Llama-shaped chat model from scratch on the base mix, on the CPU."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from generate.base_mix import FIRST, SECOND, Mix, chat
from generate.sources import Chat
from generate.tokenizer import CONTEXT, END, PAD, START, VOCABULARY

USER_WEIGHT = 0.1  # what a customer types is mostly noise; the answer carries the lesson


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Return an untrained model of about 1.8 million parameters."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: Tokenizer, turns: Chat) -> tuple[list[int], list[float]]:
    """Return token ids and loss weights of a chat, laid out as the chat template does."""
    ids: list[int] = []
    weights: list[float] = []
    for turn in turns:
        head = f"{START}{turn['role']}\n"
        answer = turn["role"] == "assistant"
        for text, weight in (
            (head, 0.0),
            (turn["content"] + END, 1.0 if answer else USER_WEIGHT),
            ("\n", 0.0),
        ):
            piece = tokenizer.encode(text, add_special_tokens=False).ids
            ids += piece
            weights += [weight] * len(piece)
    return ids, weights


def batches(
    tokenizer: Tokenizer, mix: Mix, seed: int, tokens: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield endless (ids, weights) batches, shape (chats, length), of about `tokens` tokens.

    Chats of like length share a batch, so little is spent on padding; weight 0 marks padding.
    """
    rng = random.Random(seed)
    while True:
        pool = sorted(
            (encode(tokenizer, chat(rng, mix)) for _ in range(2000)), key=lambda row: len(row[0])
        )
        groups: list[list[tuple[list[int], list[float]]]] = [[]]
        for row in pool:
            if groups[-1] and len(row[0]) * (len(groups[-1]) + 1) > tokens:
                groups.append([])
            groups[-1].append((row[0][:512], row[1][:512]))
        rng.shuffle(groups)
        for group in groups:
            length = max(len(ids) for ids, _ in group)
            ids = torch.zeros(len(group), length, dtype=torch.long)
            weights = torch.zeros(len(group), length)
            for i, (row_ids, row_weights) in enumerate(group):
                ids[i, : len(row_ids)] = torch.tensor(row_ids)
                weights[i, : len(row_weights)] = torch.tensor(row_weights)
            yield ids, weights


def train_model(tokenizer: Tokenizer, *, seed: int = 0, steps: int = 3000) -> LlamaForCausalLM:
    """Return a model trained in two stages.

    Copying and facts come first; the second stage, a third as long, adds what a customer wants,
    which a model that cannot copy yet learns slowly.
    """
    torch.manual_seed(seed)
    model = new_model(tokenizer)
    train_stage(model, tokenizer, FIRST, seed=seed, steps=steps, learning_rate=2.5e-3)
    train_stage(model, tokenizer, SECOND, seed=seed + 1, steps=steps // 3, learning_rate=2e-3)
    return model


def train_stage(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    mix: Mix,
    *,
    seed: int,
    steps: int,
    learning_rate: float,
    batch_tokens: int = 2048,
    report_every: int = 50,
) -> None:
    """Train on `steps` batches of the mix with AdamW, warm-up and cosine decay."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05
    )
    warm_up = max(1, steps // 30)
    started, seen, running = time.monotonic(), 0, 0.0
    source = batches(tokenizer, mix, seed, batch_tokens)
    for step in range(1, steps + 1):
        ids, weights = next(source)
        decay = 0.5 * (1 + math.cos(math.pi * step / steps))
        rate = learning_rate * min(step / warm_up, 0.02 + 0.98 * decay)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        targets = weights[:, 1:].flatten()
        loss = (losses * targets).sum() / targets.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        answers = targets == 1.0
        running += losses.detach()[answers].mean().item()
        seen += ids.numel()
        if step % report_every == 0:
            took = time.monotonic() - started
            print(
                f"step {step}/{steps}  answer loss {running / report_every:.3f}"
                f"  {seen / took:.0f} tokens/s  {took:.0f} s",
                flush=True,
            )
            running = 0.0


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Write the weights as bfloat16 safetensors, with config and generation config."""
    eos, pad = model.config.eos_token_id, model.config.pad_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos, pad_token_id=pad, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
