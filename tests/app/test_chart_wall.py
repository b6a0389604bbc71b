"""The wall of charts: which charts, where, one zoom and one crosshair for all, what is kept."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from tests.app.conftest import until
from tuiwb.app.widgets.chart import Chart
from tuiwb.app.widgets.chart_menu import ChartMenu
from tuiwb.app.widgets.chart_wall import ChartWall, Overlay
from tuiwb.jobs.events import Alert, AnyEvent, Artifact, Metrics
from tuiwb.monitor.layout import read_layout
from tuiwb.monitor.series import RunSeries


def events_of(steps: int, start: float = 1e9, best: float = 1.0) -> Iterable[AnyEvent]:
    """A preference run: 14 metrics, held-out losses, a checkpoint, an alert."""
    for step in range(1, steps + 1):
        at = {"t": start + step * 10, "step": step, "epoch": step / 50}
        yield Metrics(
            **at,
            values={
                "loss": best + 1 / step,
                "learning_rate": 2e-4 * (1 - step / steps),
                "grad_norm": 1.0 + (step % 7) / 10,
                "num_tokens": 1000.0 * step,
                "entropy": 1.5,
                "rewards/chosen": step / 100,
                "rewards/rejected": -step / 100,
                "rewards/margins": step / 50,
                "logps/chosen": -100.0,
                "my_own": math.nan if step == 5 else 3.0,
            },
        )
        if step % 25 == 0:
            yield Metrics(**at, values={"eval_loss": best + 1.5 / step, "eval_runtime": 3.0})
            yield Artifact(t=1, kind="checkpoint", path="x", step=step)
    yield Alert(t=1, rule="spike", severity="warning", evidence="", step=40)


def run_of(steps: int = 100, best: float = 1.0) -> RunSeries:
    """Those events as series."""
    series = RunSeries()
    series.add(events_of(steps, best=best))
    return series


class WallApp(App[None]):
    """A wall, and a key of the screen's own behind it."""

    BINDINGS = [Binding("escape", "left", "Back")]

    def __init__(self, layout_file: Path | None = None) -> None:
        super().__init__()
        self.layout_file = layout_file
        self.left = 0

    def compose(self) -> ComposeResult:
        yield ChartWall(self.layout_file, id="wall")

    def on_mount(self) -> None:
        """Keys go to the wall."""
        self.wall.focus()

    def action_left(self) -> None:
        """What escape does here once the wall has nothing to take back."""
        self.left += 1

    @property
    def wall(self) -> ChartWall:
        """The wall."""
        return self.screen_stack[0].query_one(ChartWall)

    @property
    def titles(self) -> list[str]:
        """Titles of the charts that can be seen, from the top left on."""
        charts = [c for c in self.screen_stack[0].query(Chart) if c.display]
        return [c.title for c in sorted(charts, key=lambda c: (c.region.y, c.region.x))]

    @property
    def line(self) -> str:
        """The line below the charts."""
        return str(self.screen_stack[0].query_one("#signs", Static).content)


async def shown(app: WallApp, pilot: object, series: RunSeries, **more: object) -> None:
    """Show the run and wait until the charts stand."""
    app.wall.show("mine", series, **more)  # type: ignore[arg-type]
    await until(lambda: len(app.titles) > 0 and all(c.size for c in app.query(Chart) if c.display))
    await pilot.pause()  # type: ignore[attr-defined]
    await until(lambda: app.wall.settled)


async def test_every_metric_has_a_chart_in_the_field_s_order_and_words() -> None:
    app = WallApp()
    async with app.run_test(size=(200, 60)) as pilot:
        await shown(app, pilot, run_of())
        assert app.titles == [
            "loss", "learning rate", "gradient norm", "entropy", "reward margin",
            "reward of chosen", "reward of rejected", "log-probability of chosen", "my_own",
            "tokens seen", "seconds to evaluate",
        ]  # fmt: skip
        loss = app.wall.chart("loss").render_line(0).text
        assert "train 1.01" in loss
        assert "held-out 1.015" in loss
        assert "▲ checkpoint" in app.line
        assert "! alert" in app.line


