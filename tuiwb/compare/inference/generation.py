"""Answers of the sides that share one loaded model, all in one batch (worker side)."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import psutil
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from tuiwb.compare.completions import ROLES, Answer, Completion, SideAnswer, with_sides
from tuiwb.compare.inference.decoding import Budget, Row, decode
from tuiwb.compare.inference.loading import Loaded, LoadedSide
from tuiwb.compare.inference.sheet import blank
from tuiwb.compare.left_out import fills
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.errors import BadInput, JobFailed

SideName = Literal["base", "adapter"]
# Called between two tokens: side, tokens so far. What it raises ends the batch, nothing kept.
Watch = Callable[[SideName, int], None]
# Called between two tokens with the tokens that the rows at work have, and those they may have.
Told = Callable[[int, int], None]

MOST_ROWS = {"cuda": 256, "cpu": 128}
# Prompt tokens read at once: a GPU wants many, a CPU what stays in its caches.
MOST_PREFILL = {"cuda": 16384, "cpu": 4096}
SHARE_OF_GPU = 0.6
SHARE_OF_MEMORY = 0.25
MOST_CPU_BYTES = 4 << 30


class Encoded(msgspec.Struct, kw_only=True):
    """A prompt and its token ids, ready for the model."""

    prompt: HeldOutPrompt
    ids: list[int]


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How the sides are asked. `temperature` 0 is greedy; above, each prompt draws by a seed of
    its own made from `seed`, the same for every side. `batch_size` None: as many as fit."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    batch_size: int | None = None


class NotWritten(BadInput):
    """A prompt that the chat template can't write; `why` is worded to follow file:line."""

    def __init__(self, sentence: str, why: str) -> None:
        super().__init__(sentence)
        self.why = why


def encode(loaded: Loaded, prompt: HeldOutPrompt, tokenizer: Any = None) -> Encoded:
    """The prompt as the model is trained to see it: the chat template with the answer's opening."""
    return Encoded(prompt=prompt, ids=prompt_ids(tokenizer or loaded.tokenizer, prompt))


