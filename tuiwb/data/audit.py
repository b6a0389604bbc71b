"""What a run would learn from a dataset, counted before the run: lengths, losses and masks.

Pure: measured rows in, the struct of the report's `tokens` out. Figures say over which rows they
are counted: `all` rows, or the `sample` of every n-th row, never scaled.
"""

from collections import Counter
from itertools import accumulate, pairwise
from typing import Literal

import msgspec

from tuiwb.data.rendered import Measured, ModelFacts

SUGGESTED = (512, 1024, 2048, 4096, 8192)  # the max_lengths people choose
NAMED = 10  # first rows that are named by number
P99_STEP = 64  # the p99 is rounded up to it: tensor cores like multiples

Basis = Literal["all", "sample"]


class Rows(msgspec.Struct, kw_only=True):
    """How many rows, and the numbers (from 0) of the first of them."""

    count: int
    first: list[int]


class Bin(msgspec.Struct, array_like=True):
    """Rows of `low` up to but not including `high` tokens; `high` None: no bound."""

    low: int
    high: int | None
    rows: int


class Cut(msgspec.Struct, kw_only=True):
    """What truncation to `max_length` takes.

    Counted over `of` rows (`basis`); the shares are of the sample's tokens. `rows_cut` lose their
    end; `rows_lost` lose every trained token, so the trainer drops them; `stops_cut` lose their
    last trained token, so the model does not see how the answer ends.
    """

    max_length: int
    basis: Basis
    of: int
    rows_cut: int
    rows_lost: int
    stops_cut: int
    tokens_cut: int
    tokens_share: float
    trained_cut: int
    trained_share: float
    chosen: bool = False


class TokenAudit(msgspec.Struct, kw_only=True):
    """The report's `tokens`.

    Every row that opens is rendered. `counted` were tokenized: all of the `sample` (every
    `every`-th row) and all that are not proved to fit into max_length; `proved_short` are the
    others; `unread` are too big to tokenize here; `refused` can't be rendered.

    median, p95, p99, longest: tokens of a row, over the sample (longest: over all counted).
    `trained_share`: trained tokens of all the trainer keeps at max_length, over the sample.
    `untrained`: rows without any trained token; `lost`: rows whose trained tokens all lie beyond
    max_length; `unstopped`: rows whose last trained token is not a mark to stop on; `double_bos`:
    rows that begin with two. All four over all rows.
    `pad_is_eos`: None where there is no EOS; `stop_token_trained`: None where no mask is made.
    """

    model: str
    max_length: int
    rows: int
    counted: int
    sample: int
    every: int
    proved_short: int
    unread: int
    refused: Rows
    median: int
    p95: int
    p99: int
    longest: int
    trained_share: float
    untrained: Rows
    lost: Rows
    unstopped: Rows
    double_bos: Rows
    pad_is_eos: bool | None
    stop_token_trained: bool | None
    notes: list[str]
    histogram: list[Bin]
    cuts: list[Cut]


class _Named:
    """Counts rows and keeps the first numbers."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[int] = []

    def add(self, row: int) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(row)

    def told(self) -> Rows:
        return Rows(count=self.count, first=self.first)


class _Lengths:
    """Lengths of rows, and at which positions they are trained; any cut can be read off it."""

    def __init__(self) -> None:
        self.totals: Counter[int] = Counter()
        self._steps: Counter[int] = Counter()
        self._firsts: Counter[int] = Counter()
        self._ends: Counter[int] = Counter()

    def add(self, counts: Measured) -> None:
        self.totals[counts.total] += 1
        for start, end in zip(counts.trained[::2], counts.trained[1::2], strict=True):
            self._steps[start] += 1
            self._steps[end] -= 1
        if counts.trained:
            self._firsts[counts.trained[0]] += 1
            self._ends[counts.trained[-1]] += 1

    @property
    def rows(self) -> int:
        return self.totals.total()

    def tokens(self, limit: int | None = None) -> int:
        """Tokens of all rows, each cut to `limit`."""
        return sum((t if limit is None else min(t, limit)) * n for t, n in self.totals.items())

    def trained(self, limit: int | None = None) -> int:
        """Trained tokens among the first `limit` of each row."""
        total, depth, before = 0, 0, 0
        for place in sorted(self._steps):
            upto = place if limit is None else min(place, limit)
            total += depth * max(0, upto - before)
            depth += self._steps[place]
            before = upto
        return total

    def cut(self, limit: int) -> tuple[int, int, int]:
        """Rows cut, rows whose trained tokens are all cut, rows whose last one is."""
        rows = sum(n for total, n in self.totals.items() if total > limit)
        lost = sum(n for first, n in self._firsts.items() if first >= limit)
        return rows, lost, sum(n for end, n in self._ends.items() if end > limit)

    def quantile(self, share: float) -> int:
        """The length that `share` of the rows don't exceed; 0 when there are none."""
        wanted = share * (self.rows - 1)
        sizes = sorted(self.totals)
        below = accumulate(self.totals[size] for size in sizes)
        return next((size for size, n in zip(sizes, below, strict=True) if n > wanted), 0)


