"""How likely each side finds each option of a multiple choice (worker side)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tuiwb.compare.evaluation.general import ProbeItem
from tuiwb.compare.inference.loading import Loaded

Role = Literal["base", "adapter"]
# Logits of a batch are its tokens times the vocabulary: kept near half a gigabyte in float32.
LOGITS = 1 << 27


class Option(msgspec.Struct, kw_only=True):
    """One way an item may go on: its item's place, its own, all token ids, how many are before
    it, and its length in bytes of UTF-8."""

    item: int
    option: int
    ids: list[int]
    before: int
    size: int


def options_of(loaded: Loaded, items: Sequence[ProbeItem]) -> list[Option]:
    """The items' options as token ids, in the model's own chat template where it has one."""
    tokenizer = loaded.tokenizer
    found = []
    for place, item in enumerate(items):
        if tokenizer.chat_template:
            opening = tokenizer.apply_chat_template(
                [{"role": "user", "content": item.ask}], tokenize=False, add_generation_prompt=True
            )
        else:
            opening = f"Question: {item.ask}\nAnswer: "
        special = not tokenizer.chat_template
        context = tokenizer(opening + item.begin, add_special_tokens=special)["input_ids"]
        for number, option in enumerate(item.options):
            text = f" {option}."
            ids = tokenizer(opening + item.begin + text, add_special_tokens=special)["input_ids"]
            # A token may span the seam: only what both share is context.
            before = next(
                (i for i, (a, b) in enumerate(zip(context, ids, strict=False)) if a != b),
                min(len(context), len(ids)),
            )
            found.append(
                Option(
                    item=place,
                    option=number,
                    ids=ids,
                    before=max(1, min(before, len(ids) - 1)),
                    size=len(text.encode("utf-8")),
                )
            )
    return found


def log_likelihoods(
    loaded: Loaded, options: Sequence[Option], watch: Callable[[int], None]
) -> list[float]:
    """Nats a byte of each option after its context, by the model as it stands.

    Length-normalised by bytes, as lm-evaluation-harness's acc_norm is: the tokenizer plays no part.
    What an item's options share is read once where the model's cache can be repeated.
    """
    scores = [0.0] * len(options)
    done = 0
    shares = loaded.steps and _cache(loaded) is not None
    for batch in _batches(loaded, options, shares=shares):
        with torch.inference_mode():
            for place, score in zip(batch, _scores(loaded, options, batch, shares), strict=True):
                scores[place] = score
        done += len(batch)
        watch(done)
    return scores


def _scores(
    loaded: Loaded, options: Sequence[Option], batch: list[int], shares: bool
) -> list[float]:
    """The scores of a batch; its options are those of whole items, item after item."""
    rows = [options[i] for i in batch]
    starts = _shared(rows) if shares else [0] * len(rows)
    cache, before = None, torch.zeros((len(rows), 0), dtype=torch.long)
    if min(starts) > 0:
        cache, before = _read_shared(loaded, rows, starts)
    else:
        starts = [0] * len(rows)
    longest = max(len(r.ids) - s for r, s in zip(rows, starts, strict=True))
    ids = torch.full((len(rows), longest), int(loaded.tokenizer.pad_token_id))
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for n, (row, start) in enumerate(zip(rows, starts, strict=True)):
        ids[n, : len(row.ids) - start] = torch.tensor(row.ids[start:])
        mask[n, : len(row.ids) - start] = 1
    inputs = {"input_ids": ids, "attention_mask": torch.cat([before, mask], dim=1)}
    if cache is not None:
        inputs["position_ids"] = torch.tensor(starts)[:, None] + torch.arange(longest)
    inputs = {name: tensor.to(loaded.device) for name, tensor in inputs.items()}
    kept = {} if cache is None else {"past_key_values": cache}
    logits = loaded.model(**inputs, **kept).logits
    return [_score(logits[n], r, s) for n, (r, s) in enumerate(zip(rows, starts, strict=True))]


def _score(logits: Any, option: Option, start: int) -> float:
    """Mean log-probability a byte of the option's tokens; `logits` begin at token `start`."""
    first, end = option.before - start, len(option.ids) - start
    told = torch.log_softmax(logits[first - 1 : end - 1].float(), dim=-1)
    tokens = torch.tensor(option.ids[option.before :], device=told.device)
    return float(told.gather(1, tokens[:, None]).sum()) / option.size


def _shared(rows: Sequence[Option]) -> list[int]:
    """How many tokens each row shares with its item's other options, one less than all: the last
    gives the logits of the first that differs."""
    least: dict[int, int] = {}
    for row in rows:
        least[row.item] = min(least.get(row.item, row.before), row.before)
    return [least[row.item] - 1 for row in rows]


def _read_shared(
    loaded: Loaded, rows: Sequence[Option], starts: Sequence[int]
) -> tuple[Any, torch.Tensor]:
    """The cache of what each item's options share, a row an option, and its attention mask."""
    firsts = [n for n, row in enumerate(rows) if n == 0 or rows[n - 1].item != row.item]
    counts = [b - a for a, b in zip(firsts, [*firsts[1:], len(rows)], strict=True)]
    width = max(starts)
    ids = torch.full((len(firsts), width), int(loaded.tokenizer.pad_token_id))
    mask = torch.zeros((len(firsts), width), dtype=torch.long)
    for n, first in enumerate(firsts):
        ids[n, width - starts[first] :] = torch.tensor(rows[first].ids[: starts[first]])
        mask[n, width - starts[first] :] = 1
    cache = _cache(loaded)
    loaded.model(
        input_ids=ids.to(loaded.device),
        attention_mask=mask.to(loaded.device),
        position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(loaded.device),
        past_key_values=cache,
        use_cache=True,
    )
    places = torch.repeat_interleave(torch.arange(len(firsts)), torch.tensor(counts))
    cache.batch_select_indices(places.to(loaded.device))
    return cache, mask[places]


def _cache(loaded: Loaded) -> Any:
    """An empty cache whose rows can be repeated; None where layers have states of their own."""
    cache = DynamicCache(config=loaded.config)
    plain = bool(cache.layers) and all(type(layer) is DynamicLayer for layer in cache.layers)
    return cache if plain else None


def _batches(loaded: Loaded, options: Sequence[Option], *, shares: bool) -> Iterator[list[int]]:
    """Places of whole items' options, items alike in length together, as many as their logits
    leave room for."""
    words = int(loaded.model.get_input_embeddings().weight.shape[0])
    most = max(256, min(8192, LOGITS // words))
    items: dict[int, list[int]] = {}
    for place, option in enumerate(options):
        items.setdefault(option.item, []).append(place)
    ordered = sorted(items.values(), key=lambda places: -len(options[places[0]].ids))
    batch: list[int] = []
    widest = 0
    for places in ordered:
        # Shared tokens give no logits that are kept: a quarter counts for them.
        size = max(len(options[i].ids) for i in places) // (4 if shares else 1) + 1
        if batch and max(widest, size) * (len(batch) + len(places)) > most:
            yield batch
            batch, widest = [], 0
        batch.extend(places)
        widest = max(widest, size)
    if batch:
        yield batch
