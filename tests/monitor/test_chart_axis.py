"""Ticks, labels, zoom: the chart's axes."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuiwb.monitor.chart import Line, plot
from tuiwb.monitor.ticks import (
    count_ticks,
    label,
    labels,
    log_ticks,
    nice_ticks,
    reading,
    time_ticks,
)
from tuiwb.monitor.trace import Trace
from tuiwb.monitor.view import LEAST, at_tail, pan, span, zoom


@given(low=st.floats(-1e9, 1e9), width=st.floats(1e-6, 1e9), most=st.integers(1, 12))
def test_ticks_are_few_inside_and_multiples_of_1_2_or_5(
    low: float, width: float, most: int
) -> None:
    ticks = nice_ticks(low, low + width, most)
    assert len(ticks) <= most
    assert all(low <= tick <= low + width for tick in ticks)
    if len(ticks) > 2 and width > 1e-9 * abs(low):
        step = ticks[2] - ticks[1]
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 0.02


@given(low=st.floats(0, 1e6), width=st.floats(1, 1e7), most=st.integers(2, 12))
def test_ticks_of_time_are_few_inside_and_round(low: float, width: float, most: int) -> None:
    ticks = time_ticks(low, low + width, most)
    assert len(ticks) <= most
    assert all(low <= tick <= low + width for tick in ticks)


@given(low=st.floats(-20, 20), width=st.floats(0.001, 30), most=st.integers(1, 12))
def test_ticks_of_a_log_axis_are_few_and_inside(low: float, width: float, most: int) -> None:
    ticks = log_ticks(low, low + width, most)
    assert len(ticks) <= most
    assert all(10**low * 0.999 <= tick <= 10 ** (low + width) * 1.001 for tick in ticks)


def test_many_decades_are_thinned_to_whole_decades() -> None:
    assert log_ticks(-6, 3, 4) == pytest.approx([1e-6, 1e-3, 1.0, 1e3])


def test_part_of_a_decade_still_has_ticks() -> None:
    assert len(log_ticks(math.log10(1.2), math.log10(1.9), 5)) >= 2
    assert len(log_ticks(math.log10(1.20), math.log10(1.21), 5)) >= 2


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.25, "0.25"), (2e-5, "2e-5"), (12345, "12.35k"), (1e6, "1M"), (-3.5, "-3.5"),
     (1_230_000, "1.23M"), (4e9, "4G"), (1e30, "1e30")],
)  # fmt: skip
def test_labels_are_short(value: float, words: str) -> None:
    assert label(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(2.01342, "2.013"), (1.234e-5, "1.23e-5"), (math.nan, "NaN"), (-math.inf, "-inf"), (0, "0")],
)
def test_values_are_read_out_in_four_digits(value: float, words: str) -> None:
    assert reading(value) == words


@pytest.mark.parametrize(
    ("ticks", "unit", "words"),
    [
        ([0.0, 0.5, 1.0], "value", ["0", "0.5", "1.0"]),
        ([2.25, 2.3, 2.35], "value", ["2.25", "2.30", "2.35"]),
        ([0.0, 5e5, 1e6, 1.5e6], "count", ["0", "0.5M", "1.0M", "1.5M"]),
        ([8000.0, 10000.0, 12000.0], "count", ["8k", "10k", "12k"]),
        ([0.0, 1e-5, 2e-5], "value", ["0", "1e-5", "2e-5"]),
        ([1.5e-4, 2e-4], "value", ["1.5e-4", "2.0e-4"]),
        ([0.0, 1200.0, 2400.0, 3600.0, 4800.0], "time", ["0", "20m", "40m", "1h", "1h20m"]),
        ([0.0, 43200.0, 86400.0], "time", ["0", "12h", "1d"]),
        ([0.0, 0.5], "time", ["0s", "0.5s"]),
    ],
)
def test_the_labels_of_an_axis_have_one_precision(
    ticks: list[float], unit: str, words: list[str]
) -> None:
    assert labels(ticks, unit) == words  # type: ignore[arg-type]


@given(
    low=st.floats(-1e6, 1e6), width=st.floats(0.001, 1e6), columns=st.integers(0, 150),
    unit=st.sampled_from(["count", "value", "time"]),
)  # fmt: skip
def test_labels_never_overlap(low: float, width: float, columns: int, unit: str) -> None:
    drawn = plot([Line.of([low, low + width], [0, 1])], columns, 2)
    end = -2
    for start, words in drawn.x_ticks(unit):  # type: ignore[arg-type]
        assert start >= end + 2 or end == -2
        assert words
        end = start + len(words)
    assert end <= columns


@example(low=524288.0, width=1.1, share=0.5, times=5)
@given(
    low=st.floats(0, 1e6), width=st.floats(1, 1e6), share=st.floats(0.05, 0.95),
    times=st.integers(1, 8),
)  # fmt: skip
def test_zooming_in_and_out_again_shows_the_same_picture(
    low: float, width: float, share: float, times: int
) -> None:
    extent = (low, low + width)
    at = low + share * width
    view = None
    seen = [span(view, extent)]
    for _ in range(times):
        view = zoom(view, extent, 2, at)
        seen.append(span(view, extent))
    for expected in reversed(seen[:-1]):
        view = zoom(view, extent, 0.5, at)
        assert span(view, extent) == pytest.approx(expected, rel=1e-6, abs=width * 1e-6)
    assert view is None


def test_the_point_under_the_pointer_stays_where_it_is() -> None:
    view = zoom(None, (0.0, 100.0), 2, 30.0)
    assert view is not None
    assert (30.0 - view[0]) / (view[1] - view[0]) == pytest.approx(0.3)


def test_zoom_ends_somewhere_and_pan_stays_with_the_data() -> None:
    view = None
    for _ in range(200):
        view = zoom(view, (0.0, 1000.0), 2)
    assert view is not None
    assert view[1] - view[0] == pytest.approx(1000 * LEAST)
    assert pan((10.0, 20.0), (0.0, 1000.0), -9) == (0.0, 10.0)
    assert pan((10.0, 20.0), (0.0, 1000.0), 900) == (990.0, 1000.0)
    assert pan(None, (0.0, 1000.0), 1) is None
    assert at_tail((10.0, 20.0), (0.0, 1000.0)) == (990.0, 1000.0)
    assert zoom(None, (5.0, 5.0), 2) is None


@example(low=1e-5, width=15000.0, most=2)
@example(low=1e-9, width=4.5, most=2)
@given(
    low=st.floats(0, 1e6),
    width=st.floats(0, 1e6),
    most=st.integers(2, 20),
)
def test_ticks_of_steps_are_whole_numbers_wherever_one_is_in_view(
    low: float, width: float, most: int
) -> None:
    ticks = count_ticks(low, low + width, most)
    assert len(ticks) <= most
    if math.floor(low + width) >= math.ceil(low) and width > 1e-6:
        assert ticks
        assert all(abs(tick - round(tick)) < 1e-6 for tick in ticks)


def test_the_axis_of_a_run_of_three_steps_names_three_steps() -> None:
    assert count_ticks(1, 3, 9) == [1, 2, 3]
    assert count_ticks(1.2, 1.8, 4) == pytest.approx([1.2, 1.4, 1.6, 1.8]), "none is in view"


def test_marks_stand_in_the_columns_of_their_x_each_once_and_those_outside_nowhere() -> None:
    drawn = plot([Line(Trace.of([0.0, 100.0], [1.0, 2.0]))], 10, 4)
    assert drawn.x_range == (0.0, 100.0)
    assert drawn.columns(np.array([100.0, 55.0, 51.0, 0.0, -1.0, 101.0, math.nan])) == [0, 5, 9]
    assert drawn.columns(np.array([])) == []