class TokenTally:
    """Counts what the sidecar measured, row by row; `told` at the end."""

    def __init__(self, max_length: int, every: int) -> None:
        self.max_length, self.every = max_length, every
        self._all, self._sample = _Lengths(), _Lengths()
        self._rows = self._proved = self._unread = 0
        self._refused, self._untrained, self._lost = _Named(), _Named(), _Named()
        self._unstopped, self._double_bos = _Named(), _Named()

    def add(self, index: int, counts: Measured) -> None:
        """One row's counts."""
        self._rows += 1
        if counts.problem is not None:
            self._refused.add(index)
            return
        if not counts.counted:
            self._proved += 1
            return
        self._all.add(counts)
        if index % self.every == 0:
            self._sample.add(counts)
        if not counts.trained:
            self._untrained.add(index)
        elif counts.trained[0] >= self.max_length:
            self._lost.add(index)
        if counts.stops is False:
            self._unstopped.add(index)
        if counts.double_bos:
            self._double_bos.add(index)

    def unread(self, index: int) -> None:
        """A row that is too big to tokenize."""
        self._rows += 1
        self._unread += 1

    def told(self, model: str, facts: ModelFacts) -> TokenAudit:
        """The audit of everything added."""
        sample = self._sample
        kept = sample.tokens(self.max_length)
        p99 = sample.quantile(0.99)
        return TokenAudit(
            model=model,
            max_length=self.max_length,
            rows=self._rows,
            counted=self._all.rows,
            sample=sample.rows,
            every=self.every,
            proved_short=self._proved,
            unread=self._unread,
            refused=self._refused.told(),
            median=sample.quantile(0.5),
            p95=sample.quantile(0.95),
            p99=p99,
            longest=max(self._all.totals, default=0),
            trained_share=_share(sample.trained(self.max_length), kept),
            untrained=self._untrained.told(),
            lost=self._lost.told(),
            unstopped=self._unstopped.told(),
            double_bos=self._double_bos.told(),
            pad_is_eos=None if facts.eos_token is None else pad_is_eos(facts),
            stop_token_trained=facts.stop_token_trained if facts.masks else None,
            notes=notes(facts),
            histogram=histogram(sample.totals, self.max_length),
            cuts=self._cuts(-(-p99 // P99_STEP) * P99_STEP),
        )

    def _cuts(self, p99: int) -> list[Cut]:
        wanted = sorted({*SUGGESTED, self.max_length, *([p99] if p99 else [])})
        return [self._cut(limit) for limit in wanted]

    def _cut(self, limit: int) -> Cut:
        # Rows that were not counted fit into max_length, so above it nothing of them is cut.
        exact = limit >= self.max_length or not self._proved
        lengths = self._all if exact else self._sample
        # Their tokens are known by the sample alone, so shares are the sample's.
        rows, lost, stops = lengths.cut(limit)
        return Cut(
            max_length=limit,
            basis="all" if exact else "sample",
            of=self._all.rows + self._proved if exact else self._sample.rows,
            rows_cut=rows,
            rows_lost=lost,
            stops_cut=stops,
            tokens_cut=lengths.tokens() - lengths.tokens(limit),
            tokens_share=_lost_share(self._sample.tokens(), self._sample.tokens(limit)),
            trained_cut=lengths.trained() - lengths.trained(limit),
            trained_share=_lost_share(self._sample.trained(), self._sample.trained(limit)),
            chosen=limit == self.max_length,
        )


def pad_is_eos(facts: ModelFacts) -> bool:
    """Whether padding uses the stop token; TRL pads with it where the tokenizer names no pad."""
    return facts.pad_token is None or facts.pad_token == facts.eos_token


def notes(facts: ModelFacts) -> list[str]:
    """What the tokenizer and its template do to every row, as sentences."""
    said = list(facts.notes)
    if not facts.chat_template:
        said.append("the tokenizer has no chat template: chats can't be trained on with it")
    if facts.eos_token is None:
        said.append("the tokenizer names no EOS token: TRL stops with an error on plain text")
    elif pad_is_eos(facts):
        said.append(
            f"padding uses the EOS token {facts.eos_token}: TRL's own collators keep it in the "
            "loss, collators that mask by token id (transformers' DataCollatorForLanguageModeling) "
            "would not, and the model would never learn to stop"
        )
    return said


def histogram(totals: Counter[int], max_length: int) -> list[Bin]:
    """Rows by length, two bins for each doubling from 16; one ends with `max_length`."""
    longest = max(totals, default=0)
    edges, size = {0, 16, max_length + 1}, 16
    while size <= longest:
        edges |= {size + size // 2, size * 2}
        size *= 2
    bounds = sorted(edges - {max_length})
    bins = [Bin(low, high, 0) for low, high in pairwise(bounds)]
    bins.append(Bin(bounds[-1], None, 0))
    for total, rows in totals.items():
        next(b for b in bins if b.high is None or total < b.high).rows += rows
    while len(bins) > 1 and bins[-1].rows == 0 and bins[-1].low > max_length + 1:
        bins.pop()
        bins[-1].high = None
    return bins


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _lost_share(whole: int, kept: int) -> float:
    return _share(whole - kept, whole)
