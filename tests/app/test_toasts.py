"""Toasts stay as long as they take to read; escape takes them away before it does anything else."""

from textual.widgets import Input
from textual.widgets._toast import Toast

from tests.app.conftest import until
from tests.app.runs import a_run, add
from tests.app.test_train_screen import commands, keys, on_train
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.toasts import seconds_to_read
from tuiwb.jobs.events import Control
from tuiwb.project import Project


async def test_escape_takes_toasts_away_and_only_then_closes_the_run(project: Project) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        app.notify("a first thing", timeout=600)
        app.notify("a second thing, " * 6, title="Of several lines", timeout=600)
        await until(lambda: [toast.region.height for toast in screen.query(Toast)] == [1, 4])
        assert all(toast.region.bottom < 24 for toast in screen.query(Toast))
        app.notify("a first thing", timeout=600)  # the same again stands there once
        await until(lambda: [toast.region.height for toast in screen.query(Toast)] == [4, 1])
        await pilot.press("escape")
        await until(lambda: not screen.query(Toast))
        assert screen.is_open
        await pilot.press("escape")
        await until(lambda: not screen.is_open)


async def test_the_answer_of_a_run_takes_the_place_of_the_toast_that_said_what_was_asked(
    project: Project,
) -> None:
    folder = a_run(project, "one", "paused", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and keys(screen).get("p") == "Go on")
        app.notify("something else")

        def said() -> list[str]:
            return [toast.message for toast in app._notifications]

        await pilot.press("p")
        await until(lambda: said() == ["something else", "one goes on"])
        await until(lambda: [c.command for c in commands(folder)] == ["resume"])
        await until(lambda: bool(screen.view._sent))
        asked = commands(folder)[0]
        note = "going on after step 10"
        add(folder, [Control(id=asked.id, command="resume", note=note)])
        await until(lambda: said() == ["something else", f"one, resume: {note}"])


async def test_in_a_dialog_escape_is_the_dialogs(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        told: list[str | None] = []
        app.push_screen(Ask("Which?", str), told.append)
        await until(lambda: app.screen.query(Input))
        app.notify("meanwhile")
        await pilot.press("escape")
        await until(lambda: told == [None])
        assert len(app._notifications) == 1


def test_longer_words_stay_longer() -> None:
    assert seconds_to_read("saved") == 3
    assert 4 < seconds_to_read("x" * 60) < seconds_to_read("x" * 120) < 10
    assert seconds_to_read("x" * 5000) == 10