async def test_the_first_values_of_a_run_have_whole_charts_and_figures_of_the_whole_run_none() -> (
    None
):
    series = RunSeries()
    app = WallApp()
    async with app.run_test(size=(80, 16)) as pilot:
        app.wall.show("mine", series, live=True)
        await until(lambda: app.wall.query_one("#nothing").display)
        values = dict.fromkeys(("loss", "grad_norm", "learning_rate", "entropy"), 1.0)
        series.add([Metrics(t=1e9, step=1, values=values)])
        app.wall.show("mine", series, live=True)
        await until(lambda: app.wall.settled and app.wall.chart("loss").size.height >= 7)
        assert app.titles[:2] == ["loss", "learning rate"]
        ends = {"train_loss": 0.9, "train_runtime": 40.0, "train_samples_per_second": 3.0}
        series.add([Metrics(t=1e9 + 9, step=2, values=ends)])
        await shown(app, pilot, series)
        assert sorted(app.titles) == ["entropy", "gradient norm", "learning rate", "loss"]
        # Others log a curve by that name.
        series.add([Metrics(t=1e9 + 10, step=3, values={"train_loss": 0.8})])
        app.wall.show("mine", series)
        await until(lambda: "mean loss of the run" in app.titles)
        alone = RunSeries()
        alone.add([Metrics(t=1e9, step=2, values=ends)])
        app.wall.show("other", alone)
        await until(lambda: "training samples/s" in app.titles)


async def test_a_learning_rate_changed_by_hand_is_shown_whole_where_a_measured_spike_is_cut() -> (
    None
):
    series = RunSeries()
    for step in range(1, 201):
        far = 0.01 if 188 <= step < 194 else 0.001 + 1e-6 * step
        values = {"learning_rate": far, "grad_norm": far, "num_tokens": far, "lr-AdamW": far}
        series.add([Metrics(t=1e9 + step, step=step, values=values)])
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, series)

        def drawn(key: str) -> str:
            chart = app.wall.chart(key)
            return "\n".join(chart.render_line(y).text for y in range(1, chart.size.height))

        assert "↑" in drawn("grad_norm")
        for key in ("learning_rate", "num_tokens", "lr-AdamW"):
            assert "↑" not in drawn(key)
            assert "0.01" in drawn(key)


@pytest.mark.parametrize(("size", "columns", "rows"), [((80, 24), 2, 2), ((120, 36), 3, 4)])
async def test_charts_fill_the_wall_and_none_is_wider_than_it(
    size: tuple[int, int], columns: int, rows: int
) -> None:
    app = WallApp()
    async with app.run_test(size=size) as pilot:
        await shown(app, pilot, run_of())
        charts = [c for c in app.query(Chart) if c.display]
        assert len({c.region.x for c in charts}) == columns
        whole = [c for c in charts if c.region.bottom <= size[1] - 1]
        assert len({c.region.y for c in whole}) == rows
        assert all(c.region.right <= size[0] for c in charts)
        assert app.wall.chart("loss").region.width > size[0] - 3
        assert all(c.size.height >= 8 for c in charts)


async def test_zoom_and_crosshair_are_those_of_all_charts() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("plus", "left", "shift+left")
        await until(lambda: app.wall.settled)
        charts = [c for c in app.query(Chart) if c.display]
        assert {c.view for c in charts} == {app.wall.view}
        assert app.wall.view is not None
        x = app.wall.crosshair
        assert x is not None
        assert {c.crosshair for c in charts} == {x}
        assert f"{1 + 1 / x:.4g}" in app.wall.chart("loss").render_line(0).text
        assert f"{x / 50:.4g}" in app.wall.chart("rewards/margins").render_line(0).text
        await pilot.press("0")
        await until(lambda: {c.view for c in charts} == {None})
        await pilot.press("escape")
        await until(lambda: {c.crosshair for c in charts} == {None})
        assert app.left == 0
        await pilot.press("escape")
        assert app.left == 1


