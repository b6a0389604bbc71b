"""The Train screen on real job folders: what is shown, which keys are there, what they do."""

import math
from pathlib import Path

import msgspec
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static
from textual.widgets._toast import Toast

from tests.app.conftest import until
from tests.app.runs import START, a_run, add, an_alert
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens import train
from tuiwb.app.screens.dialogs import Ask, Confirm
from tuiwb.app.screens.run_dialogs import ChangeInFlight, ShowText
from tuiwb.app.screens.train import TrainScreen
from tuiwb.app.widgets import run_view
from tuiwb.app.widgets.alerts_view import AlertsView
from tuiwb.app.widgets.chart import Chart
from tuiwb.app.widgets.device_view import DeviceView
from tuiwb.app.widgets.log_view import LogLines
from tuiwb.app.widgets.run_view import RunView
from tuiwb.app.widgets.samples_view import SamplesView
from tuiwb.jobs.control import Command
from tuiwb.jobs.events import Device, Host, Metrics, State
from tuiwb.jobs.folder import CONTROL
from tuiwb.jobs.labels import read_labels
from tuiwb.project import Project


async def on_train(app: WorkbenchApp, pilot: Pilot[None]) -> TrainScreen:
    """Go to the Train screen and wait until it has read the runs."""
    await pilot.press("4")
    await until(lambda: app.current_mode == "train")
    screen = app.screen
    assert isinstance(screen, TrainScreen)
    await until(lambda: screen.runs or not app.jobs)
    await pilot.pause()
    return screen


def words(screen: TrainScreen, name: str) -> str:
    return str(screen.query_one(f"#{name}", Static).render())


def keys(screen: TrainScreen) -> dict[str, str]:
    """The keys that can be pressed now and what they do."""
    return {
        key: active.binding.description
        for key, active in screen.active_bindings.items()
        if active.enabled
    }


def commands(folder: Path) -> list[Command]:
    try:
        lines = (folder / CONTROL).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Command) for line in lines]


async def test_the_only_run_is_opened_with_its_numbers(project: Project) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "step 20/20" in words(screen, "how"))
        assert "finished" in words(screen, "how")
        assert "loss 0.1" in words(screen, "values")
        assert "held-out 0.2" in words(screen, "values")


async def test_the_run_that_is_live_is_opened_and_escape_shows_the_table(project: Project) -> None:
    a_run(project, "old")
    a_run(project, "live", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "live" in words(screen, "how"))
        await until(lambda: "50%" in words(screen, "how"))
        await pilot.press("escape")
        await until(lambda: not screen.is_open)
        assert [run.name for run in screen.table.runs] == ["live", "old"]
        await pilot.press("down", "enter")
        await until(lambda: screen.is_open and "old" in words(screen, "how"))


async def test_new_metrics_appear_without_a_key(project: Project) -> None:
    folder = a_run(project, "live", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "step 10/20" in words(screen, "how"))
        add(folder, [Metrics(step=11, total_steps=20, values={"loss": 0.777})])
        await until(lambda: "loss 0.777" in words(screen, "values"))
        assert "step 11/20" in words(screen, "how")


async def test_a_run_that_nobody_sees_is_not_read_until_it_is_shown_again(
    project: Project,
) -> None:
    folder = a_run(project, "live", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "step 10/20" in words(screen, "how"))
        await pilot.press("1")
        await until(lambda: app.current_mode == "home")
        add(folder, [Metrics(step=11, total_steps=20, values={"loss": 0.777})])
        screen.view.look_now()
        await until(lambda: app.jobs[folder].step == 11)
        assert "step 10/20" in words(screen, "how")
        await pilot.press("4")
        await until(lambda: "step 11/20" in words(screen, "how"))


async def test_another_state_is_painted_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_run(project, "live", "running", steps=10)
    monkeypatch.setattr(run_view, "HEAD_EVERY", math.inf)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "step 10/20" in words(screen, "how"))
        add(folder, [State(state="finished")])
        await until(lambda: "finished" in words(screen, "how"))


async def test_a_thread_that_fails_unforeseen_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(project, "one", "running")
    monkeypatch.setattr(train, "summarise", lambda *_: {}["no such thing"])
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("4")
        await until(lambda: any("no such thing" in told.message for told in app._notifications))


