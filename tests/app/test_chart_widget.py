"""The chart as a widget: what it paints, when, and what keys and mouse do."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.color import Color
from textual.strip import Strip

from tuiwb.app.themes import themes
from tuiwb.app.widgets.chart import Chart, Curve, Mark
from tuiwb.jobs.events import Metrics
from tuiwb.monitor.series import RunSeries, Series


def series_of(values: Iterable[float], name: str = "loss", first: int = 0) -> Series:
    """A series with one value per step."""
    run = RunSeries()
    run.add(Metrics(t=1.0, step=first + n, values={name: v}) for n, v in enumerate(values))
    return run.get(name)


class OneChart(App[None]):
    """Nothing but a chart; counts how often it was drawn and what it said."""

    def __init__(self, theme: str = "textual-dark") -> None:
        super().__init__()
        for own in themes():
            if not isinstance(own, str):
                self.register_theme(own)
        self.theme = theme
        self.said: list[tuple[str, object]] = []

    def compose(self) -> ComposeResult:
        yield Chart("loss", id="chart")

    @property
    def chart(self) -> Chart:
        """The chart."""
        return self.query_one(Chart)

    @property
    def lines(self) -> list[str]:
        """What the chart shows."""
        chart = self.chart
        return [chart.render_line(y).text for y in range(chart.size.height)]

    def on_chart_zoomed(self, event: Chart.Zoomed) -> None:
        """Remember it."""
        self.said.append(("zoomed", event.view))

    def on_chart_pointed(self, event: Chart.Pointed) -> None:
        """Remember it."""
        self.said.append(("pointed", event.x))


RAMP = [2.0 - n / 100 for n in range(101)]


async def test_the_title_reads_the_newest_value_and_the_axes_say_where() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([Curve("train", series_of(RAMP))], [Mark(50, "checkpoint")])
        await pilot.pause()
        assert app.lines[0].startswith("─ loss  1 ──")
        assert app.lines[-2].count("▲") == 1
        assert app.lines[-1].split() == ["0", "20", "40", "60", "80", "100"]
        assert all(len(line) == 60 for line in app.lines)


async def test_nothing_is_painted_when_nothing_changed() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        run = RunSeries()
        run.add(Metrics(t=1.0, step=n, values={"loss": v}) for n, v in enumerate(RAMP))
        app.chart.show([Curve("train", run.get("loss"))])
        await pilot.pause()
        drawn: list[object] = []
        refresh = app.chart.refresh
        app.chart.refresh = lambda *a, **k: drawn.append(a) or refresh(*a, **k)  # type: ignore
        app.chart.show([Curve("train", run.get("loss"))])
        app.chart.log_y = False
        app.chart.view = None
        app.chart.crosshair = None
        await pilot.pause()
        assert drawn == []
        run.add([Metrics(t=2.0, step=500, values={"loss": 0.5})])
        app.chart.show([Curve("train", run.get("loss"))])
        assert len(drawn) == 1
        await pilot.pause()
        assert "0.5" in app.lines[0]


async def test_keys_zoom_pan_and_show_all_again() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([Curve("train", series_of(RAMP))])
        app.chart.focus()
        whole = app.lines
        await pilot.press("plus")
        assert app.chart.view == (25.0, 75.0)
        assert app.lines[1:] != whole[1:]
        await pilot.press("l")
        assert app.chart.view == (37.5, 87.5)
        await pilot.press("h", "h")
        assert app.chart.view == (12.5, 62.5)
        await pilot.press("minus")
        assert app.chart.view is None
        assert app.lines == whole
        await pilot.press("plus", "plus", "0")
        assert app.chart.view is None
        assert app.said[-1] == ("zoomed", None)


async def test_the_view_follows_the_tail() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        run = RunSeries()
        run.add(Metrics(t=1.0, step=n, values={"loss": 1.0}) for n in range(101))
        app.chart.show([Curve("train", run.get("loss"))])
        app.chart.focus()
        await pilot.press("plus", "end")
        assert app.chart.view == (50.0, 100.0)
        run.add([Metrics(t=2.0, step=200, values={"loss": 1.0})])
        app.chart.show([Curve("train", run.get("loss"))])
        assert app.chart.view == (150.0, 200.0)
        await pilot.press("h")
        run.add([Metrics(t=2.0, step=300, values={"loss": 1.0})])
        app.chart.show([Curve("train", run.get("loss"))])
        assert app.chart.view == (137.5, 187.5)


async def test_the_crosshair_reads_values_at_its_step() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([Curve("train", series_of(RAMP))])
        app.chart.focus()
        await pilot.pause()
        await pilot.press("left")
        assert app.chart.crosshair == 100.0
        await pilot.press("shift+left")
        x = app.chart.crosshair
        assert x is not None
        assert 70 < x < 90
        assert f"{2.0 - x / 100:.4g}" in app.lines[0]
        assert f" {x:.0f} " in app.lines[-1]
        assert any("│" in line[5:] for line in app.lines[1:-2])
        await pilot.press("escape")
        assert app.chart.crosshair is None
        assert app.said[-1] == ("pointed", None)


async def test_a_crosshair_on_few_points_goes_from_point_to_point() -> None:
    app = OneChart()
    async with app.run_test(size=(80, 12)) as pilot:
        app.chart.show([Curve("held-out", series_of([3, 2, 1, 5]), marker="◆")])
        app.chart.focus()
        await pilot.pause()
        await pilot.press("left", "left", "left")
        assert app.chart.crosshair == 1.0
        await pilot.press("right")
        assert app.chart.crosshair == 2.0


async def test_the_wheel_zooms_at_the_pointer_a_drag_pans_and_a_click_points() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([Curve("train", series_of(RAMP))])
        await pilot.pause()
        under = app.chart._x_under(20)
        await pilot._post_mouse_events(  # type: ignore[attr-defined]
            [events.MouseScrollUp] * 3, Chart, offset=(20, 5), button=0
        )
        view = app.chart.view
        assert view is not None
        assert view[1] - view[0] == pytest.approx(100 / 1.25**3)
        assert app.chart._x_under(20) == pytest.approx(under, abs=0.5)
        await pilot.mouse_down(Chart, offset=(30, 5))
        await pilot.hover(Chart, offset=(20, 5))
        await pilot.mouse_up(Chart, offset=(20, 5))
        moved = app.chart.view
        assert moved is not None
        assert moved[0] > view[0]
        assert app.chart.crosshair is None
        await pilot.click(Chart, offset=(40, 5))
        assert app.chart.crosshair is not None
        assert app.chart.crosshair == pytest.approx(app.chart._x_under(40), abs=1)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (10, 3), (12, 4), (20, 5), (30, 6), (300, 90)])
async def test_any_size_can_be_shown_and_pointed_at(size: tuple[int, int]) -> None:
    app = OneChart()
    async with app.run_test(size=size) as pilot:
        values = [1.0, math.nan, math.inf, -math.inf, 3.0, 0.0]
        app.chart.show(
            [Curve("train", series_of(values)), Curve("b", series_of([], "x"))], [Mark(2, "alert")]
        )
        app.chart.focus()
        app.chart.log_y = True
        await pilot.pause()
        await pilot.press("left", "plus", "left", "y")
        await pilot.pause()
        assert [len(line) for line in app.lines] == [size[0]] * size[1]


async def test_a_title_never_cuts_a_value_it_leaves_out_what_does_not_fit() -> None:
    curves = [
        Curve(f"a long name {chr(97 + n)}", series_of([1.2345 + n], f"m{n}"), dashed=bool(n))
        for n in range(4)
    ]
    for width in range(8, 120, 10):
        app = OneChart()
        async with app.run_test(size=(width, 10)) as pilot:
            app.chart.show(curves)
            await pilot.pause()
            title = app.lines[0]
            told = [w for w in title.split() if w[0].isdigit()]
            assert all(len(w) == 5 and w[1:4] == ".23" for w in told), title
            if told:
                # The curve on top is the one that stays longest.
                assert told[0].startswith("4.23")
            if width > 100:
                assert len(told) == 4


async def test_hostile_names_are_shown_inert() -> None:
    app = OneChart()
    async with app.run_test(size=(80, 10)) as pilot:
        app.chart.title = "[red]re\x1b[31mward[/]\n"
        app.chart.show([Curve("a[b]\x1b", series_of([1, 2])), Curve("c", series_of([1, 2], "c"))])
        await pilot.pause()
        text = "".join(app.lines)
        assert "\x1b" not in text
        assert "\n" not in text
        assert "[red]" in text


@pytest.mark.parametrize(
    "theme", ["workbench-dark", "workbench-light", "high-contrast", "ansi-dark"]
)
async def test_every_theme_has_colours_for_a_chart(theme: str) -> None:
    app = OneChart(theme)
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.smoothing = 0.6
        app.chart.show(
            [Curve("train", series_of(RAMP)), Curve("b", series_of(RAMP, "b"), "accent")]
        )
        await pilot.pause()
        before = [s.style for s in app.chart.render_line(4)]
        assert len({str(style.color) for style in before if style}) >= 2
        app.theme = "textual-light"
        await pilot.pause()
        assert [s.style for s in app.chart.render_line(4)] != before


async def test_a_style_that_is_given_once_it_is_painted_is_painted_too() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([Curve("train", series_of(RAMP))])
        await pilot.pause()

        def strips() -> list[Strip]:
            return app.chart.render_lines(app.chart.size.region)

        assert strips()[0].text.startswith("─ loss")
        red = Color.parse("red").rich_color
        assert not [s for s in strips()[4] if s.style and s.style.bgcolor == red]
        app.screen.styles.background = "red"
        await pilot.pause()
        assert {s.style.bgcolor for s in strips()[4] if s.style} == {red}
        app.chart.styles.border = ("heavy", "blue")
        await pilot.pause()
        assert app.chart.render_lines(app.chart.outer_size.region)[0].text == f"┏{'━' * 58}┓"


async def painted(theme: str, *, ansi: bool | None = None) -> list[Style]:
    """The styles of all that a chart with two curves, a mark and a crosshair puts out."""
    app = OneChart(theme)
    async with app.run_test(size=(60, 12)) as pilot:
        app.ansi_color = ansi
        app.chart.smoothing, app.chart.crosshair = 0.6, 50.0
        curves = [Curve("train", series_of(RAMP)), Curve("b", series_of(RAMP, "b"), "accent")]
        app.chart.show(curves, [Mark(20.0, "alert")])
        await pilot.pause()
        strips = app.chart.render_lines(app.chart.size.region)
        return [style for strip in strips for _, style, _ in strip if style is not None]


async def test_an_ansi_theme_that_is_to_be_in_full_colour_leaves_none_to_the_terminal() -> None:
    def left_to_it(styles: list[Style]) -> list[Style]:
        return [
            s for s in styles if s.dim or any(c and not c.triplet for c in (s.color, s.bgcolor))
        ]

    assert left_to_it(await painted("ansi-dark"))
    assert not left_to_it(await painted("ansi-dark", ansi=False))


async def test_without_colour_a_chart_is_grey(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def coloured(styles: list[Style]) -> list[Style]:
        triplets = [(s, c.triplet) for s in styles for c in (s.color, s.bgcolor) if c and c.triplet]
        return [style for style, triplet in triplets if len(set(triplet)) > 1]

    assert coloured(await painted("workbench-dark"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(await painted("workbench-dark"))


async def test_ascii_glyphs_make_a_chart_of_ascii_alone() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.glyphs = "ascii"
        app.chart.current = True
        values = [*RAMP, math.nan, math.inf]
        app.chart.show([Curve("t", series_of(values)), Curve("h", series_of([1], "h"), marker="◆")])
        app.chart.crosshair = 50.0
        await pilot.pause()
        assert "".join(app.lines).isascii(), app.lines


async def test_a_chart_without_values_says_that_it_waits() -> None:
    app = OneChart()
    async with app.run_test(size=(60, 12)) as pilot:
        app.chart.show([Curve("train", Series())])
        await pilot.pause()
        assert any("waiting for the first values" in line for line in app.lines)


async def test_x_may_be_a_function_and_is_asked_only_when_drawn() -> None:
    app = OneChart()
    asked: list[int] = []
    async with app.run_test(size=(60, 12)) as pilot:
        series = series_of(RAMP)

        def x() -> np.ndarray:
            asked.append(1)
            return np.arange(101.0) * 60

        app.chart.axis = "time"
        app.chart.show([Curve("train", series, x=x)])
        await pilot.pause()
        before = len(asked)
        for _ in range(50):
            app.chart.show([Curve("train", series, x=x)])
        await pilot.pause()
        assert len(asked) == before
        assert "1h" in app.lines[-1]
