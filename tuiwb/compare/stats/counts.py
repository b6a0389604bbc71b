"""The statistics of paired comparisons: pure functions of counts, exact where they can be.

Rates are fractions in [0, 1]; intervals are two-sided. Sources stand beside each formula.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import msgspec

FEW = 30  # shared items below which an agreement is called unreliable


class Interval(msgspec.Struct, frozen=True):
    """A two-sided confidence interval of a rate or a difference."""

    low: float
    high: float


class PairedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Paired preference from the fine-tune's side: it won, lost or tied against its base."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def n(self) -> int:
        """How many pairs were decided, ties included."""
        return self.wins + self.losses + self.ties


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """What paired counts say. Rates are None where there is nothing to divide by."""

    counts: PairedCounts
    win_rate: float | None
    win_rate_interval: Interval | None
    win_rate_with_ties: float | None
    win_rate_with_ties_interval: Interval | None
    p: float
    verdict: str


class Kappa(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of two raters beyond chance, with its n; unreliable below 30 shared items."""

    n: int
    agreement: float | None
    kappa: float | None
    interval: Interval | None
    reliable: bool


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign test on `n` decisive pairs can see at alpha .05."""

    n: int
    wins_needed: int | None
    detectable: float | None


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927, JASA 22:209); the whole [0, 1] for n = 0."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    scale = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the bound is exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(low, high)


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided p of wins against losses under a fair coin; ties are left out before.

    With b and c the discordant pairs this is McNemar's exact test as well.
    """
    n = wins + losses
    return 1.0 if n == 0 else min(1.0, 2 * upper_tail(max(wins, losses), n, 0.5))


def mcnemar_one_sided(worse: int, better: int) -> float:
    """Exact one-sided p that `worse` of the discordant pairs is more than chance."""
    n = worse + better
    return 1.0 if n == 0 else upper_tail(worse, n, 0.5)


def upper_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Binomial(n, p), summed in logarithms so that large n stay exact enough."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    log_p, log_q, all_ways = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    # Further from the mean and from k the terms add nothing that a float can hold.
    reach = math.ceil(40 * math.sqrt(n * p * (1 - p))) + 60
    first, last = max(k, math.floor(n * p) - reach), min(n, max(k, math.ceil(n * p)) + reach)
    terms = [
        all_ways - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q
        for i in range(first, last + 1)
    ]
    top = max(terms)
    return min(1.0, math.exp(top) * math.fsum(math.exp(t - top) for t in terms))


def bootstrap_with_ties(counts: PairedCounts, confidence: float = 0.95) -> Interval | None:
    """Percentile bootstrap over prompts of (W + T/2)/N; None for no pairs.

    The resampled score is a sum of N independent draws from {0, 1/2, 1}, so its distribution is
    computed exactly, as the N-th power of one draw's Fourier transform: the bootstrap with
    infinitely many resamples (Efron and Tibshirani 1993, ch. 6), no seed and no noise. Where all
    pairs came out alike resampling sees no spread, and an interval of no width would be said of a
    single pair too: there it is the score interval of pairs (Tango 1998), for wins or losses
    alone Wilson's.
    """
    n = counts.n
    if n == 0:
        return None
    if counts.ties == n:
        z = NormalDist().inv_cdf(0.5 + confidence / 2)
        half = z * z / (n + z * z) / 2
        return Interval(0.5 - half, 0.5 + half)
    if n in (counts.wins, counts.losses):
        return wilson(counts.wins, n, confidence)
    import numpy

    one_draw = numpy.array([counts.losses, counts.ties, counts.wins], dtype=float) / n
    size = 1 << (2 * n + 1).bit_length()
    distribution = numpy.fft.irfft(numpy.fft.rfft(one_draw, size) ** n, size)[: 2 * n + 1]
    cumulative = numpy.maximum.accumulate(numpy.cumsum(distribution))
    tail = (1 - confidence) / 2
    # The last step absorbs rounding, so that 1 - tail is always reached.
    cumulative[-1] = 1.0
    low = int(numpy.searchsorted(cumulative, tail))
    high = int(numpy.searchsorted(cumulative, 1 - tail))
    return Interval(low / (2 * n), high / (2 * n))


def preference(
    counts: PairedCounts,
    confidence: float = 0.95,
    names: tuple[str, str] = ("base", "fine-tune"),
) -> Preference:
    """Win rates with intervals, the exact p, and one sentence that calls the sides by `names`,
    the one that `wins` are of second; the p decides."""
    wins, losses, n = counts.wins, counts.losses, counts.n
    decisive = wins + losses
    p = sign_test(wins, losses)
    return Preference(
        counts=counts,
        win_rate=wins / decisive if decisive else None,
        win_rate_interval=wilson(wins, decisive, confidence) if decisive else None,
        win_rate_with_ties=(wins + counts.ties / 2) / n if n else None,
        win_rate_with_ties_interval=bootstrap_with_ties(counts, confidence),
        p=p,
        verdict=_verdict(wins, losses, p, names),
    )


def _verdict(wins: int, losses: int, p: float, names: tuple[str, str]) -> str:
    if wins + losses == 0:
        return "no pair was decided either way"
    if p > 0.05:
        return f"no difference shown (exact sign test p = {p:.3g})"
    worse, better = names if wins > losses else names[::-1]
    return f"the {better} is preferred over the {worse} (exact sign test p = {p:.3g})"


