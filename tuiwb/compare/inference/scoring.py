"""How likely the sides find the reference answers: log-probability of each token (worker side)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import torch

from tuiwb.compare.completions import TokenProbabilities
from tuiwb.compare.inference.generation import Encoded, NotWritten, rendered
from tuiwb.compare.inference.loading import Loaded, LoadedSide

# Logits of one forward pass, in bytes: vocabularies of 150,000 make them the largest tensor.
MOST_LOGITS = 256 << 20
MOST_TOKENS = 8192


class Scored(msgspec.Struct, kw_only=True):
    """The reference's tokens after one prompt and their log-probabilities (nats) under a side."""

    prompt: str
    side: str
    tokens: list[str]
    logprobs: list[float]


class _Item(msgspec.Struct, kw_only=True):
    encoded: Encoded
    answer: list[int]

    @property
    def length(self) -> int:
        return len(self.encoded.ids) + len(self.answer)


def reference_ids(side: LoadedSide, encoded: Encoded) -> list[int]:
    """The reference's tokens as training has them after the prompt, its end of turn included.

    Empty without a reference. Where the template does not continue the prompt with the answer (a
    template that opens a thinking block, or can't write the two), the answer's own tokens and the
    end token are taken.
    """
    prompt, tokenizer = encoded.prompt, side.tokenizer
    if not prompt.reference:
        return []
    stops = set(side.stops)
    tail = None
    if prompt.raw is None:
        before = rendered(tokenizer, prompt, prompt.messages, add_generation_prompt=True)
        turns = [*prompt.messages, {"role": "assistant", "content": prompt.reference}]
        with suppress(NotWritten):
            whole = rendered(tokenizer, prompt, turns, add_generation_prompt=False)
            if whole.startswith(before):
                tail = whole[len(before) :]
    ids: list[int] = tokenizer(
        prompt.reference if tail is None else tail, add_special_tokens=False
    )["input_ids"]
    end = next((i for i, token in enumerate(ids) if token in stops), None)
    if end is not None:
        return ids[: end + 1]
    eos = tokenizer.eos_token_id
    return [*ids, eos] if eos is not None else ids


def score(
    loaded: Loaded, asked: Mapping[str, Sequence[Encoded]], told: Callable[[int], None]
) -> Iterator[list[Scored]]:
    """Score the references of each side's prompts in batched forward passes, one list a batch.

    Prompts without a reference, and those that with it fill more than the model can place, are
    passed over. `told` is called after each batch with the number of prompts done.
    """
    for name, prompts in asked.items():
        side = loaded.sides[name]
        items = [_Item(encoded=e, answer=reference_ids(side, e)) for e in prompts]
        items = [item for item in items if item.answer and item.length <= loaded.room]
        done = 0
        with loaded.hold(side.adapter):
            for batch in _batches(loaded, items):
                yield _forward(loaded, side, batch)
                done += len(batch)
                told(done)


def joined(scored: Sequence[Scored]) -> list[TokenProbabilities]:
    """Lines of token_probabilities.jsonl: sides with the same tokens for a prompt share one."""
    found: dict[tuple[str, tuple[str, ...]], TokenProbabilities] = {}
    for one in scored:
        key = (one.prompt, tuple(one.tokens))
        line = found.setdefault(
            key, TokenProbabilities(id=one.prompt, on="reference", tokens=one.tokens)
        )
        if one.side in ("base", "adapter"):
            setattr(line, one.side, one.logprobs)
        else:
            line.others = {**line.others, one.side: one.logprobs}
    return list(found.values())


def _batches(loaded: Loaded, items: list[_Item]) -> Iterator[list[_Item]]:
    """Longest first, as many as the logits' and the tokens' limits allow."""
    vocabulary = loaded.model.get_input_embeddings().weight.shape[0]
    most_rows = MOST_LOGITS // (4 * vocabulary)
    batch: list[_Item] = []
    width = kept = 0
    for item in sorted(items, key=lambda item: -item.length):
        width, kept = max(width, item.length), max(kept, len(item.answer) + 1)
        count = len(batch) + 1
        if batch and (count * width > MOST_TOKENS or count * kept > most_rows):
            yield batch
            batch, width, kept = [], item.length, len(item.answer) + 1
        batch.append(item)
    if batch:
        yield batch


def _forward(loaded: Loaded, side: LoadedSide, batch: list[_Item]) -> list[Scored]:
    width = max(item.length for item in batch)
    kept = max(len(item.answer) for item in batch) + 1
    rows = [[*item.encoded.ids, *item.answer] for item in batch]
    device = loaded.device
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    places: dict[str, Any] = {}
    if loaded.steps:
        places["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits = loaded.forward(
            [side.adapter] * len(batch),
            input_ids=ids,
            attention_mask=mask,
            logits_to_keep=kept,
            use_cache=False,
            **places,
        ).logits[:, -kept:]
        found = torch.log_softmax(logits[:, :-1].float(), -1)
        wanted = ids[:, width - kept + 1 :]
        taken = found.gather(-1, wanted[..., None])[..., 0].tolist()
    return [
        Scored(
            prompt=item.encoded.prompt.id,
            side=side.name,
            tokens=[side.tokenizer.decode([token]) for token in item.answer],
            logprobs=[round(x, 6) for x in row[-len(item.answer) :]],
        )
        for item, row in zip(batch, taken, strict=True)
    ]
