"""Continuous batching: rows join and leave a running batch between two tokens. Imports torch.

A batch is left-padded; a padded key is masked and every row counts its own positions, so a row's
logits do not depend on who shares the batch with it.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tuiwb.serve.builtin.model import LoadedModel
from tuiwb.serve.builtin.protocol import Sampling


@dataclass
class Row:
    """One request in the batch: what it asked, its tokens so far, and who owns it."""

    ids: list[int]
    adapter: str
    sampling: Sampling
    owner: Any
    generated: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    processors: LogitsProcessorList | None = None
    random: torch.Generator | None = None

    @property
    def length(self) -> int:
        """Tokens of this row in the cache: all but the newest, which has not been fed yet."""
        return len(self.ids) + max(0, len(self.generated) - 1)


class Batch:
    """The rows being decoded; `step` gives each one token more."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._cache: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.long)
        self._idle: set[int] = set()
        self.rows: list[Row] = []

    @property
    def can_join(self) -> bool:
        """Whether new rows may join now: a cache with windows or states can't be cut and joined."""
        return not self.rows or self._plain()

    def join(self, rows: list[Row]) -> None:
        """Read the prompts of `rows` and choose their first tokens."""
        width = max(len(row.ids) for row in rows)
        device = self._model.device
        ids = torch.tensor([[0] * (width - len(r.ids)) + r.ids for r in rows], device=device)
        mask = torch.tensor(
            [[0] * (width - len(r.ids)) + [1] * len(r.ids) for r in rows], device=device
        )
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        logits = self._forward(ids, mask, positions, cache, rows)
        for row in rows:
            self._prepare(row)
        if self.rows:
            self._append(cache, mask)
        else:
            self._cache, self._mask = cache, mask
        self.rows += rows
        self._choose(rows, logits)

    def step(self) -> None:
        """Feed every row's newest token and choose the next one."""
        device = self._model.device
        ids = torch.tensor([[row.generated[-1]] for row in self.rows], device=device)
        positions = torch.tensor([[row.length] for row in self.rows], device=device)
        ones = torch.ones(len(self.rows), 1, dtype=self._mask.dtype, device=device)
        self._mask = torch.cat([self._mask, ones], dim=1)
        logits = self._forward(ids, self._mask, positions, self._cache, self.rows)
        self._choose(self.rows, logits)

    def drop(self, gone: list[Row]) -> None:
        """Let rows leave; the padding that only they needed goes with them."""
        names = {id(row) for row in gone}
        if not self._plain():
            self._idle |= names
            if all(id(row) in self._idle for row in self.rows):
                self.clear()
            return
        keep = [index for index, row in enumerate(self.rows) if id(row) not in names]
        self.rows = [self.rows[index] for index in keep]
        if not self.rows:
            self.clear()
            return
        index = torch.tensor(keep, device=self._model.device)
        self._mask = self._mask[index]
        padding = int((self._mask.cumsum(-1) == 0).sum(-1).min())
        self._mask = self._mask[:, padding:]
        for layer in self._cache.layers:
            layer.keys = layer.keys[index, :, padding:]
            layer.values = layer.values[index, :, padding:]

    def clear(self) -> None:
        """Forget every row."""
        self.rows, self._cache, self._idle = [], None, set()

    def working(self, row: Row) -> bool:
        """Whether the row still wants tokens."""
        return id(row) not in self._idle

    def _plain(self) -> bool:
        return self._cache is None or all(type(x) is DynamicLayer for x in self._cache.layers)

    def _append(self, cache: Any, mask: torch.Tensor) -> None:
        ours, theirs = self._mask.shape[1], mask.shape[1]
        width = max(ours, theirs)
        pad = torch.nn.functional.pad
        self._mask = torch.cat([pad(self._mask, (width - ours, 0)), pad(mask, (width - theirs, 0))])
        for mine, new in zip(self._cache.layers, cache.layers, strict=True):
            for part in ("keys", "values"):
                old = pad(getattr(mine, part), (0, 0, width - ours, 0))
                fresh = pad(getattr(new, part), (0, 0, width - theirs, 0))
                setattr(mine, part, torch.cat([old, fresh]))

    def _forward(
        self, ids: Any, mask: Any, positions: Any, cache: Any, rows: list[Row]
    ) -> torch.Tensor:
        with torch.inference_mode():
            return self._model.forward(ids, mask, positions, cache, [row.adapter for row in rows])

    def _prepare(self, row: Row) -> None:
        """The model's own generation_config stands in where the request says nothing."""
        asked, own = row.sampling, self._model.defaults
        processors = LogitsProcessorList()
        penalty = asked.repetition_penalty or own.repetition_penalty
        if penalty is not None and penalty != 1.0:
            processors.append(RepetitionPenaltyLogitsProcessor(float(penalty)))
        temperature = 1.0 if own.temperature is None else own.temperature
        temperature = temperature if asked.temperature is None else asked.temperature
        if temperature > 0:
            device = self._model.device
            row.random = torch.Generator(device)
            if asked.seed is None:
                row.random.seed()
            else:
                row.random.manual_seed(asked.seed % 2**63)
            if temperature != 1.0:
                processors.append(TemperatureLogitsWarper(float(temperature)))
            top_k = own.top_k if asked.top_k is None else asked.top_k
            if top_k and top_k > 0:
                processors.append(TopKLogitsWarper(int(top_k)))
            top_p = own.top_p if asked.top_p is None else asked.top_p
            if top_p is not None and top_p < 1.0:
                processors.append(TopPLogitsWarper(float(top_p)))
        row.processors = processors or None

    def _choose(self, rows: list[Row], logits: torch.Tensor) -> None:
        with torch.inference_mode():
            best = logits.argmax(-1).tolist()
            for index, row in enumerate(rows):
                scores = logits[index : index + 1]
                token = best[index]
                if row.processors:
                    seen = torch.tensor([row.ids + row.generated], device=logits.device)
                    scores = row.processors(seen, scores)
                    token = int(scores.argmax())
                if row.random is not None:
                    chances = torch.softmax(scores, -1)
                    token = int(torch.multinomial(chances, 1, generator=row.random))
                row.generated.append(token)
                if row.sampling.logprobs:
                    chances = torch.log_softmax(logits[index], -1)
                    row.logprobs.append(float(chances[token]))
