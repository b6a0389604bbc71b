"""Keys and values of a batch whose rows join and leave between two tokens (worker side).

transformers' DynamicLayer copies everything it holds at each token; here there is room ahead.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM_AHEAD = 64
GROWTH = 1.5


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, (rows, heads, tokens, size), in buffers with room ahead."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: Any = None
        self._values: Any = None
        self._length = 0

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
        """Append the new tokens' states; all states so far are returned."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._length + key_states.shape[-2]
        self._keys = _with_room(self._keys, key_states, self._length, end)
        self._values = _with_room(self._values, value_states, self._length, end)
        self._keys[:, :, self._length : end] = key_states
        self._values[:, :, self._length : end] = value_states
        self._show(end)
        return self.keys, self.values

    def repeat(self, one: "GrowingLayer", rows: int) -> None:
        """Begin with the states of a layer's only row, `rows` times."""
        self.lazy_initialization(one.keys, one.values)
        self._keys = one.keys.expand(rows, -1, -1, -1)
        self._values = one.values.expand(rows, -1, -1, -1)
        self._show(one.keys.shape[2])

    def select(self, index: torch.Tensor, padding: int) -> None:
        """Keep the rows of `index`, without the first `padding` tokens, which all of them mask."""
        self._keys = self.keys[index, :, padding:]
        self._values = self.values[index, :, padding:]
        self._show(self._length - padding)

    def join(self, other: "GrowingLayer") -> None:
        """Add another layer's rows below ours; the shorter one is padded on the left."""
        width = max(self._length, other._length)
        self._keys = _stacked(self.keys, other.keys, width)
        self._values = _stacked(self.values, other.values, width)
        self._show(width)

    def _show(self, length: int) -> None:
        self._length = length
        self.keys, self.values = self._keys[:, :, :length], self._values[:, :, :length]


def make_cache(config: Any) -> tuple[Any, bool]:
    """An empty cache for a model, and whether rows can join and leave it: not where layers have
    windows or states of their own."""
    cache = DynamicCache(config=config)
    plain = all(type(layer) is DynamicLayer for layer in cache.layers)
    if plain:
        cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache, plain and bool(cache.layers)


def _with_room(buffer: Any, new: Any, length: int, end: int) -> Any:
    if buffer is not None and buffer.shape[2] >= end:
        return buffer
    rows, heads, _, size = new.shape
    bigger = new.new_empty(rows, heads, max(end + ROOM_AHEAD, int(length * GROWTH)), size)
    if buffer is not None:
        bigger[:, :, :length] = buffer[:, :, :length]
    return bigger


def _stacked(ours: Any, theirs: Any, width: int) -> Any:
    rows, heads, _, size = ours.shape
    # Zeros, not noise: a masked NaN would still spoil the row's sums.
    both = ours.new_zeros(rows + theirs.shape[0], heads, width + ROOM_AHEAD, size)
    both[:rows, :, width - ours.shape[2] : width] = ours
    both[rows:, :, width - theirs.shape[2] : width] = theirs
    return both
