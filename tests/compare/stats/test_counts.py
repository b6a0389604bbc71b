"""The statistics of counts against scipy, published counts and simulation."""

from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from tuiwb.compare.stats.counts import (
    PairedCounts,
    bootstrap_with_ties,
    cohens_kappa,
    false_alarm,
    false_alarm_table,
    mcnemar_one_sided,
    power,
    power_sentence,
    power_table,
    preference,
    sign_test,
    upper_tail,
    wilson,
)
from tuiwb.compare.stats.paired import tango

COUNTS = st.integers(0, 400)


# AlpacaEval's GPT-4 leaderboard (tatsu-lab/alpaca_eval, leaderboards/data_AlpacaEval): wins, losses
# and draws, win rate and its standard error in percent as published.
LEADERBOARD = [
    ("minichat-3b", 390, 409, 5, 48.818407960199, 1.758472313521605),
    ("alpaca-farm-ppo-human", 328, 469, 8, 41.24223602, 1.727181312),
    ("vicuna-13b", 566, 237, 2, 70.43478261, 1.606968841),
    ("gpt35_turbo_instruct", 642, 134, 25, 81.71036205, 1.330613333),
]


@pytest.mark.parametrize(("model", "wins", "losses", "ties", "published", "error"), LEADERBOARD)
def test_published_win_rates_with_ties_are_reproduced(model, wins, losses, ties, published, error):
    said = preference(PairedCounts(wins=wins, losses=losses, ties=ties))
    assert 100 * said.win_rate_with_ties == pytest.approx(published, abs=5e-9)
    # The published error is that of a mean; the bootstrap's half width is 1.96 of it.
    interval = said.win_rate_with_ties_interval
    assert 100 * (interval.high - interval.low) / 2 == pytest.approx(1.96 * error, rel=0.02)


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
    ("wins", "losses", "ties"), [(30, 15, 5), (390, 409, 5), (3, 0, 2), (1, 0, 8), (49, 1, 0)]
)
def test_bootstrap_with_ties_is_the_limit_of_scipys(wins, losses, ties):
    scores = numpy.array([1.0] * wins + [0.5] * ties + [0.0] * losses)
    interval = bootstrap_with_ties(PairedCounts(wins=wins, losses=losses, ties=ties))
    resampled = numpy.random.default_rng(1).choice(scores, (20_000, len(scores))).mean(axis=1)
    low, high = numpy.quantile(resampled, [0.025, 0.975])
    step = 1 / len(scores)
    assert interval.low == pytest.approx(low, abs=step)
    assert interval.high == pytest.approx(high, abs=step)


@pytest.mark.parametrize("n", [1, 5, 50])
def test_pairs_that_all_came_out_alike_are_not_said_to_be_certain(n):
    all_won = bootstrap_with_ties(PairedCounts(wins=n))
    assert all_won == wilson(n, n)
    assert bootstrap_with_ties(PairedCounts(losses=n)) == wilson(0, n)
    # (1 + (W - L) / N) / 2, with the score interval of the paired difference.
    all_tied, pairs = bootstrap_with_ties(PairedCounts(ties=n)), tango(0, 0, n)
    assert all_tied.low == pytest.approx((1 + pairs.low) / 2)
    assert all_tied.high == pytest.approx((1 + pairs.high) / 2)
    assert (1 + tango(n, 0, n).low) / 2 == pytest.approx(all_won.low)


def test_a_hundred_thousand_pairs_have_the_normal_limits_figures():
    counts = PairedCounts(wins=45_000, losses=44_000, ties=11_000)
    interval = bootstrap_with_ties(counts)
    error = numpy.sqrt((45_000 + 44_000 - 1_000**2 / 100_000) / 4 / 100_000**2)
    assert interval.low == pytest.approx(0.505 - 1.96 * error, abs=1e-5)
    assert interval.high == pytest.approx(0.505 + 1.96 * error, abs=1e-5)
    seen = power(100_000)
    least = 50_000 + 1.96 * numpy.sqrt(25_000)
    assert seen.wins_needed == pytest.approx(least, abs=1.5)
    assert seen.detectable == pytest.approx(least / 1e5 + 0.8416 * 0.5 / numpy.sqrt(1e5), abs=1e-5)
    assert upper_tail(50_200, 100_000, 0.5) == pytest.approx(
        scipy_stats.binom.sf(50_199, 100_000, 0.5), rel=1e-8
    )


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


def test_the_power_table_and_the_power_of_one_size_are_the_same():
    assert [line.wins_needed for line in power_table()] == [21, 27, 33, 61, 115]
    assert power_table((50,)) == [power(50)]


def test_simulated_sign_tests_see_what_the_power_table_promises():
    random = numpy.random.default_rng(11)
    for line in power_table((30, 50, 100)):
        wins = random.binomial(line.n, line.detectable, 20_000)
        assert (wins >= line.wins_needed).mean() == pytest.approx(0.8, abs=0.012)
        # And without any difference they cry at most one time in twenty, both ways together.
        fair = random.binomial(line.n, 0.5, 20_000)
        assert (numpy.maximum(fair, line.n - fair) >= line.wins_needed).mean() <= 0.053


@pytest.mark.parametrize(
    ("n", "published"), [(50, [0.037, 0.127, 0.213]), (100, [0.004, 0.040, 0.109])]
)
def test_the_false_alarm_table_is_the_published_one(n, published):
    ((_, found),) = false_alarm_table((n,))
    assert found == pytest.approx(published, abs=5e-4)


