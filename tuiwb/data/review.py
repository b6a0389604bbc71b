"""A person looks at a sample of rows: which rows, and what their verdicts say about the rest.

In: a dataset, its marks, a seed. Out: the rows of a sample; the share reviewed and the acceptance
rate with its confidence interval. The verdicts themselves are marks: accept, reject, edits.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from tuiwb.data.groups import quotas
from tuiwb.data.marks import Marks
from tuiwb.data.provenance import SYNTHETIC, provenance_of
from tuiwb.data.records import Rows, batches
from tuiwb.data.row_findings import findings_of
from tuiwb.data.rows import Row

# Rows in which findings are looked for, per row of the sample, to stratify it.
LOOKED_AT = 20
LOOKED_AT_LEAST = 2000
Z95 = 1.959963984540054


class Review(msgspec.Struct, kw_only=True):
    """What has been reviewed of `rows`; `edited` rows are accepted ones that were changed first.

    `acceptance` is the accepted share of the reviewed rows (None before the first), `low` and
    `high` its 95% Wilson interval. It speaks for all rows only if the reviewed ones were drawn by
    chance, as `sample` draws them.
    """

    rows: int
    reviewed: int
    accepted: int
    rejected: int
    edited: int
    share: float
    acceptance: float | None
    low: float | None
    high: float | None


def sample(
    dataset: Rows, size: int, seed: int = 0, *, only: Sequence[int] | None = None
) -> list[int]:
    """`size` rows (fewer if there are not as many), drawn by `seed`, in an order drawn too.

    Rows with findings and rows without are drawn in proportion, so that neither is left to chance.
    In a large dataset the proportion is that of a random part of it. `only` limits the rows.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    pool = np.arange(len(dataset)) if only is None else np.array(only, np.int64)
    wanted = min(size, len(pool))
    if wanted == 0:
        return []
    looked = min(len(pool), max(LOOKED_AT_LEAST, LOOKED_AT * wanted))
    part = [int(row) for row in random.permutation(pool)[:looked]]
    flagged: set[int] = set()
    for batch in batches(dataset.row(row) for row in sorted(part)):
        flagged.update(finding.row for finding in findings_of(batch))
    strata = [[row for row in part if row in flagged], [row for row in part if row not in flagged]]
    counts = quotas([len(rows) for rows in strata], wanted)
    chosen = [row for rows, count in zip(strata, counts, strict=True) for row in rows[:count]]
    return [chosen[int(n)] for n in random.permutation(len(chosen))]


def synthetic_rows(dataset: Rows) -> list[int]:
    """The rows whose provenance says that a model wrote them."""
    return [row.index for row in dataset if is_synthetic(row)]


def is_synthetic(row: Row) -> bool:
    """Whether the row's provenance says that a model wrote it."""
    origin = provenance_of(row)
    return origin is not None and origin["kind"] == SYNTHETIC


def review_of(
    dataset: Rows, marks: Marks, *, counts: Callable[[Row], bool] = lambda _row: True
) -> Review:
    """What the marks say of the rows that can be read and that `counts` takes."""
    rows = accepted = rejected = edited = 0
    for row in dataset:
        if row.shape == "broken" or not counts(row):
            continue
        rows += 1
        state = marks.state(row)
        accepted += state.verdict == "accept"
        rejected += state.verdict == "reject"
        edited += state.verdict == "accept" and state.record is not None
    reviewed = accepted + rejected
    low, high = wilson(accepted, reviewed) if reviewed else (None, None)
    return Review(
        rows=rows,
        reviewed=reviewed,
        accepted=accepted,
        rejected=rejected,
        edited=edited,
        share=reviewed / rows if rows else 0.0,
        acceptance=accepted / reviewed if reviewed else None,
        low=low,
        high=high,
    )


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927, JASA 22:209-212)."""
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
