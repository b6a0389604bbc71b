"""Are the adapters really applied? Told from the server's own answers to a few prompts."""

import math
from collections.abc import Sequence
from pathlib import Path

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import Alert
from tuiwb.serve.client import Client

PROMPTS = (
    "My parcel has not arrived. What can I do?",
    "Write one sentence about the sea.",
    "What is the capital of France?",
)
TOKENS = 16
SAME = 1e-4  # nats; the same weights in another batch differ by about 1e-6 in float32


def prompts(heldout: str | None, count: int = 3) -> list[list[dict[str, str]]]:
    """Chats to ask: the first held-out rows up to their last user turn, else common questions."""
    found = _heldout_prompts(Path(heldout), count) if heldout else []
    return found or [[{"role": "user", "content": text}] for text in PROMPTS[:count]]


def not_applied(
    client: Client, base: str, adapters: Sequence[str], chats: Sequence[list[dict[str, str]]]
) -> list[Alert]:
    """An alert for each adapter whose greedy answers and token probabilities are the base's, and
    for each model whose probabilities are no numbers."""
    if not adapters:
        return []
    answers = {name: [_ask(client, name, chat) for chat in chats] for name in (base, *adapters)}
    alerts = []
    for name, said in answers.items():
        if not all(math.isfinite(value) for _, values in said for value in values):
            alerts.append(
                Alert(
                    rule="not_finite",
                    severity="error",
                    evidence=f"the token probabilities of {name} are no numbers (NaN): what it "
                    "answers means nothing",
                    fix="serve it in float32, or another adapter or base",
                )
            )
    for name in adapters:
        pairs = list(zip(answers[name], answers[base], strict=True))
        if all(_same(mine, other) for mine, other in pairs):
            alerts.append(
                Alert(
                    rule="adapter_not_applied",
                    severity="error",
                    evidence=f"{name} answers {len(pairs)} prompts exactly as its base does",
                    fix="look at the run's losses: it learned nothing, or its weights are zero",
                )
            )
    return alerts


def _ask(client: Client, model: str, chat: list[dict[str, str]]) -> tuple[str, list[float]]:
    delta = client.complete(model, chat, max_tokens=TOKENS, temperature=0, logprobs=True)
    return delta.text, delta.logprobs


def _same(mine: tuple[str, list[float]], other: tuple[str, list[float]]) -> bool:
    if mine[0] != other[0] or len(mine[1]) != len(other[1]):
        return False
    return all(abs(a - b) < SAME for a, b in zip(mine[1], other[1], strict=True))


def _heldout_prompts(path: Path, count: int) -> list[list[dict[str, str]]]:
    from tuiwb.data.read import open_dataset

    found: list[list[dict[str, str]]] = []
    try:
        for row in open_dataset(path):
            turns = [{"role": m.role, "content": str(m.content or "")} for m in row.messages or []]
            while turns and turns[-1]["role"] != "user":
                turns.pop()
            if turns:
                found.append(turns)
            if len(found) == count:
                break
    except (TuiwbError, OSError):
        return []
    return found