def prompt_ids(tokenizer: Any, prompt: HeldOutPrompt) -> list[int]:
    """The tokens of a prompt as `encode` has them; NotWritten where the template can't write it."""
    if prompt.raw is not None:
        ids: list[int] = tokenizer(prompt.raw)["input_ids"]
    else:
        text = rendered(tokenizer, prompt, prompt.messages, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def rendered(
    tokenizer: Any,
    prompt: HeldOutPrompt,
    messages: list[dict[str, Any]],
    *,
    add_generation_prompt: bool,
) -> str:
    """Turns as the chat template writes them; NotWritten where it can't, BadInput without one."""
    if not tokenizer.chat_template:
        raise BadInput(
            "the tokenizer has no chat template, so chats can't be asked: train with one, or "
            "give prompts as plain text (prompt and completion)"
        )
    try:
        text: str = tokenizer.apply_chat_template(
            messages,
            tools=prompt.tools,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        why = f"can't be written by the chat template ({words})"
        raise NotWritten(f"line {prompt.line} of the prompts {why}", why) from None
    return text


def answers(
    loaded: Loaded, asked: Mapping[str, Sequence[Encoded]], asking: Asking, told: Told
) -> Iterator[list[SideAnswer]]:
    """The answers of each side named in `asked` to its prompts, those that end together at once.

    Sides share a batch where PEFT can mix their adapters, else they answer one after another.
    """
    sides = {name: loaded.sides[name] for name in asked}
    together = loaded.mixes or len({side.adapter for side in sides.values()}) == 1
    fits = budget(loaded, asking.batch_size, len(sides) if together else 1)
    prompts = sorted(
        {e.prompt.id: e for each in asked.values() for e in each}.values(),
        key=lambda e: (-len(e.ids), e.prompt.index),
    )
    # Sides that can't share a batch take turns, so that pairs come early.
    size = len(prompts) if together else max(1, fits.rows)
    for start in range(0, len(prompts), size):
        turn = {encoded.prompt.id for encoded in prompts[start : start + size]}
        rows = [
            _row(loaded, sides[name], encoded, asking)
            for name in sides
            for encoded in asked[name]
            if encoded.prompt.id in turn
        ]
        place = {encoded.prompt.id: i for i, encoded in enumerate(prompts)}
        rows.sort(key=lambda row: place[row.prompt])
        if not loaded.steps:
            yield from _one_batch_at_a_time(loaded, sides, rows, asking, told)
            continue
        groups = [rows] if together else [[r for r in rows if r.side == name] for name in sides]
        for group in groups:
            for ended in decode(loaded, group, fits, asking.temperature, _telling(told)):
                yield [_answer(sides[row.side], row) for row in ended]


def _telling(told: Told) -> Callable[[Sequence[Row]], None]:
    def watch(rows: Sequence[Row]) -> None:
        told(sum(len(row.generated) for row in rows), sum(row.limit for row in rows))

    return watch


def budget(loaded: Loaded, batch_size: int | None, sides: int) -> Budget:
    """What of a batch fits into the memory that is free now, keys and values counted in full."""
    text = loaded.config.get_text_config()
    heads = getattr(text, "num_attention_heads", None) or 1
    kv_heads = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    each = next(loaded.model.parameters()).element_size()
    per_token = 2 * text.num_hidden_layers * kv_heads * size * each
    if loaded.device == "cuda":
        memory = SHARE_OF_GPU * torch.cuda.mem_get_info()[0]
    else:
        memory = min(MOST_CPU_BYTES, SHARE_OF_MEMORY * psutil.virtual_memory().available)
    return Budget(
        rows=batch_size * sides if batch_size else MOST_ROWS[loaded.device],
        tokens=max(1, int(memory / per_token)),
        prefill=MOST_PREFILL[loaded.device],
    )


def row_limit(loaded: Loaded, encoded: Encoded, asking: Asking) -> int:
    """The most tokens an answer can have; BadInput where the prompt leaves room for none."""
    room = loaded.room - len(encoded.ids)
    if room < 1:
        raise BadInput(
            f"the prompt on line {encoded.prompt.line} {fills(loaded.room)}: shorten it or leave "
            "it out"
        )
    return min(asking.max_new_tokens, room)


def prompt_seed(asking: Asking, prompt: str) -> int:
    """The seed that a prompt's tokens are drawn by, the same for every side; below 2**63."""
    told = hashlib.sha256(f"{asking.seed}:{prompt}".encode()).digest()
    return int.from_bytes(told[:8], "big") >> 1


def _row(loaded: Loaded, side: LoadedSide, encoded: Encoded, asking: Asking) -> Row:
    random = None
    if asking.temperature > 0:
        random = torch.Generator().manual_seed(prompt_seed(asking, encoded.prompt.id))
    return Row(
        prompt=encoded.prompt.id,
        side=side.name,
        ids=encoded.ids,
        limit=row_limit(loaded, encoded, asking),
        stops=frozenset(side.stops),
        adapter=side.adapter,
        random=random,
    )


def _answer(side: LoadedSide, row: Row) -> SideAnswer:
    kept = row.generated[:-1] if row.stop == "eos" else row.generated
    # Special tokens in mid-answer are shown: they are a fault worth seeing.
    text = side.tokenizer.decode(
        kept, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return SideAnswer(
        id=row.prompt,
        side=row.side,
        text=text,
        tokens=len(row.generated),
        seconds=row.seconds,
        first_seconds=row.first_seconds,
        latency=row.latency,
        stop=row.stop or "length",
    )


def batches(prompts: Sequence[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Longest first, so that rows of a batch are alike and memory is short at once or never."""
    ordered = sorted(prompts, key=lambda e: (-len(e.ids), e.prompt.index))
    return (ordered[i : i + size] for i in range(0, len(ordered), size))


def answer_batch(
    loaded: Loaded, batch: list[Encoded], max_new_tokens: int, watch: Watch
) -> list[Completion]:
    """Greedy answers of base and adapter (if there is one) to a batch, in its order."""
    last: SideName = "adapter" if loaded.has_adapter else "base"
    steps = 0

    def told(tokens: int, most: int) -> None:
        nonlocal steps
        steps += 1
        watch(last, steps)

    asking = Asking(max_new_tokens=max_new_tokens, batch_size=len(batch))
    asked: dict[str, list[Encoded]] = {n: batch for n in ROLES if n in loaded.sides}
    found: dict[tuple[str, str], Answer] = {}
    for ended in answers(loaded, asked, asking, told):
        found |= {(answer.id, answer.side): answer for answer in ended}
    return [
        with_sides(
            msgspec.structs.replace(blank(encoded.prompt), prompt_tokens=len(encoded.ids)),
            found[encoded.prompt.id, "base"],
            found.get((encoded.prompt.id, "adapter")),
        )
        for encoded in batch
    ]


def max_logit_difference(
    loaded: Loaded, prompts: Sequence[Encoded], one: str = "base", other: str = "adapter"
) -> float:
    """The largest absolute difference of two sides' next-token logits after a few prompts."""
    sides = [loaded.sides[one].adapter, loaded.sides[other].adapter]
    most = 0.0
    for encoded in prompts:
        ids = torch.tensor([encoded.ids], device=loaded.device)
        with torch.inference_mode():
            logits = [
                loaded.forward([side], input_ids=ids, logits_to_keep=1).logits[:, -1].float()
                for side in sides
            ]
        for name, found in zip((one, other), logits, strict=True):
            if torch.isnan(found).any():
                raise JobFailed(
                    f"the logits of side {name} are not numbers in {loaded.dtype}: "
                    f"{_mended(loaded)}"
                )
        # Equal infinities (tokens that a model forbids) are no difference.
        apart = (logits[0] - logits[1]).abs().masked_fill(logits[0] == logits[1], 0.0)
        most = max(most, float(apart.max()))
    return most


def _mended(loaded: Loaded) -> str:
    """What to do where logits are NaN though every weight is finite: sums overflowed."""
    if loaded.dtype == "float32":
        return "its weights overflow; train again at a lower learning rate"
    return "give --dtype float32, and if that changes nothing train again at a lower learning rate"


# Models whose state is no cache of keys and values: transformers' own loop, batch by batch


class _Watching(StoppingCriteria):  # type: ignore[misc]
    """Lets the watch look at control and report after each token."""

    def __init__(self, told: Told, rows: int, limit: int) -> None:
        self._told, self._rows, self._limit = told, rows, limit
        self._steps = 0

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        self._steps += 1
        self._told(self._rows * self._steps, self._rows * self._limit)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


class _Drawing(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row the one token that its own generator draws, whatever rows are beside it."""

    def __init__(self, rows: Sequence[Row], temperature: float) -> None:
        self._drawn = [row.random for row in rows]
        self._temperature = temperature

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        chances = torch.softmax(scores.float().cpu() / self._temperature, -1)
        only = torch.full_like(scores, -torch.inf)
        for index, random in enumerate(self._drawn):
            only[index, int(torch.multinomial(chances[index], 1, generator=random))] = 0.0
        return only


def _one_batch_at_a_time(
    loaded: Loaded, sides: Mapping[str, LoadedSide], rows: list[Row], asking: Asking, told: Told
) -> Iterator[list[SideAnswer]]:
    rows = sorted(rows, key=lambda row: (row.adapter, row.limit, -len(row.ids)))
    while rows:
        size = asking.batch_size or MOST_ROWS[loaded.device] // 4
        # `generate` knows one limit: a row near the model's end must not cut the others short.
        alike = (rows[0].adapter, rows[0].limit)
        batch = [row for row in rows[:size] if (row.adapter, row.limit) == alike]
        while True:
            try:
                _generate(loaded, sides[batch[0].side].tokenizer, batch, asking, told)
                break
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            torch.cuda.empty_cache()
            for row in batch:
                row.again()
            batch = batch[: len(batch) // 2]
        rows = rows[len(batch) :]
        yield [_answer(sides[row.side], row) for row in batch]


def _generate(loaded: Loaded, tokenizer: Any, batch: list[Row], asking: Asking, told: Told) -> None:
    begun = time.perf_counter()
    inputs = tokenizer.pad(
        {"input_ids": [row.ids for row in batch]}, padding=True, return_tensors="pt"
    ).to(loaded.device)
    width = inputs["input_ids"].shape[1]
    limit = batch[0].limit
    drawn = [_Drawing(batch, asking.temperature)] if asking.temperature > 0 else []
    with torch.inference_mode(), loaded.only(batch[0].adapter):
        output = loaded.model.generate(
            **inputs,
            max_new_tokens=limit,
            eos_token_id=sorted(batch[0].stops),
            stopping_criteria=StoppingCriteriaList([_Watching(told, len(batch), limit)]),
            logits_processor=LogitsProcessorList(drawn),
        )
    seconds = time.perf_counter() - begun
    for row, ids in zip(batch, output[:, width:].tolist(), strict=True):
        end = next((i for i, token in enumerate(ids) if token in row.stops), None)
        row.generated = ids if end is None else ids[: end + 1]
        row.stop = "length" if end is None else "eos"
        row.seconds, row.latency = seconds / len(batch), seconds
