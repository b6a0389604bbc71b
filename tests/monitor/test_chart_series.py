"""What the chart keeps of a series: the pyramid, the smoothed twin, x in any order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.monitor.pyramid import ABOVE, BELOW, NAN, NOT_POSITIVE, SWEEP, Pyramid
from tuiwb.monitor.smoothing import Smoother, smooth
from tuiwb.monitor.trace import Trace

VALUE = st.floats(allow_nan=True, allow_infinity=True)


def brute(part: np.ndarray, positive: bool) -> tuple[float, float, int]:
    """Low, high and flags of a slice, without a pyramid."""
    finite = part[np.isfinite(part)]
    kept = finite[finite > 0] if positive else finite
    flags = (
        NAN * bool(np.isnan(part).any())
        | ABOVE * bool((part == np.inf).any())
        | BELOW * bool((part == -np.inf).any())
        | NOT_POSITIVE * (positive and bool((finite <= 0).any()))
    )
    low, high = (float(kept.min()), float(kept.max())) if len(kept) else (math.nan, math.nan)
    return low, high, flags


def same(pyramid: Pyramid, y: np.ndarray, edges: np.ndarray, positive: bool) -> None:
    """Every slice is what brute force says it is."""
    found = pyramid.slices(y, edges)
    for n in range(len(edges) - 1):
        low, high, flags = brute(y[edges[n] : edges[n + 1]], positive)
        np.testing.assert_array_equal([found.low[n], found.high[n]], [low, high])
        assert found.flags[n] == flags


@given(
    values=st.lists(VALUE, max_size=900),
    cuts=st.lists(st.integers(0, 900), max_size=12),
    appends=st.lists(st.integers(0, 900), max_size=4),
    positive=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_slices_are_what_brute_force_says_however_the_series_grew(
    values: list[float], cuts: list[int], appends: list[int], positive: bool
) -> None:
    y = np.array(values, np.float64)
    pyramid = Pyramid(positive)
    for length in sorted(min(n, len(y)) for n in appends):
        pyramid.extend(y[:length])
    pyramid.extend(y)
    same(pyramid, y, np.array(sorted(min(c, len(y)) for c in [0, *cuts, 900]), np.int64), positive)


@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 300),
    zoom=st.integers(1, 60),
    positive=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_slices_of_a_long_series_are_what_brute_force_says(
    seed: int, columns: int, zoom: int, positive: bool
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=SWEEP * 5 + 5)
    y[rng.integers(0, len(y), 200)] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -1e300], 200)
    pyramid = Pyramid(positive)
    pyramid.extend(y[: len(y) // 3])
    pyramid.extend(y)
    start = int(rng.integers(0, len(y) - len(y) // zoom + 1))
    edges = np.linspace(start, start + len(y) // zoom, columns + 1).astype(np.int64)
    same(pyramid, y, edges, positive)
    # Slices of very different lengths, many of them empty.
    same(pyramid, y, np.sort(rng.choice([0, 1, 9, 80, 700, len(y)], columns + 1)), positive)


def plain_average(values: list[float], weight: float) -> list[float]:
    """The definition, a value at a time."""
    last, count, out = 0.0, 0, []
    for value in values:
        if math.isfinite(value):
            last = weight * last + (1 - weight) * value
            count += 1
            out.append(last / (1 - weight**count))
        else:
            out.append(value)
    return out


@given(
    values=st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf])), max_size=300
    ),
    weight=st.sampled_from([0.01, 0.3, 0.6, 0.9, 0.99, 0.999]),
    cut=st.integers(0, 300),
)
@settings(max_examples=150, deadline=None)
def test_smoothing_is_the_debiased_average_also_in_pieces(
    values: list[float], weight: float, cut: int
) -> None:
    smoother = Smoother(weight)
    pieces = np.concatenate([smoother.extend(values[:cut]), smoother.extend(values[cut:])])
    np.testing.assert_allclose(pieces, plain_average(values, weight), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("weight", [0.01, 0.6, 0.99])
def test_smoothing_of_many_blocks_and_huge_values_stays_exact(weight: float) -> None:
    values = np.sin(np.arange(20_000) / 50) * 1e300
    got = smooth(values, weight)
    np.testing.assert_allclose(got, plain_average(values.tolist(), weight), rtol=1e-6, atol=1e288)
    assert np.isfinite(got).all()


def test_a_weight_of_zero_is_the_series_itself() -> None:
    np.testing.assert_array_equal(smooth([1.0, math.nan, 3.0], 0.0), [1.0, math.nan, 3.0])


def columns(trace: Trace, low: float, high: float) -> list[float]:
    """The highest value of each of ten slices."""
    return [float(v) for v in trace.columns(low, high, 10).high]


def test_a_trace_that_grows_equals_one_that_is_made_at_once() -> None:
    x, y = np.arange(5000.0), np.cos(np.arange(5000) / 40)
    grown = Trace()
    for end in (0, 1, 7, 900, 901, 5000):
        grown.update(x[:end], y[:end], 0, "step", 0.9)
        grown.release()
    grown.update(x, y, 0, "step", 0.9)
    once = Trace.of(x, y, 0.9)
    for smoothed in (False, True):
        a, b = (t.columns(100, 4000, 60, smoothed) for t in (grown, once))
        np.testing.assert_allclose(a.low, b.low)
        np.testing.assert_allclose(a.high, b.high)


def test_a_series_that_was_cut_and_went_on_is_read_anew() -> None:
    trace = Trace()
    trace.update(np.arange(100.0), np.full(100, 9.0), 0)
    x = np.concatenate([np.arange(50.0), np.arange(50.0, 120.0)])
    trace.update(x, np.full(120, 1.0), 1)
    assert set(columns(trace, 0, 119)) == {1.0}


def test_another_x_of_the_same_values_is_read_anew() -> None:
    trace = Trace()
    y = np.arange(10.0)
    trace.update(np.arange(10.0), y, 0, "step")
    trace.update(np.arange(10.0) * 3, y, 0, "tokens")
    assert columns(trace, 0, 27) == y.tolist()
    trace.update(np.arange(10.0)[::-1], y, 0, "time")
    assert columns(trace, 0, 9) == y[::-1].tolist()
    trace.update(np.arange(11.0), np.arange(11.0), 0, "step")
    assert columns(trace, 0, 10)[:9] == y[:9].tolist()


def test_points_out_of_order_and_of_unknown_x_are_sorted_and_left_out() -> None:
    trace = Trace()
    trace.update(np.array([math.nan, 1.0, 2.0]), np.array([50.0, 1.0, 2.0]))
    trace.update(np.array([math.nan, 1.0, 2.0, 9.0, 5.0]), np.array([50.0, 1.0, 2.0, 9.0, 5.0]))
    assert trace.extent == (1.0, 9.0)
    assert trace.nearest(4.6) == (5.0, 5.0)
    assert np.nanmax(trace.columns(0, 10, 10).high) == 9.0


def test_the_nearest_point_is_nearest() -> None:
    trace = Trace.of([0.0, 10.0, 20.0], [1.0, 2.0, 3.0])
    assert trace.nearest(-5) == (0.0, 1.0)
    assert trace.nearest(14.9) == (10.0, 2.0)
    assert trace.nearest(15.1) == (20.0, 3.0)
    assert trace.nearest(99) == (20.0, 3.0)
    assert Trace().nearest(1) is None
    assert trace.neighbour(10.0, forward=True) == 20.0
    assert trace.neighbour(10.0, forward=False) == 0.0
    assert trace.neighbour(20.0, forward=True) is None
