"""How likely each side finds each option of a multiple choice (worker side)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import torch

from tuiwb.compare.evaluation.general import ProbeItem
from tuiwb.compare.loading import Loaded

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
    """
    scores = [0.0] * len(options)
    done = 0
    for batch in _batches(loaded, options):
        longest = max(len(options[i].ids) for i in batch)
        ids = torch.full((len(batch), longest), int(loaded.tokenizer.pad_token_id))
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, : len(options[i].ids)] = torch.tensor(options[i].ids)
            mask[row, : len(options[i].ids)] = 1
        with torch.inference_mode():
            logits = loaded.model(
                input_ids=ids.to(loaded.device), attention_mask=mask.to(loaded.device)
            ).logits
            for row, i in enumerate(batch):
                scores[i] = _score(logits[row], options[i])
        done += len(batch)
        watch(done)
    return scores


def _score(logits: Any, option: Option) -> float:
    """Mean log-probability a byte of the option's tokens; padding stands to their right."""
    end = len(option.ids)
    told = torch.log_softmax(logits[option.before - 1 : end - 1].float(), dim=-1)
    tokens = torch.tensor(option.ids[option.before :], device=told.device)
    return float(told.gather(1, tokens[:, None]).sum()) / option.size


def _batches(loaded: Loaded, options: Sequence[Option]) -> Iterator[list[int]]:
    """Places of options alike in length, as many as their logits leave room for."""
    words = int(loaded.model.get_input_embeddings().weight.shape[0])
    most = max(256, min(8192, LOGITS // words))
    batch: list[int] = []
    for place in sorted(range(len(options)), key=lambda i: -len(options[i].ids)):
        longest = len(options[batch[0]].ids) if batch else 0
        if batch and longest * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