def cohens_kappa(table: Sequence[Sequence[int]], confidence: float = 0.95) -> Kappa:
    """Cohen's kappa of a square table (rows: rater one, columns: rater two).

    The interval uses the large-sample standard error of Fleiss, Cohen and Everitt (1969,
    Psychological Bulletin 72:323); None where chance agreement is already complete. Where that
    error is 0 (full agreement, also on two items) it says nothing: the interval then follows from
    Wilson's of the raw agreement, chance agreement taken as seen.
    """
    size = len(table)
    if any(len(row) != size for row in table):
        raise ValueError("kappa needs a square table")
    n = sum(map(sum, table))
    if n == 0:
        return Kappa(n=0, agreement=None, kappa=None, interval=None, reliable=False)
    share = [[cell / n for cell in row] for row in table]
    rows = [sum(row) for row in share]
    columns = [sum(row[j] for row in share) for j in range(size)]
    agreed = sum(share[i][i] for i in range(size))
    chance = sum(rows[i] * columns[i] for i in range(size))
    if math.isclose(chance, 1.0):
        return Kappa(n=n, agreement=agreed, kappa=None, interval=None, reliable=n >= FEW)
    kappa = (agreed - chance) / (1 - chance)
    diagonal = sum(
        share[i][i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(size)
    )
    aside = (1 - kappa) ** 2 * sum(
        share[i][j] * (columns[i] + rows[j]) ** 2
        for i in range(size)
        for j in range(size)
        if i != j
    )
    variance = diagonal + aside - (kappa - chance * (1 - kappa)) ** 2
    error = math.sqrt(max(0.0, variance) / n) / (1 - chance)
    low, high = kappa, kappa
    if error < 1e-9:
        raw = wilson(sum(table[i][i] for i in range(size)), n, confidence)
        low, high = (raw.low - chance) / (1 - chance), (raw.high - chance) / (1 - chance)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    interval = Interval(max(-1.0, low - half), min(1.0, high + half))
    return Kappa(n=n, agreement=agreed, kappa=kappa, interval=interval, reliable=n >= FEW)


def power(n: int, *, alpha: float = 0.05, target: float = 0.8) -> Power:
    """The fewest wins of `n` decisive pairs that a two-sided sign test calls a difference, and
    the true win rate that reaches them with probability `target`."""
    if n < 1 or sign_test(n, 0) > alpha:
        return Power(n=n, wins_needed=None, detectable=None)
    # p falls as the wins grow: the first that suffice, by bisection.
    needed = bisect_left(range(n + 1), True, n // 2 + 1, key=lambda k: sign_test(k, n - k) <= alpha)
    low, high = 0.5, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(needed, n, middle) < target else (low, middle)
    return Power(n=n, wins_needed=needed, detectable=high)


def power_table(sizes: Sequence[int] = (30, 40, 50, 100, 200)) -> list[Power]:
    """What sign tests on so many decisive pairs can see."""
    return [power(n) for n in sizes]


def power_sentence(n: int) -> str:
    """What `n` decisive pairs can and cannot show, in one sentence."""
    seen = power(n)
    if seen.wins_needed is None or seen.detectable is None:
        pairs = "decisive pair is" if n == 1 else "decisive pairs are"
        return f"{n or 'No'} {pairs} too few: even all wins would not reach p <= .05."
    return (
        f"{n} decisive pairs need {seen.wins_needed}-{n - seen.wins_needed} to show a difference "
        f"(two-sided sign test, p <= .05); a side that truly wins "
        f"{100 * seen.detectable:.1f}% of them is seen 80% of the time, smaller ones less often."
    )


@lru_cache(maxsize=256)
def false_alarm(n: int, each_way: float, limit: float = 0.05) -> float:
    """How often a gate on paired pass/fail trips although nothing changed, exactly.

    Of `n` items each turns from pass to fail with probability `each_way` and from fail to pass
    with the same, by noise alone; the gate trips when (b - c) / n > `limit`, b and c the counts of
    both kinds. Two runs of the same model that differ on a share d of the items mean
    each_way = d / 2. The probability is summed over the number of items that flip and, given
    that, over how many of them flipped for the worse.
    """
    if not 0 <= each_way <= 0.5:
        raise ValueError(f"{each_way} is no rate of flips each way: it lies in [0, 0.5]")
    allowed = math.floor(limit * n + 1e-9)
    # b - c = 2b - flips > allowed; without a flip nothing trips. So far from their mean that many
    # flips have no chance that a float can hold.
    mean = 2 * each_way * n
    reach = 40 * math.sqrt(mean) + 60
    first, last = max(1, math.floor(mean - reach)), min(n, math.ceil(mean + reach))
    trips = (
        _binomial(flips, n, 2 * each_way) * upper_tail((flips + allowed) // 2 + 1, flips, 0.5)
        for flips in range(first, last + 1)
    )
    return min(1.0, math.fsum(trips))


def _binomial(k: int, n: int, p: float) -> float:
    if p in (0.0, 1.0):
        return float(k == n * p)
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))


def false_alarm_table(
    sizes: Sequence[int] = (50, 100),
    rates: Sequence[float] = (0.02, 0.05, 0.10),
    limit: float = 0.05,
) -> list[tuple[int, list[float]]]:
    """False alarms of the gate by number of items, a figure for each rate of flips each way."""
    return [(n, [false_alarm(n, rate, limit) for rate in rates]) for n in sizes]