async def test_a_burst_of_keys_does_what_they_do_one_by_one(project: Project) -> None:
    folder = a_run(project, "live", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "i" in keys(screen))
        for key in ("i", "5", "e", "minus", "4", "tab", "5", "0", "enter", "d"):
            character = "-" if key == "minus" else key if len(key) == 1 else None
            app.post_message(events.Key(key, character))
        await until(lambda: commands(folder))
        sent = commands(folder)[0]
        assert (sent.command, sent.args) == ("set", {"learning_rate": 5e-4, "logging_steps": 50})
        await until(lambda: isinstance(app.focused, DeviceView))
        assert app.current_mode == "train"


async def test_a_run_that_rested_and_goes_on_is_looked_at_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_run(project, "one", "cancelled", steps=10, checkpoint=10)
    monkeypatch.setattr(run_view, "AT_REST", math.inf)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "stopped" in words(screen, "how"))
        add(folder, [State(state="running", phase="training")])
        await until(lambda: "training" in words(screen, "how"))


async def test_two_rows_of_charts_and_the_hardware_stand_in_80_by_24(project: Project) -> None:
    host = Host(cpu=50.0, memory_used=1 << 30, memory_total=8 << 30)
    a_run(project, "live", "running", steps=10, more=[Device(host=host)])
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        area = screen.query_one("#wall VerticalScroll")

        def whole() -> list[Chart]:
            return [chart for chart in screen.query(Chart) if chart.region in area.region]

        await until(lambda: screen.is_open and len({chart.region.y for chart in whole()}) >= 2)
        device = screen.query_one(DeviceView)
        assert "memory" in "".join(device.render_line(y).text for y in range(device.size.height))
        await pilot.press("a")
        await until(lambda: screen.query_one("#below").size.height >= 6)
        await pilot.press("z")
        await until(lambda: screen.query_one("#below").size.height >= 15)
        await pilot.press("z", "d")
        await until(lambda: len({chart.region.y for chart in whole()}) >= 2)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_a_run_that_died_says_when_and_why_and_offers_the_resume(
    project: Project, size: tuple[int, int]
) -> None:
    a_run(project, "gone", "died", checkpoint=10, log=b"step 19\nSegmentation fault\n")
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "died" in words(screen, "how"))
        assert "r resumes it from step 10" in words(screen, "why")
        await until(lambda: keys(screen).get("r") == "Resume")
        await pilot.press("a")
        alerts = screen.query_one(AlertsView)
        await until(lambda: alerts.items and "died at step 20" in alerts.items[0].detail.plain)
        assert "Segmentation fault" in alerts.items[0].detail.plain


async def test_a_failed_run_says_why(project: Project) -> None:
    a_run(project, "one", "failed", message="the disk is full: free some space and resume")
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: "the disk is full" in words(screen, "why"))


async def test_a_message_full_of_markup_and_escapes_is_shown_inert(project: Project) -> None:
    a_run(project, "one", "failed", message="[bold]x[/] \x1b[31mred\x1b[0m [@click=app.quit]q[/]")
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: "[bold]x[/]" in words(screen, "why"))
        assert "\x1b" not in words(screen, "why")
        assert "␛[31mred" in words(screen, "why")


async def test_only_the_keys_that_make_sense_are_there(project: Project) -> None:
    a_run(project, "done")
    a_run(project, "paused", "paused", steps=10)
    a_run(project, "trains", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "trains" in words(screen, "how"))
        await until(lambda: keys(screen).get("p") == "Pause")
        assert {"s", "S", "c", "e", "i"} <= set(keys(screen))
        assert "r" not in keys(screen)
        screen.open_run(project.runs / "paused")
        await until(lambda: keys(screen).get("p") == "Go on")
        screen.open_run(project.runs / "done")
        await until(lambda: "finished" in words(screen, "how"))
        await until(lambda: not {"s", "S", "c", "e", "p", "i", "r"} & set(keys(screen)))


