"""The chart's pure core: what is drawn for which values, at any size."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuiwb.monitor.chart import INFINITE, OUTSIDE, Line, Plot, plot
from tuiwb.monitor.glyphs import GlyphSet, detect
from tuiwb.monitor.trace import Trace

GLYPH_SETS: list[GlyphSet] = ["braille", "blocks", "ascii"]
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def touched(drawn: Plot, row: int) -> list[int]:
    """The columns of a row that hold anything."""
    return [column for column, char in enumerate(drawn.rows[row]) if char != " "]


def test_a_single_spike_among_a_million_points_is_drawn() -> None:
    y = np.zeros(1_000_000)
    y[123_456] = 1.0
    drawn = plot([Line.of(np.arange(len(y)), y)], 80, 10)
    assert [round(c / 80 * 1e6, -5) for c in touched(drawn, 0)] == [1e5]


@pytest.mark.parametrize("glyphs", GLYPH_SETS)
def test_a_falling_line_runs_from_the_top_left_to_the_bottom_right(glyphs: GlyphSet) -> None:
    drawn = plot([Line.of([0, 1, 2, 3], [3, 2, 1, 0])], 20, 6, glyphs=glyphs)
    assert 0 in touched(drawn, 0)
    assert 19 in touched(drawn, -1)
    assert 19 not in touched(drawn, 0)
    assert 0 not in touched(drawn, -1)
    # No row is left out on the way.
    assert all(touched(drawn, row) for row in range(6))


def test_two_points_far_apart_are_joined_by_a_line() -> None:
    drawn = plot([Line.of([0, 100], [0.0, 1.0])], 40, 5)
    assert {c for row in range(5) for c in touched(drawn, row)} == set(range(40))


def test_nan_is_a_gap_with_a_mark_and_never_a_value() -> None:
    y = [1.0] * 41
    y[20] = math.nan
    drawn = plot([Line.of(range(41), y)], 41, 5)
    assert drawn.nan == [20]
    middle = [row for row in drawn.rows if row.strip()]
    assert len(middle) == 1
    assert middle[0][20] == " "
    assert middle[0].count(" ") <= 2
    assert drawn.y_range[0] > 0.5, "NaN pulled the scale to zero"


def test_infinities_stand_at_the_top_and_the_bottom_and_leave_the_scale_alone() -> None:
    drawn = plot([Line.of([0, 1, 2, 3, 4], [1.0, math.inf, 2.0, -math.inf, 1.5])], 20, 6)
    assert drawn.y_range == (1.0, 2.0)
    assert drawn.rows[0].count("∞") == 1
    assert drawn.rows[-1].count("∞") == 1
    assert INFINITE in drawn.owners[0]
    # Nothing is drawn across an infinite value.
    top = drawn.rows[0].index("∞")
    assert all(row[top] in " ∞" for row in drawn.rows)


def test_a_series_of_nothing_but_nan_is_marked_all_along() -> None:
    drawn = plot([Line.of(range(30), [math.nan] * 30)], 30, 5)
    assert drawn.nan == list(range(30))
    assert not "".join(drawn.rows).strip()


def test_one_spike_does_not_flatten_the_rest_when_outliers_are_clipped() -> None:
    y = 2.0 + np.sin(np.arange(200) / 10)
    y[77] = 1e4
    drawn = plot([Line.of(range(200), y)], 50, 8, clip=True)
    assert drawn.y_range[1] == pytest.approx(3.0, abs=0.1)
    assert drawn.above == 1e4
    arrow = drawn.rows[0].index("↑")
    assert drawn.owners[0, arrow] == OUTSIDE
    assert arrow == drawn.column(77)
    whole = plot([Line.of(range(200), y)], 50, 8)
    assert whole.y_range[1] == 1e4
    assert whole.above is None


def test_the_few_points_of_another_series_are_no_outliers() -> None:
    train = 1.0 + 0.05 * np.sin(np.arange(400))
    drawn = plot(
        [Line.of(range(400), train), Line.of([100, 200, 300], [3.0, 3.5, 4.0])], 60, 8, clip=True
    )
    assert drawn.y_range[1] == 4.0
    assert drawn.above is None


def test_a_series_that_is_nearly_always_the_same_is_not_clipped_away() -> None:
    y = np.zeros(300)
    y[100] = 1.0
    drawn = plot([Line.of(range(300), y)], 60, 8, clip=True)
    assert drawn.y_range == (0.0, 1.0)


def test_a_log_scale_has_decades_and_marks_what_is_not_above_zero() -> None:
    drawn = plot([Line.of([0, 1, 2, 3], [0.0, 0.001, 1.0, 1000.0])], 40, 12, log_y=True)
    assert drawn.y_range == pytest.approx((0.001, 1000.0))
    assert {words for _, words in drawn.y_ticks} <= {
        "0.001", "0.01", "0.1", "1", "10", "100", "1000"
    }  # fmt: skip
    assert len(drawn.y_ticks) >= 3
    assert drawn.rows[-1][0] == "↓"


def test_a_log_scale_of_nothing_above_zero_draws_only_marks() -> None:
    drawn = plot([Line.of([0, 1, 2], [0.0, -1.0, -5.0])], 12, 4, log_y=True)
    assert set("".join(drawn.rows)) == {" ", "↓"}


def test_a_bright_line_lies_on_its_faint_one() -> None:
    drawn = plot([Line.of([0, 1], [0, 0], faint=True), Line.of([0, 1], [0, 0])], 10, 3)
    assert set(drawn.owners[drawn.codes != ord(" ")].tolist()) == {1}


def test_a_faint_line_is_thinner_but_keeps_its_extremes() -> None:
    y = np.tile([0.0, 1.0], 200)
    bright = plot([Line.of(range(400), y)], 40, 6)
    faint = plot([Line.of(range(400), y, faint=True)], 40, 6)
    assert touched(faint, 0) == touched(bright, 0)
    assert touched(faint, -1) == touched(bright, -1)
    assert bright.rows != faint.rows


def test_a_dashed_line_has_pauses() -> None:
    drawn = plot([Line.of([0, 1], [1, 1], dashed=True)], 40, 3)
    row = next(row for row in drawn.rows if row.strip())
    assert " " in row.strip()


def test_a_marker_is_drawn_on_each_of_few_points_and_on_some_of_many() -> None:
    few = "".join(plot([Line.of([0, 5, 10], [0, 1, 0], marker="◆")], 30, 5).rows)
    assert few.count("◆") == 3
    many = "".join(plot([Line.of(range(900), np.zeros(900), marker="◆")], 60, 5).rows)
    assert 1 <= many.count("◆") <= 8


def test_a_zoomed_line_goes_on_to_the_points_beside_the_view() -> None:
    drawn = plot([Line.of([0, 100], [0.0, 1.0])], 40, 5, view=(40.0, 60.0))
    assert {c for row in range(5) for c in touched(drawn, row)} == set(range(40))


@pytest.mark.parametrize(("before", "top_left"), [(1.0, True), (0.0, False), (math.nan, False)])
def test_a_zoomed_line_comes_from_the_height_of_the_point_before_the_view(
    before: float, top_left: bool
) -> None:
    x, y = [0.0, 40.0, 50.0, 60.0, 100.0], [before, 0.0, 1.0, 0.0, 0.0]
    drawn = plot([Line.of(x, y)], 20, 6, view=(20.0, 80.0))
    left = {row for row in range(6) if 0 in touched(drawn, row)}
    assert bool(left - {5}) == top_left
    assert bool(left) == math.isfinite(before)
    assert [row for row in range(6) if 19 in touched(drawn, row)] == [5]


def test_a_column_and_its_x_agree() -> None:
    drawn = plot([Line.of([10, 110], [0, 1])], 50, 4)
    assert all(drawn.column(drawn.x_at(c)) == c for c in range(50))
    assert drawn.column(9.0) is None
    assert drawn.column(110.0) == 49


@pytest.mark.parametrize(
    "values",
    [[], [2.5], [3.0] * 50, [1e300, -1e300, 1e300], [1.7e308, -1.7e308], [5e-324, 1e-320], [0.0],
     [-3.0, -2.0], [1e-30, 2e-30], [1.0, 1.0 + 1e-15], [math.nan], [math.inf], [-math.inf]],
    ids=lambda v: f"{v[:2]}",
)  # fmt: skip
@pytest.mark.parametrize("log_y", [False, True])
def test_any_scale_can_be_drawn(values: list[float], log_y: bool) -> None:
    for size in [(0, 0), (1, 1), (2, 1), (1, 5), (40, 8), (200, 60)]:
        with np.errstate(all="raise", under="ignore"):
            drawn = plot([Line.of(range(len(values)), values)], *size, log_y=log_y, clip=True)
        assert drawn.codes.shape == (size[1], size[0])
        low, high = drawn.y_range
        assert low < high or log_y
    finite = [v for v in values if math.isfinite(v) and (v > 0 or not log_y)]
    assert bool("".join(drawn.rows).strip("∞↓ \n")) == bool(finite)


@given(
    width=st.integers(0, 60),
    height=st.integers(0, 20),
    values=st.lists(ANY_FLOAT, max_size=40),
    log_y=st.booleans(),
    clip=st.booleans(),
    glyphs=st.sampled_from(GLYPH_SETS),
    marker=st.sampled_from(["", "◆"]),
    weight=st.sampled_from([0.0, 0.9]),
)
@example(
    width=1, height=2, values=[5e-324], log_y=False, clip=False, glyphs="braille", marker="",
    weight=0.0,
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_size_and_any_values_give_a_grid_of_that_size(
    width: int,
    height: int,
    values: list[float],
    log_y: bool,
    clip: bool,
    glyphs: GlyphSet,
    marker: str,
    weight: float,
) -> None:
    trace = Trace.of(np.arange(float(len(values))), np.array(values, np.float64), weight)
    lines = [Line(trace, faint=True), Line(trace, smoothed=weight > 0, marker=marker)]
    drawn = plot(lines, width, height, log_y=log_y, clip=clip, glyphs=glyphs)
    assert len(drawn.rows) == height
    assert all(len(row) == width for row in drawn.rows)
    runs = drawn.runs()
    assert ["".join(text for text, _ in row) for row in runs] == drawn.rows
    assert all(0 <= row < height for row, _ in drawn.y_ticks)
    end = 0
    for start, words in drawn.x_ticks():
        assert start >= end
        assert start + len(words) <= width
        end = start + len(words) + 1


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), width=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_the_extremes_always_reach_the_edges(values: list[float], width: int) -> None:
    drawn = plot([Line.of(range(len(values)), values)], width, 6)
    assert drawn.y_range[0] <= min(values)
    assert drawn.y_range[1] >= max(values)
    if max(values) - min(values) > 1e-6:
        highest = drawn.column(float(np.argmax(values)))
        lowest = drawn.column(float(np.argmin(values)))
        assert highest in touched(drawn, 0)
        assert lowest in touched(drawn, -1)


@pytest.mark.parametrize(
    ("environment", "glyphs"),
    [
        ({"LANG": "en_GB.UTF-8", "TERM": "xterm-256color"}, "braille"),
        ({"LC_ALL": "C", "LANG": "en_GB.UTF-8"}, "ascii"),
        ({"LANG": "de_DE.ISO-8859-1"}, "ascii"),
        ({"LANG": "de_DE"}, "ascii"),
        ({}, "braille"),
        ({"LANG": "C"}, "braille"),
        ({"LC_CTYPE": "UTF-8"}, "braille"),
        ({"LANG": "C.utf8", "TERM": "linux"}, "blocks"),
        ({"LANG": "C.utf8", "TERM": "dumb"}, "ascii"),
    ],
)
def test_the_terminal_says_which_glyphs_it_can_show(
    environment: dict[str, str], glyphs: GlyphSet
) -> None:
    assert detect(environment) == glyphs


def test_ascii_glyphs_are_ascii() -> None:
    y = [1.0, 2.0, math.nan, math.inf, -math.inf, 0.0, 1e9]
    drawn = plot([Line.of(range(7), y)], 40, 8, glyphs="ascii", log_y=True, clip=True)
    assert "".join(drawn.rows).isascii()
