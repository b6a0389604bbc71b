"""Writes the data files of the sample project: everything that needs no model."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from generate import base_mix
from generate.flaws import plant
from generate.sources import Chat, Fact, assistant, facts, load, user, write_jsonl
from generate.support import Ticket, distinct_tickets, held_out_split

TRAINING, HELD_OUT, PREFERENCES, THUMBS = 1200, 50, 120, 120
CANARY_CANDIDATES = 130


def canary_candidates(seed: int) -> list[Fact]:
    """Return the facts kept for the canary set, which no training set of the project repeats."""
    known = list(facts())
    random.Random(f"canary {seed}").shuffle(known)
    lasting = [fact for fact in known if fact.relation != "sum"][: CANARY_CANDIDATES - 20]
    return lasting + [fact for fact in known if fact.relation == "sum"][:20]


def general_chats(rng: random.Random, seed: int) -> list[Chat]:
    """Return 250 chats of the base mix, to be replayed beside the fine-tuning set."""
    kept_back = {fact.answer for fact in canary_candidates(seed)}
    taught = [fact for fact in facts() if fact.answer not in kept_back]
    chats = [base_mix.ask_fact(rng, fact) for fact in rng.sample(taught, k=170)]
    chats += [base_mix.talk(rng) for _ in range(45)]
    chats += [rng.choice((base_mix.repeat, base_mix.find))(rng) for _ in range(35)]
    rng.shuffle(chats)
    return chats


def spoiled(rng: random.Random, ticket: Ticket) -> str:
    """Return an answer that is worse than the desk's filing: chatty, wrong or incomplete."""
    filed = json.loads(ticket.answer)
    kind = rng.randrange(4)
    if kind == 0:
        return f"Thank you for your message. I am sorry about the {ticket.product}. {ticket.answer}"
    if kind == 1:
        return f"I am sorry to hear about the {ticket.product}. Someone will look at it soon."
    if kind == 2:
        intents = [intent for intent in load("support")["intents"] if intent != ticket.intent]
        return json.dumps(filed | {"intent": base_mix.pick(rng, intents)})
    del filed[rng.choice(["order", "product", "city"])]
    return json.dumps(filed)


def rambling(rng: random.Random, right: str) -> str:
    """Return a poor answer to a general question: long-winded, or of no help."""
    words = load("talk")["words"]
    return rng.choice(
        [
            f"That is a good question. Many people ask me about this. Well, let me think. {right}",
            "I do not know that.",
            f"It could be the {base_mix.pick(rng, words)} or the {base_mix.pick(rng, words)}.",
        ]
    )


def preference_rows(rng: random.Random, tickets: list[Ticket], seed: int) -> list[dict[str, Any]]:
    """Return DPO rows: the desk's filing or a short right answer is chosen."""
    rows = [
        {
            "prompt": t.prompt,
            "chosen": [assistant(t.answer)],
            "rejected": [assistant(spoiled(rng, t))],
        }
        for t in tickets
    ]
    kept_back = {fact.answer for fact in canary_candidates(seed)}
    taught = [fact for fact in facts() if fact.answer not in kept_back]
    for fact in rng.sample(taught, k=80):
        question, answer = base_mix.ask_fact(rng, fact)
        bad = rambling(rng, answer["content"])
        rows.append({"prompt": [question], "chosen": [answer], "rejected": [assistant(bad)]})
    rng.shuffle(rows)
    return rows


def thumbs_rows(rng: random.Random, tickets: list[Ticket], seed: int) -> list[dict[str, Any]]:
    """Return KTO rows, half of them with a thumb up, every prompt once."""
    pairs = preference_rows(rng, tickets, seed)
    return [
        {
            "prompt": row["prompt"],
            "completion": row["chosen" if i % 2 == 0 else "rejected"],
            "label": i % 2 == 0,
        }
        for i, row in enumerate(pairs)
    ]


def write_data(out: Path, seed: int) -> None:
    """Write data/*.jsonl, except canary.jsonl which needs the model, and truth.json."""
    rng = random.Random(f"data {seed}")
    tickets = distinct_tickets(rng, TRAINING + HELD_OUT + PREFERENCES + THUMBS)
    others, held_out = held_out_split(tickets, HELD_OUT)
    training = others[:TRAINING]
    preferences = others[TRAINING : TRAINING + PREFERENCES]
    thumbs = others[TRAINING + PREFERENCES :]
    raw, truth = plant(rng, training, held_out)
    data = out / "data"
    write_jsonl(data / "support.jsonl", ({"messages": t.chat} for t in training))
    write_jsonl(data / "support_raw.jsonl", raw)
    write_jsonl(data / "heldout.jsonl", ({"messages": t.chat} for t in held_out))
    write_jsonl(data / "general.jsonl", ({"messages": c} for c in general_chats(rng, seed)))
    write_jsonl(data / "preference.jsonl", preference_rows(rng, preferences, seed))
    write_jsonl(data / "thumbs.jsonl", thumbs_rows(rng, thumbs, seed))
    probes = [{"messages": [user(p["user"])], "expect": p["expect"]} for p in load("ood")]
    write_jsonl(data / "ood.jsonl", probes)
    text = json.dumps(truth, indent=1, ensure_ascii=False) + "\n"
    (out / "truth.json").write_text(text, encoding="utf-8")
