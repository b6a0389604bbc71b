"""The device view on a screen: what is seen at each size, and what is painted."""

import time

import pytest
from textual.app import App, ComposeResult
from textual.color import Color

from tests.app.conftest import until
from tuiwb.app.themes import themes
from tuiwb.app.widgets.device_view import DeviceView, as_of
from tuiwb.jobs.events import Device, Gpu, GpuProcess, Host
from tuiwb.train.estimate import MemoryEstimate

GIB = 1 << 30
HOST = Host(cpu=12, memory_used=41 * GIB, memory_total=251 * GIB, disk_free=GIB, disk_total=GIB)
ESTIMATE = MemoryEstimate(
    parts=[],
    low=38 * GIB,
    high=52 * GIB,
    torch_low=0,
    torch_high=0,
    parameters=0,
    trained=0,
    tokens=0,
    notes=[],
)


def a_gpu(index: int = 0, *, mine: bool = True, name: str = "NVIDIA H100 80GB HBM3") -> Gpu:
    return Gpu(
        index=index,
        name=name,
        uuid=f"GPU-{index}",
        memory_total=80 * GIB,
        memory_used=44 * GIB,
        memory_job=41 * GIB if mine else None,
        visible=mine,
        utilisation=97,
        temperature=61,
        power=412,
        processes=[GpuProcess(pid=4211, user="ana", name="python -m tuiwb.jobs.run", job=mine)],
    )


class OneView(App[None]):
    """A device view alone; `height` as CSS."""

    def __init__(self, height: str = "auto") -> None:
        super().__init__()
        self._height = height

    def compose(self) -> ComposeResult:
        view = DeviceView()
        view.styles.height = self._height
        yield view

    def on_mount(self) -> None:
        for theme in themes():
            if not isinstance(theme, str):
                self.register_theme(theme)
        self.theme = "workbench-dark"

    @property
    def view(self) -> DeviceView:
        return self.query_one(DeviceView)

    def seen(self) -> list[str]:
        """The rows that the view shows, as text."""
        rows = range(self.view.size.height)
        return [self.view.render_line(y).text.rstrip() for y in rows]


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
@pytest.mark.parametrize("count", [1, 8])
async def test_every_gpu_is_seen_at_every_size(size: tuple[int, int], count: int) -> None:
    app = OneView()
    async with app.run_test(size=size) as pilot:
        app.view.show(Device(gpus=[a_gpu(n, mine=n == 2) for n in range(count)], host=HOST))
        await pilot.pause()
        rows = app.seen()
        starts = {row.split()[1 if row.startswith("GPU") else 0] for row in rows if row}
        assert {str(n) for n in range(count)} <= starts
        assert any(row.startswith("host") for row in rows)
        assert all(len(row) <= size[0] for row in rows)


async def test_one_gpu_has_its_bar_figures_estimate_and_processes() -> None:
    app = OneView()
    async with app.run_test(size=(120, 36)) as pilot:
        app.view.show(Device(gpus=[a_gpu()], host=HOST), [], ESTIMATE)
        await pilot.pause()
        shown = "\n".join(app.seen())
        for words in ("41.0 this run", "3.0 others", "36.0 free of 80.0 GiB", "estimate 38.0 to"):
            assert words in shown
        assert "▆" in shown
        assert "▒" in shown
        assert "┃" in shown
        assert "python -m tuiwb.jobs.run" in shown


async def test_u_shows_and_hides_the_processes() -> None:
    app = OneView()
    async with app.run_test(size=(120, 36)) as pilot:
        app.view.show(Device(gpus=[a_gpu()], host=HOST))
        await pilot.pause()
        app.view.focus()
        await pilot.press("u")
        assert "tuiwb.jobs.run" not in "\n".join(app.seen())
        await pilot.press("u")
        await until(lambda: "tuiwb.jobs.run" in "\n".join(app.seen()))


async def test_no_gpu_and_no_sample_are_said_plainly() -> None:
    app = OneView()
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.show(None)
        await pilot.pause()
        assert app.seen()[0].startswith("waiting for the first look")
        app.view.show(Device(host=HOST))
        await pilot.pause()
        assert app.seen()[0].startswith("no GPU")