@given(st.integers(1, 40), st.floats(0, 0.5), st.floats(0, 0.3))
def test_false_alarms_equal_the_sum_over_every_outcome(n, each_way, limit):
    worse, better = numpy.meshgrid(range(n + 1), range(n + 1))
    inside = worse + better <= n
    worse, better = worse[inside], better[inside]
    rest = n - worse - better
    chances = scipy_stats.multinomial.pmf(
        numpy.stack([worse, better, rest], 1), n, [each_way, each_way, 1 - 2 * each_way]
    )
    trips = worse - better > limit * n + 1e-9
    expected = numpy.nansum(chances[trips])
    assert false_alarm(n, each_way, limit) == pytest.approx(expected, abs=1e-9)


def test_simulated_gates_cry_as_often_as_the_false_alarm_table_says():
    flips = numpy.random.default_rng(5).multinomial(80, [0.04, 0.04, 0.92], 40_000)
    cried = (flips[:, 0] - flips[:, 1] > 0.05 * 80).mean()
    assert cried == pytest.approx(false_alarm(80, 0.04), abs=0.005)
    assert false_alarm(80, 0.0) == 0.0


@pytest.mark.parametrize("n", [20, 50, 200])
def test_wilson_covers_the_true_rate_about_as_often_as_it_says(n):
    wins = numpy.arange(n + 1)
    intervals = [wilson(int(k), n) for k in wins]
    lows = numpy.array([i.low for i in intervals])
    highs = numpy.array([i.high for i in intervals])
    covered = [
        scipy_stats.binom.pmf(wins, n, rate)[(lows <= rate) & (rate <= highs)].sum()
        for rate in numpy.linspace(0.05, 0.95, 91)
    ]
    # A count can't be covered 95% of the time at every rate; it is so on average and never far off.
    assert numpy.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.90


@pytest.mark.parametrize("n", [30, 50])
def test_bootstrap_with_ties_covers_the_true_rate_about_as_often_as_it_says(n):
    counts = numpy.array(
        [(w, x, n - w - x) for w in range(n + 1) for x in range(n + 1 - w)], dtype=int
    )
    intervals = [
        bootstrap_with_ties(PairedCounts(wins=int(w), losses=int(x), ties=int(t)))
        for w, x, t in counts
    ]
    lows = numpy.array([i.low for i in intervals]) - 1e-12
    highs = numpy.array([i.high for i in intervals]) + 1e-12
    covered = []
    for rates in [(0.6, 0.3, 0.1), (0.45, 0.45, 0.1), (0.2, 0.1, 0.7), (0.8, 0.1, 0.1)]:
        truth = rates[0] + rates[2] / 2
        chance = scipy_stats.multinomial.pmf(counts, n, rates)
        covered.append(chance[(lows <= truth) & (truth <= highs)].sum())
    assert numpy.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert min(covered) > 0.93


@pytest.mark.parametrize(("n", "agreeing"), [(50, 0.7), (100, 0.85)])
def test_kappas_interval_covers_the_true_kappa_about_as_often_as_it_says(n, agreeing):
    chances = numpy.full((3, 3), (1 - agreeing) / 6)
    numpy.fill_diagonal(chances, agreeing / 3)
    truth = (agreeing - 1 / 3) / (1 - 1 / 3)
    tables = numpy.random.default_rng(9).multinomial(n, chances.ravel(), 2000).reshape(-1, 3, 3)
    found = [cohens_kappa(table.tolist()).interval for table in tables]
    covered = numpy.mean([i.low <= truth <= i.high for i in found])
    assert covered == pytest.approx(0.94, abs=0.02)


def table_under(title):
    """The rows of the first table under a title of docs/metrics.md."""
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
    lines = page.split(title, 1)[1].split("\n")
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    ends = next(i for i, line in enumerate(lines) if line.startswith("|"))
    count = next(i for i, line in enumerate(lines[ends:]) if not line.startswith("|"))
    return rows[2:count]


def test_the_tables_of_the_docs_are_the_programs():
    assert table_under("### What so many pairs can show") == [
        [str(p.n), f"{p.wins_needed}-{p.n - p.wins_needed}", f"{100 * p.detectable:.1f}%"]
        for p in power_table((20, 30, 40, 50, 100, 200))
    ]
    assert table_under("### False alarms of a canary gate") == [
        [str(n), *(f"{100 * rate:.1f}%" for rate in rates)]
        for n, rates in false_alarm_table((50, 100, 200))
    ]
    assert table_under("### Checked against published counts") == [
        [model, f"{w} / {x} / {t}", f"{rate:.6f}", f"{error:.3f}"]
        for model, w, x, t, rate, error in LEADERBOARD
    ]


def test_full_agreement_on_few_items_is_not_said_to_be_certain():
    few, many = cohens_kappa([[2, 0], [0, 1]]), cohens_kappa([[60, 0], [0, 40]])
    assert (few.kappa, few.interval.high) == (1.0, 1.0)
    assert few.interval.low < 0.1
    assert 0.9 < many.interval.low < 1.0
    opposite = cohens_kappa([[0, 5], [5, 0]])
    assert (opposite.kappa, opposite.interval.low) == (-1.0, -1.0)
    assert opposite.interval.high > -0.5
