"""Makes the sample project again from a seed, without network or GPU.

    python sample_data/build.py --out DIR                     everything, about half an hour
    python sample_data/build.py --out DIR --steps data        only the data files, seconds

Steps, in their order: `data` writes the data files and truth.json; `tokenizer` trains the
byte-level BPE; `model` trains the tiny chat model; `canary` asks the model and keeps what it
answers right.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

STEPS = ("data", "tokenizer", "model", "canary")
MODEL = Path("models/tiny-chat")


def build_data(out: Path, seed: int) -> None:
    """Write the data files that need no model."""
    from generate.datasets import write_data

    write_data(out, seed)


def build_tokenizer(out: Path, seed: int) -> None:
    """Train the tokenizer on 20,000 chats of the base mix."""
    from generate.base_mix import chat
    from generate.tokenizer import save_tokenizer, train_tokenizer

    rng = random.Random(f"tokenizer {seed}")
    chats = (chat(rng) for _ in range(20_000))
    save_tokenizer(train_tokenizer(turn["content"] for c in chats for turn in c), out / MODEL)


def build_model(out: Path, seed: int, train_steps: int) -> None:
    """Train the tiny chat model and save it beside its tokenizer."""
    import torch
    from generate.model import save_model, train_model
    from tokenizers import Tokenizer

    torch.set_num_threads(1)  # two threads on a busy machine wait for each other: slower than one
    tokenizer = Tokenizer.from_file(str(out / MODEL / "tokenizer.json"))
    save_model(train_model(tokenizer, seed=seed, steps=train_steps), out / MODEL)


def build_canary(out: Path, seed: int) -> None:
    """Write data/canary.jsonl from the questions the saved model answers right."""
    from generate.canary import write_canary

    write_canary(out / MODEL, out / "data" / "canary.jsonl", seed)


def main() -> None:
    """Run the chosen steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--train-steps", type=int, default=3000, help="of the base's first stage")
    args = parser.parse_args()
    for step in STEPS:
        if step not in args.steps:
            continue
        print(f"{step} ...", flush=True)
        if step == "data":
            build_data(args.out, args.seed)
        elif step == "tokenizer":
            build_tokenizer(args.out, args.seed)
        elif step == "model":
            build_model(args.out, args.seed, args.train_steps)
        else:
            build_canary(args.out, args.seed)


if __name__ == "__main__":
    main()