async def test_a_fixed_height_is_filled_and_the_rest_is_reached_by_scrolling() -> None:
    app = OneView(height="4")
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.show(Device(gpus=[a_gpu(n) for n in range(8)], host=HOST))
        await pilot.pause()
        assert app.seen()[0].startswith("0 H100")
        app.view.scroll_end(animate=False)
        await pilot.pause()
        assert app.seen()[-1].lstrip().startswith(("host", "disk"))


async def test_the_same_sample_again_paints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = OneView()
    async with app.run_test(size=(120, 36)) as pilot:
        device = Device(gpus=[a_gpu()], host=HOST)
        app.view.show(device, [], ESTIMATE)
        await pilot.pause()
        painted: list[object] = []
        monkeypatch.setattr(app.view, "refresh", lambda *a, **k: painted.append(a))
        app.view.show(Device(t=5.0, gpus=[a_gpu()], host=HOST), [], ESTIMATE)
        assert painted == []
        changed = a_gpu()
        changed.temperature = 70
        app.view.show(Device(gpus=[changed], host=HOST), [], ESTIMATE)
        assert len(painted) == 1


async def test_ascii_and_hostile_names_stay_plain() -> None:
    app = OneView()
    async with app.run_test(size=(100, 30)) as pilot:
        app.view.glyphs = "ascii"
        app.view.show(Device(gpus=[a_gpu(name="NVIDIA \x1b[31m[red]")], host=HOST), [], ESTIMATE)
        await pilot.pause()
        shown = "\n".join(app.seen())
        assert "\x1b" not in shown
        assert "[red]" in shown
        assert "#" in shown
        assert "▆" not in shown


async def test_a_new_theme_repaints_in_its_colours() -> None:
    app = OneView()
    async with app.run_test(size=(100, 30)) as pilot:
        app.view.show(Device(gpus=[a_gpu()], host=HOST))
        await pilot.pause()

        def bar() -> Color | None:
            for y in range(app.view.size.height):
                for segment in app.view.render_line(y):
                    if "▆" in segment.text and segment.style and segment.style.color:
                        return Color.from_rich_color(segment.style.color)
            return None

        before = bar()
        assert before == Color.parse(app.theme_variables["primary"])
        app.theme = "workbench-light"
        await pilot.pause()
        assert bar() == Color.parse(app.theme_variables["primary"]) != before


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (39, 5), (80, 24)])
async def test_tiny_sizes_and_quick_resizes_do_no_harm(size: tuple[int, int]) -> None:
    app = OneView(height="1fr")
    async with app.run_test(size=size) as pilot:
        app.view.show(Device(gpus=[a_gpu(), Gpu(index=1, problem="lost")], host=HOST), [], ESTIMATE)
        for width, height in ((200, 60), (3, 2), (120, 36)):
            await pilot.resize_terminal(width, height)
        await pilot.pause()
        assert any("lost" in row for row in app.seen())


@pytest.mark.parametrize("height", ["auto", "4", "12"])
async def test_of_a_run_that_ended_it_is_said_when_the_hardware_was_looked_at(height: str) -> None:
    app = OneView(height)
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.query_one(DeviceView)
        sample = Device(t=1_700_000_000.0, gpus=[a_gpu()], host=HOST)
        view.show(sample)
        await pilot.pause()
        assert "as of" not in view.render_line(0).text
        view.show(sample, past=True)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sample.t))
        await until(lambda: f"as of {when}" in view.render_line(0).text)
        assert "H100" in "".join(view.render_line(y).text for y in range(view.size.height))


async def test_processes_are_listed_by_a_key_where_there_is_a_gpu() -> None:
    app = OneView()
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.focus()
        for gpus in ([], [a_gpu()], []):
            app.view.show(Device(gpus=gpus, host=HOST))
            await pilot.pause()
            await until(lambda gpus=gpus: ("u" in app.screen.active_bindings) is bool(gpus))


def test_a_time_that_no_clock_has_is_left_out() -> None:
    assert as_of(1e300) == ""