async def test_a_click_on_a_chart_points_in_all_and_makes_it_current() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.click(app.wall.chart("grad_norm"), offset=(20, 3))
        await pilot.pause()
        assert app.wall.current == "grad_norm"
        assert app.wall.chart("loss").crosshair == app.wall.crosshair is not None
        assert [c.title for c in app.query(Chart) if c.current] == ["gradient norm"]


async def test_a_live_run_is_followed_at_its_tail_until_one_looks_elsewhere() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        series = run_of(100)
        await shown(app, pilot, series)
        await pilot.press("plus", "end")
        assert app.wall.view is not None
        assert app.wall.view[1] == 100
        series.add(Metrics(t=2e9, step=n, values={"loss": 0.5}) for n in range(101, 151))
        app.wall.show("mine", series, live=True)
        assert app.wall.view[1] == 150
        await until(lambda: app.wall.chart("grad_norm").view == app.wall.view)
        await pilot.press("h")
        view = app.wall.view
        series.add(Metrics(t=2e9, step=n, values={"loss": 0.5}) for n in range(151, 201))
        app.wall.show("mine", series, live=True)
        assert app.wall.view == view


async def test_what_is_arranged_is_kept_for_the_next_launch(tmp_path: Path) -> None:
    path = tmp_path / ".tuiwb" / "charts.json"
    app = WallApp(path)
    async with app.run_test(size=(120, 60)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("j", "j", "asterisk")
        await pilot.press("y", "m", "o")
        await pilot.press("j", "backspace")
        await pilot.pause()
        assert app.titles[0] == "gradient norm"
        titles = app.titles
        assert len(titles) == 10
        assert app.wall.chart("grad_norm").log_y
        await until(lambda: read_layout(path) == app.wall.arranged)  # before the program ends
    again = WallApp(path)
    async with again.run_test(size=(120, 60)) as pilot:
        await shown(again, pilot, run_of())
        assert again.titles == titles
        assert again.wall.chart("grad_norm").log_y
        assert again.wall.chart("grad_norm").smoothing == read_layout(path).smoothing == 0.9
        assert "10 of 11 charts" in again.line


async def test_what_the_last_key_before_leaving_arranged_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "charts.json"
    app = WallApp(path)
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, run_of())
        app.wall.action_log_y()
        app.exit()
    assert read_layout(path).log_y == {"loss"}


async def test_charts_are_moved_on_the_wall() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("j", "greater_than_sign")
        await pilot.pause()
        assert app.titles[:3] == ["loss", "gradient norm", "learning rate"]
        assert app.wall.current == "learning_rate"
        await pilot.press("less_than_sign", "less_than_sign")
        await pilot.pause()
        assert app.titles[:3] == ["learning rate", "loss", "gradient norm"]


async def test_the_filter_leaves_the_charts_whose_names_match() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("slash", *"reward", "enter")
        await pilot.pause()
        assert sorted(app.titles) == ["reward margin", "reward of chosen", "reward of rejected"]
        assert "/reward: 3 of 11 charts" in app.line
        assert app.wall.has_focus
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.titles) == 11
        await pilot.press("slash", *"zz")
        await pilot.pause()
        assert app.titles == []
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.titles) == 11
        assert app.left == 0


async def test_one_chart_enlarged_takes_the_whole_wall() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("j", "enter")
        await pilot.pause()
        assert app.titles == ["learning rate"]
        assert app.wall.chart("learning_rate").size.height >= 34
        await pilot.press("j")
        await pilot.pause()
        assert app.titles == ["gradient norm"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.titles) == 11


async def test_the_current_chart_is_always_in_view() -> None:
    app = WallApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(app, pilot, run_of())
        for _ in range(12):
            await pilot.press("down")
        await pilot.pause()
        last = app.wall.chart(app.wall.current)
        assert app.wall.current == "runtime"
        await until(lambda: app.wall.region.contains_region(last.region))
        for _ in range(12):
            await pilot.press("up")
        assert app.wall.current == "loss"


