"""Greedy answers of base and adapter, batch by batch, on one loaded model (worker side)."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from tuiwb.compare.completions import Completion, Stop
from tuiwb.compare.loading import Loaded
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.errors import BadInput

SideName = Literal["base", "adapter"]
# Called between two tokens: side, tokens so far. What it raises ends the batch, nothing kept.
Watch = Callable[[SideName, int], None]


class Encoded(msgspec.Struct, kw_only=True):
    """A prompt and its token ids, ready for the model."""

    prompt: HeldOutPrompt
    ids: list[int]


class Answer(msgspec.Struct, kw_only=True):
    """One generated answer; `stop` is 'eos' when the model ended it itself."""

    text: str
    tokens: int
    stop: Stop


def encode(loaded: Loaded, prompt: HeldOutPrompt) -> Encoded:
    """The prompt as the model is trained to see it: the chat template with the answer's opening."""
    tokenizer = loaded.tokenizer
    if prompt.raw is not None:
        ids = tokenizer(prompt.raw)["input_ids"]
    else:
        if not tokenizer.chat_template:
            raise BadInput(
                "the tokenizer has no chat template, so chats can't be asked: train with one, or "
                "give prompts as plain text (prompt and completion)"
            )
        try:
            text = tokenizer.apply_chat_template(
                prompt.messages, tools=prompt.tools, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            raise BadInput(
                f"line {prompt.line} of the prompts can't be rendered by the chat template: {words}"
            ) from None
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return Encoded(prompt=prompt, ids=ids)


def batches(prompts: Sequence[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Longest first, so that rows of a batch are alike and memory is short at once or never."""
    ordered = sorted(prompts, key=lambda e: (-len(e.ids), e.prompt.index))
    return (ordered[i : i + size] for i in range(0, len(ordered), size))


def answer_batch(
    loaded: Loaded, batch: list[Encoded], max_new_tokens: int, watch: Watch
) -> list[Completion]:
    """Both sides' greedy answers to a batch; halves it when the GPU's memory is short."""
    try:
        return _answer(loaded, batch, max_new_tokens, watch)
    except torch.cuda.OutOfMemoryError:
        if len(batch) == 1:
            raise
    torch.cuda.empty_cache()
    half = len(batch) // 2
    return [
        *answer_batch(loaded, batch[:half], max_new_tokens, watch),
        *answer_batch(loaded, batch[half:], max_new_tokens, watch),
    ]


def _answer(
    loaded: Loaded, batch: list[Encoded], max_new_tokens: int, watch: Watch
) -> list[Completion]:
    begun = time.perf_counter()
    base = _generate(loaded, batch, max_new_tokens, "base", watch)
    between = time.perf_counter()
    adapter = None
    if loaded.has_adapter:
        adapter = _generate(loaded, batch, max_new_tokens, "adapter", watch)
    ended = time.perf_counter()
    found = []
    for i, encoded in enumerate(batch):
        prompt = encoded.prompt
        completion = Completion(
            id=prompt.id,
            index=prompt.index,
            line=prompt.line,
            prompt=prompt.messages,
            raw=prompt.raw,
            reference=prompt.reference,
            tags=prompt.tags,
            prompt_tokens=len(encoded.ids),
            base=base[i].text,
            base_tokens=base[i].tokens,
            base_seconds=(between - begun) / len(batch),
            base_stop=base[i].stop,
        )
        if adapter is not None:
            completion.adapter = adapter[i].text
            completion.adapter_tokens = adapter[i].tokens
            completion.adapter_seconds = (ended - between) / len(batch)
            completion.adapter_stop = adapter[i].stop
        found.append(completion)
    return found


class _Watching(StoppingCriteria):  # type: ignore[misc]
    """Lets the watch look at control and report after each token."""

    def __init__(self, watch: Watch, side: SideName) -> None:
        self._watch, self._side = watch, side
        self.tokens = 0

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        self.tokens += 1
        self._watch(self._side, self.tokens)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def _generate(
    loaded: Loaded, batch: list[Encoded], max_new_tokens: int, side: SideName, watch: Watch
) -> list[Answer]:
    padded = _pad(loaded, batch)
    width = padded["input_ids"].shape[1]
    room = loaded.room - width
    if room < 1:
        where = ", ".join(str(e.prompt.line) for e in batch if len(e.ids) >= loaded.room)
        raise BadInput(
            f"the prompt on line {where} fills all {loaded.room} positions of the model: "
            "shorten it or leave it out"
        )
    with torch.inference_mode(), _side(loaded, side):
        output = loaded.model.generate(
            **padded,
            max_new_tokens=min(max_new_tokens, room),
            eos_token_id=loaded.stops,
            stopping_criteria=StoppingCriteriaList([_Watching(watch, side)]),
        )
    return [_cut(loaded, row) for row in output[:, width:].tolist()]


def _cut(loaded: Loaded, ids: list[int]) -> Answer:
    end = next((i for i, token in enumerate(ids) if token in loaded.stops), None)
    kept = ids if end is None else ids[:end]
    # Special tokens in mid-answer are shown: they are a fault worth seeing.
    text = loaded.tokenizer.decode(
        kept, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return Answer(
        text=text,
        tokens=len(kept) + (end is not None),
        stop="length" if end is None else "eos",
    )


def max_logit_difference(loaded: Loaded, prompts: Sequence[Encoded]) -> float:
    """The largest absolute change the adapter makes to the next-token logits of a few prompts."""
    most = 0.0
    for encoded in prompts:
        inputs = _pad(loaded, [encoded])
        with torch.inference_mode():
            with _side(loaded, "base"):
                base = loaded.model(**inputs).logits[:, -1].float()
            adapter = loaded.model(**inputs).logits[:, -1].float()
        most = max(most, float((base - adapter).abs().max()))
    return most


def _side(loaded: Loaded, side: SideName) -> contextlib.AbstractContextManager[Any]:
    if side == "base" and loaded.has_adapter:
        off: contextlib.AbstractContextManager[Any] = loaded.model.disable_adapter()
        return off
    return contextlib.nullcontext()


def _pad(loaded: Loaded, batch: list[Encoded]) -> Any:
    return loaded.tokenizer.pad(
        {"input_ids": [encoded.ids for encoded in batch]}, padding=True, return_tensors="pt"
    ).to(loaded.device)
