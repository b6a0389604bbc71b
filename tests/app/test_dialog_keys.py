"""The line of keys names what can be pressed now: while a dialog is open, the dialog's keys."""

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.watch_app import WatchApp
from tuiwb.app.widgets.key_line import KeyLine
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.monitor.watched import open_watched
from tuiwb.project import Project


def line_of(screen: Screen[object]) -> str:
    """The line of keys, one blank between two."""
    return " ".join(screen.query_one(KeyLine).render_line(0).text.split())


async def opened(pilot: Pilot[None]) -> Screen[object]:
    """The Data screen with its first row, and its own line of keys."""
    await pilot.press("2")
    await until(lambda: "Row 0" in str(pilot.app.screen.query_one(RowPane).border_title))
    screen = pilot.app.screen
    await until(lambda: line_of(screen).startswith("d Drop"))
    return screen


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_the_line_of_keys_is_the_dialogs_while_one_is_open(
    project: Project, size: tuple[int, int]
) -> None:
    async with WorkbenchApp(project).run_test(size=size) as pilot:
        screen = await opened(pilot)
        own = line_of(screen)
        await pilot.press("slash")
        await until(lambda: line_of(screen) == "enter Accept esc Cancel")
        await pilot.press("escape")
        await until(lambda: line_of(screen) == own)
        await pilot.press("e")
        await until(lambda: line_of(screen) == "^s Save ^o $EDITOR esc Cancel")
        await pilot.press("x", "escape")
        await until(lambda: line_of(screen) == "y Yes n No")
        await pilot.press("n")
        await until(lambda: line_of(screen) == "^s Save ^o $EDITOR esc Cancel")
        await pilot.press("escape")
        await until(lambda: line_of(screen) == "y Yes n No")
        await pilot.press("y")
        await until(lambda: line_of(screen) == own)
        await pilot.press("question_mark")
        await until(lambda: line_of(screen) == "esc Close")
        await pilot.press("escape")
        await until(lambda: line_of(screen) == own)


async def test_a_dialog_with_many_keys_has_them_whole_on_80_columns(project: Project) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("r")
        await until(lambda: line_of(screen) == "enter Accept esc Cancel")
        await pilot.press("enter")
        keys = "a Accept r Reject e Edit and accept s Skip ← Back u Undo esc Leave"
        await until(lambda: line_of(screen) == keys)


async def test_a_key_of_a_dialog_can_be_clicked_on_the_line(project: Project) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash")
        await until(lambda: line_of(screen) == "enter Accept esc Cancel")
        column = screen.query_one(KeyLine).render_line(0).text.index("Cancel")
        await pilot.click(offset=(column + 1, 23))
        await until(lambda: pilot.app.screen is screen)


async def test_a_watched_runs_line_comes_back_when_the_help_is_closed(tmp_path: Path) -> None:
    state = {"log_history": [{"step": 1, "loss": 2.0, "epoch": 0.1}], "global_step": 1}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    async with WatchApp(open_watched(tmp_path)).run_test(size=(80, 24)) as pilot:
        screen = pilot.app.screen
        await until(lambda: "Quit" in line_of(screen))
        own = line_of(screen)
        await pilot.press("question_mark")
        await until(lambda: line_of(screen) == "esc Close")
        await pilot.press("escape")
        await until(lambda: line_of(screen) == own)
