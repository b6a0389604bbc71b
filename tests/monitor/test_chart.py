"""The chart's pure core: decimation, scale, gaps, ticks, any size."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.monitor.chart import Line, decimate, label, nice_ticks, plot, smooth


def rows(drawn) -> list[str]:  # type: ignore[no-untyped-def]
    return ["".join(char for char, _ in row) for row in drawn.cells]


def test_decimation_keeps_every_slices_minimum_and_maximum() -> None:
    x = np.arange(1000)
    y = np.sin(x / 7) + x / 500
    out = decimate(x, y, 0, 999, 50)
    for column in range(50):
        inside = y[(x / 999 * 50).astype(int).clip(0, 49) == column]
        assert out[column, 0] == pytest.approx(inside.min())
        assert out[column, 1] == pytest.approx(inside.max())


def test_a_single_spike_among_a_million_points_is_drawn() -> None:
    y = np.zeros(1_000_000)
    y[123_456] = 1.0
    drawn = plot([Line(np.arange(len(y)), y)], 80, 10)
    top = rows(drawn)[0]
    assert top.strip(), "the spike vanished"
    assert abs(top.index(top.strip()[0]) - 123_456 / 1e6 * 80) <= 1


def test_a_falling_line_starts_at_the_top_left_and_ends_at_the_bottom_right() -> None:
    drawn = rows(plot([Line([0, 1, 2, 3], [3, 2, 1, 0])], 20, 6))
    assert drawn[0][0] != " "
    assert drawn[-1][-1] != " "
    assert drawn[0][-1] == " "
    assert drawn[-1][0] == " "


def test_nan_is_a_gap_with_a_mark_and_never_a_value() -> None:
    y = [1.0] * 40
    y[20] = math.nan
    drawn = plot([Line(list(range(40)), y)], 40, 5)
    assert drawn.bad == [(round(20 / 39 * 40), 0)] or drawn.bad == [(20, 0)]
    middle = rows(drawn)[2]
    assert " " in middle.strip() or middle[drawn.bad[0][0]] == " "
    assert drawn.y_range[0] > 0.5, "NaN pulled the scale to zero"


def test_infinity_does_not_break_the_scale() -> None:
    drawn = plot([Line([0, 1, 2], [1.0, math.inf, 2.0])], 20, 5)
    assert drawn.y_range == (1.0, 2.0)
    assert drawn.bad


def test_a_marker_is_drawn_on_each_point() -> None:
    drawn = rows(plot([Line([0, 5, 10], [0, 1, 0], marker="◆")], 30, 5))
    assert "".join(drawn).count("◆") == 3


def test_log_scale_leaves_out_what_it_cannot_show_and_labels_in_values() -> None:
    drawn = plot([Line([0, 1, 2, 3], [0.0, 0.001, 1.0, 1000.0])], 40, 12, log_y=True)
    assert drawn.y_range == (-3.0, 3.0)
    assert {words for _, words in drawn.y_ticks} == {"0.001", "0.1", "10", "1000"}


def test_a_faint_line_lies_below_a_bright_one() -> None:
    drawn = plot([Line([0, 1], [0, 0], faint=True), Line([0, 1], [0, 0])], 10, 3)
    owners = {owner for row in drawn.cells for char, owner in row if char != " "}
    assert owners == {1}


def test_smoothing_follows_the_debiased_average_and_passes_over_nan() -> None:
    out = smooth([1.0, math.nan, 1.0], 0.9)
    assert out[0] == pytest.approx(1.0)
    assert math.isnan(out[1])
    assert out[2] == pytest.approx(1.0)


@given(
    width=st.integers(0, 60),
    height=st.integers(0, 20),
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30),
    log_y=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_size_and_any_values_give_a_grid_of_that_size(
    width: int, height: int, values: list[float], log_y: bool
) -> None:
    drawn = plot([Line(list(range(len(values))), values)], width, height, log_y=log_y)
    assert len(drawn.cells) == height
    assert all(len(row) == width for row in drawn.cells)
    assert all(0 <= column < max(width, 1) for column, _ in drawn.x_ticks)
    assert all(0 <= row < max(height, 1) for row, _ in drawn.y_ticks)


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9), most=st.integers(1, 12))
def test_ticks_are_few_and_inside(low: float, span: float, most: int) -> None:
    ticks = nice_ticks(low, low + span, most)
    assert len(ticks) <= most
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in ticks)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.25, "0.25"), (2e-5, "2e-5"), (12345, "12.35k"), (1e6, "1e6"), (-3.5, "-3.5")],
)
def test_labels_are_short(value: float, words: str) -> None:
    assert label(value) == words
