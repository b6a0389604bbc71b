"""The statistics against scipy, published counts and simulation."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from tuiwb.compare.stats import (
    PairedCounts,
    bootstrap_with_ties,
    cohens_kappa,
    mcnemar_one_sided,
    paired_bootstrap,
    power,
    power_sentence,
    preference,
    sign_test,
    upper_tail,
    wilson,
)

COUNTS = st.integers(0, 400)


@pytest.mark.parametrize(
    ("wins", "losses", "ties", "published"),
    [
        (390, 409, 5, 48.818408),
        (328, 469, 8, 41.242236),
        (566, 237, 2, 70.434783),
        (642, 134, 25, 81.710362),
    ],
)
def test_published_win_rates_with_ties_are_reproduced(wins, losses, ties, published):
    said = preference(PairedCounts(wins=wins, losses=losses, ties=ties))
    assert 100 * said.win_rate_with_ties == pytest.approx(published, abs=5e-7)


def test_the_golden_counts_give_the_golden_p_and_wilson_interval():
    said = preference(PairedCounts(wins=390, losses=409, ties=5))
    assert said.p == pytest.approx(0.524285, abs=5e-7)
    assert 100 * said.win_rate_interval.low == pytest.approx(45.359, abs=5e-4)
    assert 100 * said.win_rate_interval.high == pytest.approx(52.274, abs=5e-4)
    assert "no difference shown" in said.verdict


def test_the_exact_p_decides_where_wilson_would_not():
    said = preference(PairedCounts(wins=32, losses=18))
    assert said.win_rate_interval.low > 0.5
    assert said.p == pytest.approx(0.065, abs=5e-4)
    assert "no difference shown" in said.verdict


@given(COUNTS, COUNTS)
def test_sign_test_equals_scipys_exact_binomial_test(wins, losses):
    n = wins + losses
    expected = scipy_stats.binomtest(wins, n).pvalue if n else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(COUNTS, COUNTS, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipys_and_stays_within_zero_and_one(successes, failures, confidence):
    n = successes + failures
    interval = wilson(successes, n, confidence)
    assert 0 <= interval.low <= interval.high <= 1
    if n:
        theirs = scipy_stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
        assert interval.low == pytest.approx(theirs.low, abs=1e-9)
        assert interval.high == pytest.approx(theirs.high, abs=1e-9)


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.01, 0.99))
def test_upper_tail_equals_scipys_survival_function(k, n, p):
    expected = scipy_stats.binom.sf(k - 1, n, p)
    assert upper_tail(k, n, p) == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_mcnemar_counts_only_a_surplus_of_regressions():
    expected = scipy_stats.binomtest(5, 6, alternative="greater").pvalue
    assert mcnemar_one_sided(5, 1) == pytest.approx(expected)
    assert mcnemar_one_sided(1, 5) > 0.9
    assert mcnemar_one_sided(0, 0) == 1.0


@pytest.mark.parametrize(
    ("wins", "losses", "ties"), [(30, 15, 5), (390, 409, 5), (3, 0, 2), (0, 0, 8), (50, 0, 0)]
)
def test_bootstrap_with_ties_is_the_limit_of_scipys(wins, losses, ties):
    scores = numpy.array([1.0] * wins + [0.5] * ties + [0.0] * losses)
    interval = bootstrap_with_ties(PairedCounts(wins=wins, losses=losses, ties=ties))
    resampled = numpy.random.default_rng(1).choice(scores, (20_000, len(scores))).mean(axis=1)
    low, high = numpy.quantile(resampled, [0.025, 0.975])
    step = 1 / len(scores)
    assert interval.low == pytest.approx(low, abs=step)
    assert interval.high == pytest.approx(high, abs=step)


def test_no_pairs_have_no_rate_and_no_interval():
    said = preference(PairedCounts())
    assert (said.win_rate, said.win_rate_interval, said.win_rate_with_ties) == (None, None, None)
    assert said.win_rate_with_ties_interval is None
    assert said.p == 1.0


def test_kappa_of_the_textbook_table_and_its_interval_cover_the_bootstrap():
    # Cohen's kappa by hand: agreement .70, chance .50.
    table = [[20, 5], [10, 15]]
    said = cohens_kappa(table)
    assert said.agreement == pytest.approx(0.70)
    assert said.kappa == pytest.approx(0.40)
    random = numpy.random.default_rng(0)
    kappas = [
        cohens_kappa(random.multinomial(50, [0.4, 0.1, 0.2, 0.3]).reshape(2, 2).tolist()).kappa
        for _ in range(4000)
    ]
    half = (said.interval.high - said.interval.low) / 2
    assert half == pytest.approx(1.96 * float(numpy.std(kappas)), rel=0.06)


def test_kappa_says_when_it_is_not_to_be_trusted():
    assert not cohens_kappa([[9, 0, 0], [0, 9, 0], [0, 0, 9]]).reliable
    assert cohens_kappa([[10, 0, 0], [0, 10, 0], [0, 0, 10]]).kappa == pytest.approx(1.0)
    assert cohens_kappa([[40, 0], [0, 0]]).kappa is None
    assert cohens_kappa([[0, 0], [0, 0]]).n == 0


@pytest.mark.parametrize(
    ("n", "wins", "rate"),
    [(30, 21, 74.9), (40, 27, 72.2), (50, 33, 70.4), (100, 61, 64.5), (200, 115, 60.2)],
)
def test_power_table_is_the_published_one(n, wins, rate):
    seen = power(n)
    assert seen.wins_needed == wins
    assert 100 * seen.detectable == pytest.approx(rate, abs=0.05)
    assert f"{wins}-{n - wins}" in power_sentence(n)


def test_five_pairs_are_too_few_to_show_anything():
    assert power(5).wins_needed is None
    assert "too few" in power_sentence(5)
    assert power(6).wins_needed == 6


def test_wilson_covers_the_true_rate_about_as_often_as_it_says():
    random = numpy.random.default_rng(3)
    hits = sum(
        (interval := wilson(int(k), 50)).low <= 0.7 <= interval.high
        for k in random.binomial(50, 0.7, 4000)
    )
    assert 0.93 <= hits / 4000 <= 0.98


def test_paired_bootstrap_agrees_with_the_normal_interval_for_many_pairs():
    values = numpy.random.default_rng(0).normal(0.2, 1.0, 400).tolist()
    interval = paired_bootstrap(values, seed=1)
    mean, error = numpy.mean(values), numpy.std(values) / 20
    assert interval.low == pytest.approx(mean - 1.96 * error, abs=0.02)
    assert interval.high == pytest.approx(mean + 1.96 * error, abs=0.02)
    assert paired_bootstrap([]) is None
