"""`tuiwb watch`: one screen, any run, no project."""

import json
import time
from pathlib import Path

import pytest
from textual.widgets import Static

from tests.app.conftest import until
from tests.app.runs import a_run, add, an_alert
from tuiwb.app.screens.help import HelpScreen
from tuiwb.app.watch_app import WatchApp
from tuiwb.app.widgets.chart_wall import ChartWall
from tuiwb.app.widgets.device_view import DeviceView
from tuiwb.app.widgets.run_view import RunView
from tuiwb.jobs.events import Metrics
from tuiwb.monitor.watched import open_watched
from tuiwb.project import Project


def words(app: WatchApp, name: str) -> str:
    return str(app.screen_stack[0].query_one(f"#{name}", Static).render())


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_a_job_folder_is_watched_as_it_grows(project: Project, size: tuple[int, int]) -> None:
    folder = a_run(project, "one", "running", steps=10)
    app = WatchApp(open_watched(folder))
    async with app.run_test(size=size):
        await until(lambda: "step 10/20" in words(app, "how"))
        add(folder, [Metrics(step=11, total_steps=20, values={"loss": 0.777})])
        await until(lambda: "loss 0.777" in words(app, "values"))


async def test_keys_without_end_hold_a_runs_news_up_for_a_moment_only(project: Project) -> None:
    folder = a_run(project, "one", "running", steps=10)
    app = WatchApp(open_watched(folder))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: "step 10/20" in words(app, "how"))
        view = app.screen.query_one(RunView)
        await until(lambda: view.query_one(ChartWall).settled)
        app.last_input = time.monotonic() + 600
        add(folder, [Metrics(step=11, total_steps=20, values={"loss": 0.777})])
        await until(lambda: "loss 0.777" in words(app, "values"))
        chart = view.query_one(ChartWall).chart("loss")
        await until(lambda: "0.777" in chart.render_line(0).text)
        assert app.last_input > time.monotonic()  # they still come
        await pilot.pause()


async def test_its_commands_work_without_a_project_but_nothing_that_needs_one(
    project: Project,
) -> None:
    folder = a_run(project, "one", "running", steps=10)
    app = WatchApp(open_watched(folder))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "s" in app.screen.active_bindings)
        assert "R" not in app.screen.active_bindings
        await pilot.press("c")
        await until((folder / "control.jsonl").is_file)


async def test_a_trainers_own_folder_can_only_be_looked_at(tmp_path: Path) -> None:
    history = [{"step": n, "epoch": n / 10, "loss": 1 / n} for n in range(1, 11)]
    state = {"log_history": history, "global_step": 10, "max_steps": 20, "epoch": 1.0}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    app = WatchApp(open_watched(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "step 10" in words(app, "how"))
        assert not {"s", "c", "e", "p", "r"} & set(app.screen.active_bindings)
        device = app.screen.query_one(DeviceView)
        await until(lambda: "not recorded by this trainer" in device.render_line(0).text)
        for key, pane, nothing in (
            ("L", "log", ""),
            ("O", "samples", "not recorded by this trainer"),
            ("a", "alerts", "not checked: rules run on tuiwb's own runs only"),
            ("g", "recovery", "not offered: it looks at what tuiwb's own runs keep"),
        ):
            await pilot.press(key)
            await until(lambda pane=pane: app.screen.query_one(f"#{pane}").display)
            if nothing:
                said = app.screen.query_one(f"#{pane} #nothing", Static)
                await until(lambda said=said, nothing=nothing: str(said.render()) == nothing)
                assert said.display
        assert isinstance(app.screen.query_one(RunView), RunView)


async def test_help_opens_and_q_quits(project: Project) -> None:
    app = WatchApp(open_watched(a_run(project, "one")))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, HelpScreen))
        await pilot.press("q")
        await until(lambda: app._exit)


async def test_what_was_told_of_a_run_is_not_told_again_but_what_came_while_away_is(
    project: Project,
) -> None:
    folder = a_run(project, "one", "running", steps=10)

    async def opened() -> list[str]:
        app = WatchApp(open_watched(folder))
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: "step 10/20" in words(app, "how"))
            app._tell()
            await pilot.pause()
            return [told.title for told in app._notifications]

    assert await opened() == []
    add(folder, [an_alert(9)])
    assert await opened() == ["one: loss spike"]
    assert await opened() == []
