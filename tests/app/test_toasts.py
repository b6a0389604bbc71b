"""Toasts stay as long as they take to read; escape takes them away before it does anything else."""

from textual.widgets import Input
from textual.widgets._toast import Toast

from tests.app.conftest import until
from tests.app.runs import a_run
from tests.app.test_train_screen import on_train
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.toasts import seconds_to_read
from tuiwb.project import Project


async def test_escape_takes_toasts_away_and_only_then_closes_the_run(project: Project) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        app.notify("a first thing")
        app.notify("a second thing, " * 6, title="Of several lines")
        await until(lambda: [toast.region.height for toast in screen.query(Toast)] == [1, 4])
        assert all(toast.region.bottom < 24 for toast in screen.query(Toast))
        await pilot.press("escape")
        await until(lambda: not screen.query(Toast))
        assert screen.is_open
        await pilot.press("escape")
        await until(lambda: not screen.is_open)


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
