"""Paired differences: intervals and tests against scipy, published examples and simulation."""

import itertools

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from tuiwb.compare.stats.paired import (
    bootstrap,
    holm,
    mean_interval,
    sign_flip_test,
    swap_test,
    t_quantile,
    tango,
)

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


@st.composite
def discordant(draw):
    n = draw(st.integers(1, 80))
    better = draw(st.integers(0, n))
    return better, draw(st.integers(0, n - better)), n


# Fagerland, Lydersen, Laake 2017, Statistical Analysis of Contingency Tables, table 8.6: airway
# hyper-responsiveness, one against seven discordant pairs of 21.
def test_tangos_interval_is_the_textbooks():
    interval = tango(1, 7, 21)
    assert interval.low == pytest.approx(-0.517, abs=5e-4)
    assert interval.high == pytest.approx(-0.026, abs=5e-4)


def test_without_any_discordant_pair_the_interval_has_its_closed_form():
    z = scipy_stats.norm.ppf(0.975)
    interval = tango(0, 0, 20)
    assert interval.high == pytest.approx(z * z / (20 + z * z))
    assert interval.low == pytest.approx(-interval.high)
    assert (tango(0, 0, 0).low, tango(0, 0, 0).high) == (-1.0, 1.0)


@given(discordant(), st.sampled_from([0.8, 0.95, 0.99]))
def test_a_bound_is_where_the_score_test_stops_rejecting(counts, confidence):
    better, worse, n = counts
    z = scipy_stats.norm.ppf(0.5 + confidence / 2)
    interval = tango(better, worse, n, confidence)
    assert -1 <= interval.low <= (better - worse) / n <= interval.high <= 1
    for bound in (interval.low, interval.high):
        if abs(bound) < 1 - 1e-6:
            gap = better - worse - n * bound
            rate = likeliest_rate(better, worse, n, bound)
            variance = n * (2 * rate + bound * (1 - bound))
            assert abs(gap) / numpy.sqrt(variance) == pytest.approx(z, rel=2e-3)


def likeliest_rate(better, worse, n, difference):
    """The constrained maximum of the multinomial likelihood, by search instead of by formula."""

    def unlikely(rate):
        chances = (rate + difference, rate, 1 - 2 * rate - difference)
        counts = (better, worse, n - better - worse)
        return -sum(
            k * numpy.log(max(p, 1e-300)) for k, p in zip(counts, chances, strict=True) if k
        )

    low, high = max(0.0, -difference), (1 - difference) / 2
    return optimize.minimize_scalar(
        unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    ).x


@given(discordant())
def test_the_interval_turns_around_with_the_sides(counts):
    better, worse, n = counts
    one, other = tango(better, worse, n), tango(worse, better, n)
    assert one.low == pytest.approx(-other.high, abs=1e-9)
    assert one.high == pytest.approx(-other.low, abs=1e-9)


@given(discordant())
def test_zero_is_outside_exactly_where_mcnemars_score_test_rejects(counts):
    better, worse, n = counts
    interval = tango(better, worse, n)
    chi = (better - worse) ** 2 / (better + worse) if better + worse else 0.0
    rejected = chi > scipy_stats.chi2.ppf(0.95, 1)
    assert rejected == (interval.low > 0 or interval.high < 0)


@pytest.mark.parametrize("n", [30, 50])
def test_tangos_interval_covers_the_true_difference_about_as_often_as_it_says(n):
    counts = numpy.array(
        [(b, w, n - b - w) for b, w in itertools.product(range(n + 1), repeat=2) if b + w <= n]
    )
    intervals = [tango(int(b), int(w), n) for b, w, _ in counts]
    lows = numpy.array([i.low for i in intervals])
    highs = numpy.array([i.high for i in intervals])
    covered = []
    for better, worse in [(0.3, 0.05), (0.1, 0.1), (0.05, 0.02), (0.5, 0.3), (0.8, 0.02)]:
        chance = scipy_stats.multinomial.pmf(counts, n, [better, worse, 1 - better - worse])
        truth = better - worse
        covered.append(chance[(lows <= truth) & (truth <= highs)].sum())
    assert numpy.mean(covered) == pytest.approx(0.95, abs=0.012)
    assert min(covered) > 0.92


