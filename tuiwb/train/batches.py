"""Which rows were in the batches of the last steps, so that a spike's data can be looked at.

Worker side only. Rows are positions among the run's training examples; a pack holds several.
"""

from collections import deque
from typing import Any

ROW = "tuiwb_row"
KEPT = 1024  # batches; a spike is told at the next log entry


class RowCollator:
    """A collator that carries each example's ROW past the one that makes tensors."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, examples: list[dict[str, Any]]) -> Any:
        rows: list[int] = []
        for example in examples:
            row = example.pop(ROW, None)
            rows += row if isinstance(row, list) else [] if row is None else [row]
        batch = self.inner(examples)
        if rows:
            batch[ROW] = rows
        return batch


class Batches:
    """The last batches with their loss. A loss stays where it is (on the GPU) until asked for."""

    def __init__(self, most: int = KEPT) -> None:
        self._kept: deque[tuple[int, list[int], Any]] = deque(maxlen=most)

    def put(self, step: int, rows: list[int], loss: Any) -> None:
        """One batch of an optimiser step; `loss` is a detached scalar tensor."""
        self._kept.append((step, rows, loss))

    def worst(self, first: int, last: int) -> tuple[int, float, list[int]] | None:
        """Step, loss and rows of the batch with the highest loss among steps first..last.

        A loss that is not a number is higher than any. None when none of them is kept any more.
        """
        batches = [(s, rows, float(loss)) for s, rows, loss in self._kept if first <= s <= last]
        if not batches:
            return None
        step, rows, loss = max(batches, key=lambda b: (b[2] != b[2], b[2]))
        return step, loss, rows