async def test_lifecycle_keys_send_their_commands_and_stop_asks_first(project: Project) -> None:
    folder = a_run(project, "live", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and keys(screen).get("s") == "Stop")
        await pilot.press("c", "e", "p")
        await until(lambda: len(commands(folder)) == 3)
        assert {c.command for c in commands(folder)} == {"checkpoint", "evaluate", "pause"}
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("n")
        await until(lambda: app.screen is screen)
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: [c.command for c in commands(folder)][-1] == "stop")


async def test_the_learning_rate_is_changed_in_flight_and_nonsense_is_told(
    project: Project,
) -> None:
    folder = a_run(project, "live", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and keys(screen).get("i") == "Change")
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, ChangeInFlight))
        words = [str(line.render()) for line in app.screen.query(Static)]
        assert (
            words[0] == "learning rate at the schedule's peak; with the schedule it is 0.0001 now"
        )
        await pilot.press(*"fast", "enter")
        line = app.screen.query_one("#problem", Static)
        await until(lambda: "'fast' is no learning rate" in str(line.render()))
        assert commands(folder) == []
        await pilot.press(*("backspace",) * 4, *"2e-5", "tab", "5", "enter")
        await until(lambda: commands(folder))
        assert commands(folder)[0].command == "set"
        assert commands(folder)[0].args == {"learning_rate": 2e-5, "logging_steps": 5}


async def test_the_log_is_inert_wraps_and_a_line_of_10_mb_does_no_harm(project: Project) -> None:
    long = b"x" * 10_000_000
    log = b"first \x1b[31mred\x1b[0m [bold]line\n" + long + b"\nlast line\n"
    a_run(project, "one", log=b"".join([log, *(b"line %d\n" % n for n in range(50))]))
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("L")
        lines = screen.query_one(LogLines)
        await until(lambda: "line 49" in lines.text)
        assert "\x1b" not in lines.text
        assert max(len(line) for line in lines.text.split("\n")) < 5000
        await pilot.press("slash", *"line 4[01]", "enter")
        await until(lambda: lines._here >= 0)
        assert "line 41" in lines.text.split("\n")[lines._here]
        await pilot.press("N")
        await until(lambda: "line 40" in lines.text.split("\n")[lines._here])


async def test_outputs_show_the_completions_newest_first(project: Project) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("O")
        samples = screen.query_one(SamplesView)
        await until(lambda: len(samples.items) == 2)
        assert "hello 20" in samples.items[0].detail.plain
        assert "hello 10" in samples.items[1].detail.plain


async def test_an_alert_shows_evidence_cause_fix_and_enter_shows_it_large(
    project: Project,
) -> None:
    folder = a_run(project, "live", "running", steps=15, more=[an_alert()])
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "! 1 alert" in words(screen, "values"))
        await pilot.press("a")
        alerts = screen.query_one(AlertsView)
        await until(lambda: len(alerts.items) == 1)
        for said in ("jumped from 0.4", "a batch unlike", "max_grad_norm: 0.3", "chats.jsonl:2"):
            assert said in alerts.items[0].detail.plain
        await until(lambda: keys(screen).get("f") == "Fix")
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ShowText))
        await pilot.press("escape")
        add(folder, [an_alert(14, "critical")])
        await until(lambda: len(alerts.items) == 2)
        # Of one rule, the newest stands.
        assert "! 1 alert" in words(screen, "values")


async def test_a_toast_leaves_the_pane_free_that_is_read_in_80_by_24(project: Project) -> None:
    a_run(project, "live", "running", steps=15, more=[an_alert()])
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("a")
        app.notify("a sentence of some length " * 3)
        await until(lambda: screen.query(Toast))
        await until(lambda: screen.query(Toast).last().region.area)
        toast, below = screen.query(Toast).last().region, screen.query_one("#below").region
        head = screen.query_one("#head").region
        assert head.bottom <= toast.y < toast.bottom <= below.y


async def test_tags_notes_and_the_archive_by_key(project: Project) -> None:
    folder = a_run(project, "one")
    a_run(project, "two")
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        assert screen.table.put_cursor_on(folder)
        await pilot.press("t")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press(*"good base", "enter")
        await until(lambda: read_labels(folder).tags == ("base", "good"))
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press(*"slow", "enter")
        await until(lambda: read_labels(folder).note == "slow")
        await until(lambda: "#base #good" in words(screen, "brief"))
        await pilot.press("A")
        await until(lambda: read_labels(folder).archived)
        await until(lambda: [run.name for run in screen.table.runs] == ["two"])
        await pilot.press("H")
        await until(lambda: len(screen.table.runs) == 2)


