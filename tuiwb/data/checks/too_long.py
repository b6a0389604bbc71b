"""Rows that max_length cuts, and how many tokens the rest have."""

from collections.abc import Callable, Iterator
from typing import Any

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.render import Measured, Sidecar
from tuiwb.data.rows import Row

BATCH = 128
SAMPLED = 2000
MARGIN = 512


class TooLong:
    """Counts tokens in the sidecar: of every row that could be too long, and of a sample.

    A tokenizer makes at most one token of a byte, so a row whose bytes (and MARGIN for what the
    chat template adds) stay within max_length is short without being tokenized.
    """

    def __init__(self, sidecar: Sidecar, model: str, max_length: int, rows: int) -> None:
        self._sidecar, self._model, self._max_length = sidecar, model, max_length
        self._every = max(1, rows // SAMPLED)
        self._waiting: list[Row] = []
        self._counted: list[Measured] = []
        self._proved = 0

    def add(self, row: Row) -> Iterator[Finding]:
        """Look at one row; findings come in batches."""
        if row.shape == "broken":
            return
        size = sum(len(text.encode("utf-8", "replace")) + 64 for _, _, text in row.fields())
        if row.tools or any(m.tool_calls for _, m in row.conversation()):
            size += self._max_length
        if size + MARGIN <= self._max_length and row.index % self._every:
            self._proved += 1
            return
        self._waiting.append(row)
        if len(self._waiting) >= BATCH:
            yield from self.findings()

    def findings(self) -> Iterator[Finding]:
        """Count what waits."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        measured = self._sidecar.measure(self._model, rows, self._max_length)
        for row, counts in zip(rows, measured, strict=True):
            if counts.problem is not None:
                sentence = f"can't be rendered: {counts.problem}"
                yield found(row, "template", sentence, severity="error")
                continue
            self._counted.append(counts)
            if counts.total > self._max_length:
                lost = "and nothing is left to learn" if counts.trained == 0 else "its end is lost"
                yield found(
                    row,
                    "too_long",
                    f"has {counts.total} tokens, {counts.total - self._max_length} beyond "
                    f"max_length {self._max_length}: {lost}",
                    score=float(counts.total),
                )
            elif counts.trained == 0:
                yield found(row, "untrained", "no token of it is trained", severity="error")

    def audit(self) -> dict[str, Any]:
        """Token counts over the rows counted."""
        totals = sorted(counts.total for counts in self._counted)
        if not totals:
            return {"counted": 0}
        every = sum(totals)
        trained = sum(counts.trained for counts in self._counted)
        pick: Callable[[float], int] = lambda share: totals[int(share * (len(totals) - 1))]  # noqa: E731
        return {
            "model": self._model,
            "max_length": self._max_length,
            "counted": len(totals),
            "proved_short": self._proved,
            "median": pick(0.5),
            "p95": pick(0.95),
            "longest": totals[-1],
            "trained_share": round(trained / every, 4) if every else 0.0,
        }
