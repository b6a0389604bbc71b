"""Paired differences of two sides on the same prompts: intervals, tests, many at once. Pure.

A difference is the side under test minus the side it is compared against. Resampling is seeded, so
that the same answers give the same figures.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

from tuiwb.compare.stats.counts import Interval

RESAMPLES = 10_000
_FEWEST = 2_000  # resamples of a long list, however long
# More resamples than this times the prompts buy no digit that is shown.
_DRAWS = 4_000_000
_MANY = 400  # prompts from which a mean's bootstrap and Student's interval are the same
_KEPT = 100  # prompts up to which the draws are kept for the next metric
_EXACT_FLIPS = 12  # differences; 2**12 sign patterns are fewer than the random ones
_LARGE = 1000  # degrees of freedom from which Student's t is its expansion to 1e-9

Array = Any  # numpy's arrays, which are imported where they are used


def tango(better: int, worse: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a paired difference of proportions, (better - worse) / n.

    `better` and `worse` are the discordant pairs of `n`. Tango 1998, Statistics in Medicine
    17:891: the values that a score test would not reject; at 0 that test is McNemar's. The whole
    [-1, 1] for n = 0.
    """
    if min(better, worse) < 0 or better + worse > n:
        raise ValueError(f"{better} better and {worse} worse of {n}")
    if n == 0:
        return Interval(-1.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (better - worse) / n
    low = _bisect(lambda d: _score(better, worse, n, d) > z, -1.0, middle)
    high = _bisect(lambda d: _score(better, worse, n, d) > -z, middle, 1.0)
    return Interval(low, high)


def _score(better: int, worse: int, n: int, difference: float) -> float:
    """Tango's score statistic; it falls as `difference` grows."""
    gap = better - worse - n * difference
    variance = n * (2 * _worse_rate(better, worse, n, difference) + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


def _worse_rate(better: int, worse: int, n: int, difference: float) -> float:
    """The likeliest rate of 'worse' pairs if the true difference were `difference`."""
    linear = (2 * n - better + worse) * difference - better - worse
    constant = -worse * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    return max(0.0, (root - linear) / (4 * n), -difference)


def _bisect(left_of_it: Callable[[float], bool], low: float, high: float) -> float:
    """Where `left_of_it` turns from true to false between `low` and `high`."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if left_of_it(middle) else (low, middle)
    return (low + high) / 2


def t_quantile(p: float, degrees: int) -> float:
    """The quantile of Student's t.

    The distribution function of whole degrees of freedom is a finite sum (Abramowitz and Stegun
    1964, 26.7.3 and 26.7.4); beyond 1000 the quantile's expansion (26.7.5) is closer than 1e-9.
    """
    if not 0 < p < 1 or degrees < 1:
        raise ValueError(f"no quantile {p} of t with {degrees} degrees of freedom")
    if p < 0.5:
        return -t_quantile(1 - p, degrees)
    if degrees > _LARGE:
        x = NormalDist().inv_cdf(p)
        return (
            x
            + (x**3 + x) / (4 * degrees)
            + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * degrees**2)
            + (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / (384 * degrees**3)
        )
    # t = sqrt(degrees) tan(angle): a bounded interval, however far out the quantile is.
    angle = _bisect(lambda a: _t_within(a, degrees) < 2 * p - 1, 0.0, math.pi / 2)
    return math.sqrt(degrees) * math.tan(angle)


def _t_within(angle: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) tan(angle))."""
    cosine = math.cos(angle)
    if degrees % 2 == 0:
        term = total = 1.0
        for k in range(2, degrees, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        return math.sin(angle) * total
    total = 0.0
    if degrees > 1:
        term = total = cosine
        for k in range(3, degrees, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
    return 2 / math.pi * (angle + math.sin(angle) * total)


def mean_interval(
    differences: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> Interval | None:
    """Bootstrap interval over prompts of a mean paired difference, Student's from 400 prompts on;
    None for less than two pairs, and where all differ by the same: no spread is no certainty."""
    import numpy

    rows = numpy.asarray(differences, dtype=float).reshape(-1, 1)
    n = len(rows)
    if n >= _MANY:
        if rows.min() == rows.max():
            return None
        middle = float(rows.mean())
        error = float(rows.std(ddof=1)) / math.sqrt(n)
        half = t_quantile(0.5 + confidence / 2, n - 1) * error
        return Interval(middle - half, middle + half)
    return bootstrap(rows, lambda sums: sums[:, 0] / n, confidence=confidence, seed=seed)


def bootstrap(
    rows: Array,
    statistic: Callable[[Array], Array],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Bootstrap interval over prompts of a function of sums; None for fewer than two prompts and
    where every resample gives the same, from which nothing can be said.

    `rows` has a row of figures per prompt, (n, k); `statistic` takes the sums of resampled rows,
    (resamples, k), and returns (resamples,). Percentiles are expanded for small samples, so that
    the interval of a mean is as wide as Student's t (Hesterberg 2015, American Statistician
    69:371, section 4.2).
    """
    import numpy

    n = len(rows)
    if n < 2:
        return None
    found = statistic(_resampled_sums(rows, seed))
    tail = (1 - confidence) / 2
    wide = math.sqrt(n / (n - 1)) * t_quantile(1 - tail, n - 1)
    tail = 1 - NormalDist().cdf(wide)
    if numpy.ptp(found) <= 1e-12 * abs(found[0]):
        return None
    low, high = numpy.quantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _resampled_sums(rows: Array, seed: int) -> Array:
    """Sums of `rows` over resamples of as many rows, (resamples, k); the same draws for a seed."""
    import numpy

    n = len(rows)
    if n <= _KEPT:
        return _weighed(_small_draws(n, seed), rows)
    wanted = max(_FEWEST, min(RESAMPLES, _DRAWS // n))
    # In chunks, so that a long list never becomes resamples x n numbers at once.
    chunk = max(1, 2_000_000 // n)
    random = numpy.random.default_rng(seed)
    sizes = [min(chunk, wanted - start) for start in range(0, wanted, chunk)]
    return numpy.concatenate([_weighed(_draws(random, n, size), rows) for size in sizes])


def _weighed(draws: Array, rows: Array) -> Array:
    """draws @ rows, without the threads of a BLAS, which cost more than so small a product."""
    import numpy

    return numpy.einsum("rn,nk->rk", draws, rows)


@lru_cache(maxsize=2)
def _small_draws(n: int, seed: int) -> Array:
    """Draws shared by all metrics of one comparison: at most 8 MB."""
    import numpy

    return _draws(numpy.random.default_rng(seed), n, RESAMPLES)


def _draws(random: Any, n: int, resamples: int) -> Array:
    """How often each of `n` rows is drawn in each resample, (resamples, n)."""
    import numpy

    drawn = random.integers(0, n, (resamples, n)) + n * numpy.arange(resamples)[:, None]
    counts = numpy.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(float)


def sign_flip_test(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p that a mean paired difference is not zero: signs flipped at random.

    Fisher's randomisation test, which Dror et al. 2018 (ACL, P18-1128) advise for F1, BLEU and
    ROUGE. Exact for up to twelve differences that are not zero, else over 10,000 random patterns
    with the observed one counted in (Phipson and Smyth 2010), from 1,000 on by the normal limit.
    """
    import numpy

    values = numpy.asarray(differences, dtype=float)
    values = values[values != 0]
    n = len(values)
    if n == 0:
        return 1.0
    seen = abs(float(values.sum()))
    if n >= _LARGE:
        return math.erfc(seen / math.sqrt(2 * float((values**2).sum())))
    # Sums of the same values in another order differ in the last bits of what is summed.
    least = seen - 1e-12 * float(abs(values).sum())
    if n <= _EXACT_FLIPS:
        signs = 1 - 2 * (numpy.arange(2**n)[:, None] >> numpy.arange(n) & 1)
        return float((abs(signs @ values) >= least).mean())
    signs = 1 - 2 * numpy.random.default_rng(seed).integers(0, 2, (RESAMPLES, n))
    return float(1 + (abs(signs @ values) >= least).sum()) / (1 + RESAMPLES)


def swap_test(
    base: Array, adapter: Array, statistic: Callable[[Array], Array], *, seed: int = 0
) -> float:
    """Two-sided p that a figure of the whole corpus differs: sides swapped prompt by prompt.

    `base` and `adapter` have a row of counts per prompt, (n, k), `statistic` takes sums, (m, k).
    Approximate randomisation, as Riezler and Maxwell 2005 (W05-0908) advise for BLEU.
    """
    import numpy

    change = numpy.asarray(adapter, dtype=float) - base
    n = len(change)
    changed = numpy.flatnonzero(change.any(axis=1))
    if not len(changed):
        return 1.0
    low, high = numpy.sum(base, axis=0, dtype=float), numpy.sum(adapter, axis=0, dtype=float)

    def gap(moved: Array) -> Array:
        return abs(statistic(high - moved) - statistic(low + moved))

    seen = float(gap(numpy.zeros((1, change.shape[1])))[0])
    wanted = max(_FEWEST, min(RESAMPLES, _DRAWS // n))
    random = numpy.random.default_rng(seed)
    at_least, left = 1, wanted
    while left:
        size = min(left, max(1, 2_000_000 // n))
        swapped = random.integers(0, 2, (size, len(changed))).astype(float)
        at_least += int((gap(_weighed(swapped, change[changed])) >= seen * (1 - 1e-12)).sum())
        left -= size
    return at_least / (1 + wanted)


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for testing all of them at once, in the same order (Holm 1979, SJS 6:65).

    Rejecting where the adjusted p is at most alpha keeps the chance of any false alarm at alpha,
    whatever the dependence between the tests.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, most = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = most
    return adjusted
