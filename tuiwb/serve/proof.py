"""Are the adapters really applied? Told from the server's own answers to a few prompts."""

import math
from collections.abc import Sequence
from pathlib import Path

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import Alert
from tuiwb.serve.client import Client, ServerError

PROMPTS = (
    "My parcel has not arrived. What can I do?",
    "Write one sentence about the sea.",
    "What is the capital of France?",
)
Chat = list[dict[str, str]]
ASKED = 3
CANDIDATES = 12
REFUSED = 400  # the status of a request that the server can't take as it is
TOKENS = 16
SAME = 1e-4  # nats; the same weights in another batch differ by about 1e-6 in float32


def candidates(heldout: str | None) -> list[Chat]:
    """More chats than are asked, common questions last, as some may be too long for the server."""
    own = prompts(heldout, CANDIDATES) if heldout else []
    return [*own, *prompts(None)]


def prompts(heldout: str | None, count: int = ASKED) -> list[Chat]:
    """Chats to ask: the first held-out rows up to their last user turn, else common questions."""
    found = _heldout_prompts(Path(heldout), count) if heldout else []
    return found or [[{"role": "user", "content": text}] for text in PROMPTS[:count]]


def not_applied(
    client: Client, base: str, adapters: Sequence[str], chats: Sequence[Chat]
) -> list[Alert]:
    """An alert for each adapter whose greedy answers and token probabilities are the base's, and
    for each model whose probabilities are no numbers.

    The first three of `chats` that the server takes are asked: one may be too long for it.
    """
    if not adapters:
        return []
    asked, first = _asked(client, base, chats)
    answers = {base: first}
    answers |= {name: [_ask(client, name, chat) for chat in asked] for name in adapters}
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


def _asked(
    client: Client, base: str, chats: Sequence[Chat]
) -> tuple[list[Chat], list[tuple[str, list[float]]]]:
    """The chats that are asked, and what the base said to each. ServerError where all were
    refused."""
    asked: list[Chat] = []
    said: list[tuple[str, list[float]]] = []
    refused: ServerError | None = None
    for chat in chats:
        if len(asked) == ASKED:
            break
        try:
            said.append(_ask(client, base, chat))
        except ServerError as error:
            if error.status != REFUSED:
                raise
            refused = error
            continue
        asked.append(chat)
    if refused is not None and not asked:
        raise refused
    return asked, said


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