async def test_the_list_of_charts_shows_hides_pins_and_moves() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 60)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("w")
        assert isinstance(app.screen, ChartMenu)
        await pilot.press("space", "down", "down", "asterisk", "enter")
        await pilot.pause()
        assert app.titles[0] == "gradient norm"
        assert "loss" not in app.titles
        await pilot.press("w", "u", "a", "escape")
        await pilot.pause()
        assert "loss" not in app.titles
        await pilot.press("w", "u", "enter")
        await pilot.pause()
        assert app.titles[0] == "loss"


async def test_the_x_axis_goes_through_what_the_run_tells() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("x")
        await pilot.pause()
        loss = app.wall.chart("loss")
        assert loss.axis == "tokens"
        assert loss.extent == (1000.0, 100_000.0)
        assert "60k" in loss.render_line(loss.size.height - 1).text
        await pilot.press("x")
        await pilot.pause()
        assert loss.extent == (0.02, 2.0)
        await pilot.press("x")
        await pilot.pause()
        assert loss.axis == "time"
        assert "10m" in loss.render_line(loss.size.height - 1).text
        assert "▲" in loss.render_line(loss.size.height - 2).text
        await pilot.press("x")
        assert loss.axis == "step"


async def test_other_runs_lie_over_it_by_step_and_by_time_since_their_own_start() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        other = RunSeries()
        other.add(events_of(50, start=5e9, best=2.0))
        await shown(app, pilot, run_of(), overlays=[Overlay("theirs", other)])
        loss = app.wall.chart("loss")
        title = loss.render_line(0).text
        assert "mine 1.01" in title
        assert "theirs 2.02" in title
        assert "a theirs" in app.line
        text = "".join(loss.render_line(y).text for y in range(1, loss.size.height - 2))
        assert "a" in text
        await pilot.press("x", "x", "x")
        await pilot.pause()
        assert loss.axis == "time"
        assert loss.extent is not None
        assert loss.extent[1] < 1001


async def test_nothing_is_painted_when_nothing_changed() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        series = run_of()
        await shown(app, pilot, series)
        painted: list[str] = []
        for chart in app.query(Chart):
            refresh = chart.refresh

            def noted(*a: object, chart: Chart = chart, refresh=refresh, **k: object) -> object:  # type: ignore[no-untyped-def]
                painted.append(chart.title)
                return refresh(*a, **k)

            chart.refresh = noted  # type: ignore[method-assign,assignment]
        for _ in range(5):
            app.wall.show("mine", series, live=True)
            await pilot.pause()
        assert painted == []
        series.add([Metrics(t=2e9, step=101, values={"loss": 0.5})])
        app.wall.show("mine", series, live=True)
        await pilot.pause()
        assert "loss" in painted


async def test_another_run_takes_the_place_of_the_first() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await shown(app, pilot, run_of())
        await pilot.press("plus", "left")
        small = RunSeries()
        small.add([Metrics(t=1, step=1, values={"loss": 4.5, "kl": 0.1})])
        app.wall.show("small", small)
        await pilot.pause()
        await until(lambda: app.titles == ["loss", "KL divergence"])
        assert "4.5" in app.wall.chart("loss").render_line(0).text
        assert app.wall.view is None
        assert app.wall.crosshair is None
        app.wall.show("empty", RunSeries())
        await pilot.pause()
        await until(lambda: app.titles == [])


async def test_the_line_explains_only_the_signs_that_there_are() -> None:
    app = WallApp()
    async with app.run_test(size=(120, 36)) as pilot:
        series = RunSeries()
        app.wall.show("mine", series, live=True)
        await until(lambda: "first values" in str(app.query_one("#nothing", Static).content))
        series.add([Metrics(step=1, values={"loss": 1.0}), Metrics(step=2, values={"loss": 0.9})])
        await shown(app, pilot, series)
        assert "NaN" not in app.line
        series.add([Metrics(step=3, values={"loss": math.nan})])
        app.wall.show("mine", series)
        await until(lambda: "NaN" in app.line)