@given(st.floats(0.001, 0.999), st.integers(1, 3000))
@settings(max_examples=60)
def test_the_quantiles_of_students_t_are_scipys(p, degrees):
    expected = scipy_stats.t.ppf(p, degrees)
    assert t_quantile(p, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_the_interval_of_a_mean_is_as_wide_as_students():
    values = numpy.random.default_rng(0).normal(0.2, 1.0, 12)
    interval = mean_interval(values.tolist())
    theirs = scipy_stats.t.interval(
        0.95, 11, loc=values.mean(), scale=values.std(ddof=1) / numpy.sqrt(12)
    )
    assert interval.low == pytest.approx(theirs[0], abs=0.06)
    assert interval.high == pytest.approx(theirs[1], abs=0.06)


def test_fewer_than_two_prompts_have_no_interval():
    assert mean_interval([]) is None
    assert mean_interval([0.5]) is None


def graded(random, n):
    """Differences of a graded score as they come: half of them zero, the rest skewed."""
    gains = random.beta(1, 3, n) - random.beta(1, 8, n) * (random.random(n) < 0.3)
    return numpy.where(random.random(n) < 0.5, 0.0, gains)


@pytest.mark.parametrize(("n", "least"), [(20, 0.91), (50, 0.93)])
def test_the_interval_of_a_mean_covers_it_about_as_often_as_it_says(n, least):
    random = numpy.random.default_rng(21)
    truth = 0.5 * (1 / 4 - 0.3 / 9)
    found = [mean_interval(graded(random, n).tolist()) for _ in range(1000)]
    covered = numpy.mean([i.low <= truth <= i.high for i in found])
    # Skewed scores on few prompts cost a point or two (Student's interval loses as much).
    assert least <= covered <= 0.965


def test_the_interval_of_a_ratio_of_sums_covers_it_about_as_often_as_it_says():
    # Perplexity: exp of summed likelihoods by summed tokens, over texts of unequal length.
    random = numpy.random.default_rng(4)
    hits = 0
    for _ in range(800):
        tokens = random.integers(5, 60, 50)
        nll = tokens * random.gamma(8, 0.25, 50)
        interval = bootstrap(
            numpy.stack([nll, tokens], 1), lambda sums: numpy.exp(sums[:, 0] / sums[:, 1])
        )
        hits += interval.low <= numpy.exp(2.0) <= interval.high
    assert 0.92 <= hits / 800 <= 0.965


def test_many_prompts_have_students_interval_which_a_bootstrap_in_pieces_agrees_with():
    values = numpy.random.default_rng(2).gamma(2.0, 1.0, 3000)
    interval = mean_interval(values.tolist())
    error = values.std(ddof=1) / numpy.sqrt(3000)
    theirs = scipy_stats.t.interval(0.95, 2999, loc=values.mean(), scale=error)
    assert (interval.low, interval.high) == pytest.approx(theirs)
    drawn = bootstrap(values.reshape(-1, 1), lambda sums: sums[:, 0] / 3000)
    assert drawn.low == pytest.approx(interval.low, abs=0.15 * error)
    assert drawn.high == pytest.approx(interval.high, abs=0.15 * error)
    assert drawn == bootstrap(values.reshape(-1, 1), lambda sums: sums[:, 0] / 3000)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.3, 1.0]), min_size=2, max_size=11))
@settings(max_examples=60)
def test_few_differences_have_the_exact_p_of_scipys_permutations(values):
    theirs = scipy_stats.permutation_test(
        (numpy.array(values),),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=numpy.inf,
    )
    # scipy doubles the smaller tail; both sides of a sum with signs flipped are equal anyway.
    assert sign_flip_test(values) == pytest.approx(min(1.0, theirs.pvalue), abs=1e-9)


def test_differences_that_cancel_but_for_rounding_have_a_p_of_one():
    cancelling = [0.3, 0.3, -0.5, 0.3, -1.0, 0.3, 0.3]
    assert 0 < abs(sum(cancelling)) < 1e-15
    assert sign_flip_test(cancelling) == 1.0


def test_many_differences_have_the_p_of_the_t_test_about():
    values = numpy.random.default_rng(6).normal(0.35, 1.0, 60)
    assert sign_flip_test(values.tolist()) == pytest.approx(
        scipy_stats.ttest_1samp(values, 0).pvalue, abs=0.01
    )
    many = numpy.random.default_rng(6).normal(0.05, 1.0, 1500)
    assert sign_flip_test(many.tolist()) == pytest.approx(
        scipy_stats.ttest_1samp(many, 0).pvalue, abs=0.01
    )
    assert sign_flip_test([0.0] * 40) == 1.0
    # Far out too it is a small number, not none.
    assert sign_flip_test([1.0] * 1200) == pytest.approx(
        2 * scipy_stats.norm.sf(numpy.sqrt(1200)), rel=1e-6
    )


def test_the_sign_flip_test_cries_as_often_as_it_may():
    random = numpy.random.default_rng(13)
    cried = [
        sign_flip_test((random.beta(1, 3, 20) * random.choice([-1, 1], 20)).tolist()) <= 0.05
        for _ in range(400)
    ]
    assert numpy.mean(cried) == pytest.approx(0.05, abs=0.025)


@given(P_VALUES)
def test_holms_adjusted_values_keep_the_order_and_bound_bonferroni_and_none(p_values):
    adjusted = holm(p_values)
    for p, more in zip(p_values, adjusted, strict=True):
        assert p <= more <= min(1.0, len(p_values) * p) or more == pytest.approx(p)
    for i, j in itertools.combinations(range(len(p_values)), 2):
        if p_values[i] < p_values[j]:
            assert adjusted[i] <= adjusted[j]


def test_holm_of_his_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_under_holm_ten_true_nulls_together_cry_as_often_as_one():
    p_values = numpy.random.default_rng(3).random((20_000, 10))
    cried = numpy.mean([min(holm(row)) <= 0.05 for row in p_values.tolist()])
    assert cried == pytest.approx(0.05, abs=0.006)


def perplexity(sums):
    return numpy.exp(sums[:, 0] / sums[:, 1])


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.6])
def test_the_swap_test_is_the_share_of_all_swaps_that_differ_as_much(shift):
    random = numpy.random.default_rng(17)
    tokens = random.integers(5, 40, 9)
    base = numpy.stack([tokens * random.gamma(8, 0.25, 9), tokens], 1)
    adapter = numpy.stack([tokens * (random.gamma(8, 0.25, 9) - shift), tokens], 1)
    swaps = numpy.array(list(itertools.product([0, 1], repeat=9)))[:, :, None]
    ones = (base + swaps * (adapter - base)).sum(axis=1)
    others = (adapter - swaps * (adapter - base)).sum(axis=1)
    gaps = abs(perplexity(others) - perplexity(ones))
    exact = (gaps >= gaps[0] * (1 - 1e-12)).mean()
    assert swap_test(base, adapter, perplexity) == pytest.approx(exact, abs=0.015)


def test_swapping_sides_that_are_the_same_shows_nothing():
    rows = numpy.array([[3.0, 2.0], [5.0, 4.0]])
    assert swap_test(rows, rows, perplexity) == 1.0