async def test_the_filter_keeps_what_passes_and_nonsense_is_a_sentence(project: Project) -> None:
    a_run(project, "one")
    a_run(project, "two", "failed", message="no")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: len(screen.table.runs) == 2)
        await pilot.press("slash", *"state:failed", "enter")
        await until(lambda: [run.name for run in screen.table.runs] == ["two"])
        await pilot.press("slash", *"x", "enter")
        await pilot.press("escape")
        await until(lambda: len(screen.table.runs) == 2)
        await pilot.press("slash", *"lozz<1", "enter")
        line = app.screen.query_one("#filter-problem", Static)
        await until(lambda: line.display and "lozz" in str(line.render()))
        field = app.screen.query_one("#filter", Input)
        assert (field.value, app.focused) == ("lozz<1", field)
        assert len(screen.table.runs) == 2
        field.value = "state:failed"
        await until(lambda: not line.display)
        await pilot.press("enter")
        await until(lambda: [run.name for run in screen.table.runs] == ["two"])


async def test_marked_runs_are_compared_and_laid_over_each_other(project: Project) -> None:
    a_run(project, "one", spec={"training": {"learning_rate": 1e-4}})
    a_run(project, "two", spec={"training": {"learning_rate": 2e-4}}, loss=3.0)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: len(screen.table.runs) == 2)
        assert "equals_sign" not in keys(screen)
        await pilot.press("space", "space")
        await until(lambda: "equals_sign" in keys(screen))
        await pilot.press("equals_sign")
        await until(lambda: isinstance(app.screen, ShowText))
        shown = str(app.screen.query_one(Static).render())
        assert "training.learning_rate" in shown
        assert "0.0002" in shown
        assert "stay marked" in str(app.screen.query_one(".dialog").border_subtitle)
        await pilot.press("escape")
        await pilot.press("v")
        await until(lambda: screen.is_open and len(screen.view.overlays) == 1)
        await until(lambda: screen.view.overlays[0].loaded == 1.0)
        assert screen.table.marked == [], "what a key does next is done to the run that is shown"
        await until(lambda: keys(screen).get("v") == "Overlay")
        await pilot.press("v")
        await until(lambda: screen.is_open and not screen.view.overlays)


async def test_a_run_shown_beside_the_table_follows_its_cursor_where_it_is_wide(
    project: Project,
) -> None:
    a_run(project, "one")
    a_run(project, "two", "running", steps=5)
    app = WorkbenchApp(project)
    async with app.run_test(size=(200, 60)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "two" in words(screen, "how"))
        assert screen.query_one("#list").display
        screen.table.focus()
        await pilot.press("down")
        await until(lambda: "one" in words(screen, "how"))
        assert screen.table.has_focus


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (30, 8), (80, 24), (300, 90)])
async def test_every_pane_survives_every_size(project: Project, size: tuple[int, int]) -> None:
    a_run(project, "live", "running", steps=15, more=[an_alert()], log=b"a line\n" * 5)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        for key in "dLOagz":
            await pilot.press(key)
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
        assert isinstance(screen.query_one(RunView), RunView)


async def test_a_run_that_is_removed_meanwhile_closes_its_view(project: Project) -> None:
    import shutil

    folder = a_run(project, "one")
    a_run(project, "two")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        screen.open_run(folder)
        await until(lambda: screen.view.watched is not None and "one" in words(screen, "how"))
        shutil.rmtree(folder)
        await until(lambda: not screen.is_open)


async def test_a_run_that_ends_while_it_is_watched_says_so(project: Project) -> None:
    folder = a_run(project, "live", "running", steps=15)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "training" in words(screen, "how"))
        add(folder, [State(state="finished", t=START + 99)])
        await until(lambda: "finished" in words(screen, "how"))
        await until(lambda: "s" not in keys(screen))
        assert jobs.status(folder).state == "finished"
