"""Decoding rows of several sides in one batch: each step gives every row a token (worker side).

A row that ends leaves at once and another may take its place. Rows are left-padded, padding is
masked and each row counts its own positions, so a row's logits do not depend on its neighbours
beyond rounding. Greedy texts are those of transformers' `generate`, one prompt at a time.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tuiwb.compare.completions import Stop
from tuiwb.compare.inference.kv_cache import make_cache
from tuiwb.compare.inference.loading import BASE, Loaded

# Rows that ended are carried along until they are this share: taking rows out copies the cache.
IDLE_SHARE = 0.125
SHORTEST_PREFIX = 16
# Called between two tokens with the rows at work; what it raises ends the batch.
Watch = Callable[[Sequence["Row"]], None]


@dataclass(eq=False)
class Row:
    """One prompt asked of one side: `adapter` is PEFT's name for it, or BASE. At most `limit`
    tokens are generated; `random` draws them, None takes the likeliest. Times are seconds."""

    prompt: str
    side: str
    ids: list[int]
    limit: int
    stops: frozenset[int]
    adapter: str = BASE
    random: torch.Generator | None = None
    generated: list[int] = field(default_factory=list)
    seconds: float = 0.0
    first_seconds: float = 0.0
    latency: float = 0.0
    stop: Stop | None = None
    joined: float = 0.0

    @property
    def length(self) -> int:
        """Tokens in the cache: all but the newest, which has not been fed yet."""
        return len(self.ids) + max(0, len(self.generated) - 1)

    def again(self) -> None:
        """Forget what was generated; it is drawn again from the same seed."""
        self.generated, self.seconds, self.stop = [], 0.0, None
        if self.random is not None:
            self.random.manual_seed(self.random.initial_seed())


@dataclass
class Budget:
    """What fits at once: rows, cache tokens of all rows together, prompt tokens read at once."""

    rows: int
    tokens: int
    prefill: int


def decode(
    loaded: Loaded, rows: Sequence[Row], budget: Budget, temperature: float, watch: Watch
) -> Iterator[list[Row]]:
    """Yield rows as they end, those of one step together; the longest prompts begin.

    Where the GPU's memory runs short, the rows at work begin again in a batch of half the size.
    """
    waiting = sorted(rows, key=lambda row: -len(row.ids))
    while waiting:
        batch = _Batch(loaded, temperature, common_prefix([row.ids for row in waiting]))
        adapters = {row.adapter for row in waiting}
        alone = contextlib.nullcontext() if len(adapters) > 1 else loaded.hold(waiting[0].adapter)
        try:
            with alone:
                yield from _run(batch, waiting, budget, watch)
            continue
        except torch.cuda.OutOfMemoryError:
            at_work = batch.active
            if len(at_work) + len(batch.ended) <= 1:
                raise
        # Those that ended while others were still read.
        if batch.ended:
            yield batch.ended
        for row in at_work:
            row.again()
        waiting[:0] = at_work
        budget = Budget(
            rows=max(1, len(at_work) // 2),
            tokens=budget.tokens // 2,
            prefill=budget.prefill // 2,
        )
        # Out here the error holds the step's tensors no longer.
        del batch
        torch.cuda.empty_cache()


def common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """The token ids that all of several prompts begin with: their system turn, mostly. Empty where
    there is little to share; at least one token of each prompt is left to read."""
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    length = next((i for i in range(most) if first[i] != last[i]), most)
    return first[:length] if length >= SHORTEST_PREFIX else []


def _run(batch: "_Batch", waiting: list[Row], budget: Budget, watch: Watch) -> Iterator[list[Row]]:
    while waiting or batch.active:
        while fresh := _admitted(batch, waiting, budget):
            batch.join(fresh)
            if batch.ended:
                yield batch.take()
            watch(batch.active)
        if batch.active:
            batch.step()
            if batch.ended:
                yield batch.take()
            watch(batch.active)


def _admitted(batch: "_Batch", waiting: list[Row], budget: Budget) -> list[Row]:
    """Take from `waiting` what may join now; a single row always may when nothing is at work."""
    if not waiting or (batch.active and not batch.open):
        return []
    width = max((row.length for row in batch.active), default=0)
    ahead = max((row.limit - len(row.generated) for row in batch.active), default=0)
    read = count = 0
    full = False
    for row in waiting:
        width, ahead = max(width, len(row.ids)), max(ahead, row.limit)
        read = max(read, len(row.ids) - len(batch.prefix))
        rows = len(batch.active) + count + 1
        full = rows > budget.rows or rows * (width + ahead) > budget.tokens
        # A cache that can't be joined takes all of its rows at the first reading.
        much = batch.open and count and read * (count + 1) > budget.prefill
        if (full and rows > 1) or much:
            break
        count += 1
    # Joining copies the cache: not for a few rows while many are at work.
    if full and count < IDLE_SHARE * len(batch.active):
        return []
    fresh, waiting[:count] = waiting[:count], []
    return fresh


class _Batch:
    """The rows being decoded. `rows` are those in the cache, `active` those without an end,
    `ended` those with one that nobody has taken yet."""

    def __init__(self, loaded: Loaded, temperature: float, prefix: list[int]) -> None:
        self._loaded, self._temperature = loaded, temperature
        self._cache: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.long)
        self._prefixes: dict[str, Any] = {}
        self.open = make_cache(loaded.config)[1]
        self.prefix = prefix if self.open else []
        self.rows: list[Row] = []
        self.active: list[Row] = []
        self.ended: list[Row] = []

    def take(self) -> list[Row]:
        """The rows that ended since the last time."""
        ended, self.ended = self.ended, []
        return ended

    def join(self, rows: list[Row]) -> None:
        """Read the prompts of `rows` and choose their first tokens."""
        self.active += rows
        self._compact()
        # One side at a time: it is the reading that costs, and mixing rows would copy them all.
        for adapter in dict.fromkeys(row.adapter for row in rows) if self.open else [""]:
            self._read([r for r in rows if not adapter or r.adapter == adapter])

    def _read(self, rows: list[Row]) -> None:
        begun = time.perf_counter()
        for row in rows:
            row.joined = begun
        device, shared = self._loaded.device, len(self.prefix)
        rest = [row.ids[shared:] for row in rows]
        width = max(map(len, rest))
        ids = torch.tensor([[0] * (width - len(r)) + r for r in rest], device=device)
        mask = torch.tensor(
            [[1] * shared + [0] * (width - len(r)) + [1] * len(r) for r in rest], device=device
        )
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, shared:]
        cache = self._begin(rows)
        logits = self._forward(rows, ids, mask, positions, cache)
        self._append(cache, mask)
        self.rows += rows
        self._choose(rows, logits, begun)

    def _begin(self, rows: list[Row]) -> Any:
        """A cache for `rows` that holds the common prefix, read once for each adapter."""
        cache, _ = make_cache(self._loaded.config)
        if not self.prefix:
            return cache
        adapter = rows[0].adapter
        if adapter not in self._prefixes:
            ids = torch.tensor([self.prefix], device=self._loaded.device)
            read, _ = make_cache(self._loaded.config)
            places = torch.arange(len(self.prefix), device=self._loaded.device)[None]
            self._forward(rows[:1], ids, torch.ones_like(ids), places, read)
            self._prefixes[adapter] = read
        for layer, known in zip(cache.layers, self._prefixes[adapter].layers, strict=True):
            layer.repeat(known, len(rows))
        return cache

    def _append(self, cache: Any, mask: Any) -> None:
        if not self.rows:
            self._cache, self._mask = cache, mask
            return
        ours, theirs = self._mask.shape[1], mask.shape[1]
        width = max(ours, theirs)
        pad = torch.nn.functional.pad
        self._mask = torch.cat([pad(self._mask, (width - ours, 0)), pad(mask, (width - theirs, 0))])
        for mine, new in zip(self._cache.layers, cache.layers, strict=True):
            mine.join(new)

    def step(self) -> None:
        """Feed every row's newest token and choose the next."""
        begun = time.perf_counter()
        if len(self.active) <= (1 - IDLE_SHARE) * len(self.rows):
            self._compact()
        device = self._loaded.device
        ids = torch.tensor([[row.generated[-1]] for row in self.rows], device=device)
        positions = torch.tensor([[row.length] for row in self.rows], device=device)
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        logits = self._forward(self.rows, ids, self._mask, positions, self._cache)
        self._choose(self.rows, logits, begun)

    def _forward(self, rows: list[Row], ids: Any, mask: Any, positions: Any, cache: Any) -> Any:
        with torch.inference_mode():
            logits = self._loaded.forward(
                [row.adapter for row in rows],
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits
        return logits[:, -1, :].float()

    def _choose(self, rows: list[Row], logits: Any, begun: float) -> None:
        with torch.inference_mode():
            best = logits.argmax(-1).tolist()
            now = time.perf_counter()
            going = [row for row in rows if row.stop is None]
            share = (now - begun) / max(1, len(going))
            for index, row in enumerate(rows):
                if row.stop is not None:
                    continue
                token = best[index]
                if row.random is not None:
                    chances = torch.softmax(logits[index].cpu() / self._temperature, -1)
                    token = int(torch.multinomial(chances, 1, generator=row.random))
                row.seconds += share
                if not row.generated:
                    row.first_seconds = now - row.joined
                row.generated.append(token)
                if token in row.stops:
                    row.stop = "eos"
                elif len(row.generated) >= row.limit:
                    row.stop = "length"
                if row.stop is not None:
                    row.latency = now - row.joined
                    self.ended.append(row)
        if self.ended:
            self.active = [row for row in self.active if row.stop is None]

    def _compact(self) -> None:
        """Let the rows that ended go, and the padding that only they needed."""
        keep = [index for index, row in enumerate(self.rows) if row.stop is None]
        if not keep:
            self.rows, self._cache = [], None
        if len(keep) == len(self.rows) or not self.open:
            return
        self.rows = [self.rows[index] for index in keep]
        index = torch.tensor(keep, device=self._loaded.device)
        self._mask = self._mask[index]
        padding = int((self._mask.cumsum(-1) == 0).sum(-1).min())
        self._mask = self._mask[:, padding:]
        for layer in self._cache.layers:
            layer.select(index, padding)
