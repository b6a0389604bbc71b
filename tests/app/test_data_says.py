"""The Data screen says why a key can do nothing now, and of what was found that it is old."""

import json
import os

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tests.app.conftest import until
from tests.app.runs import add
from tests.app.test_data_curation import answer, opened, read, title
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.data import DataScreen
from tuiwb.app.widgets.facet_menu import FacetMenu
from tuiwb.data.read import open_dataset
from tuiwb.data.reports import Checked, Summary
from tuiwb.jobs import process
from tuiwb.jobs.events import State
from tuiwb.project import Project


def flat(screen: DataScreen) -> str:
    """What the row's pane says, whatever its width."""
    return " ".join(read(screen).split())


def facets(screen: DataScreen) -> str:
    """What stands in the facets' first line."""
    menu = screen.query_one(FacetMenu)
    return str(menu.get_option_at_index(0).prompt) if menu.option_count else ""


def looks(screen: DataScreen) -> str:
    """The styles in the row's pane."""
    shown = screen.query_one("#row", Static).render()
    return " ".join(str(span.style) for span in shown.spans)  # type: ignore[union-attr]


async def refused(pilot: Pilot[None], key: str, why: str) -> None:
    """Press a key that can do nothing: one toast says why, and no dialog opens."""
    pilot.app.clear_notifications()
    screen = pilot.app.screen
    await pilot.press(key)
    await until(lambda: [toast.message for toast in pilot.app._notifications] == [why])
    assert pilot.app.screen is screen


async def test_keys_say_why_they_do_nothing_without_rows(project: Project) -> None:
    chats = project.root / "data" / "chats.jsonl"
    text = chats.read_bytes()
    chats.write_text("")
    async with WorkbenchApp(project).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("2")
        await until(lambda: isinstance(pilot.app.screen, DataScreen))
        screen = pilot.app.screen
        assert isinstance(screen, DataScreen)
        await until(lambda: "is empty: give a file with rows in it" in flat(screen))
        for key in ("d", "r", "w", "slash", "v", "c", "e", "n", "a", "s", "g", "t"):
            why = "data/chats.jsonl has no rows that can be read: ] goes to another file"
            await refused(pilot, key, why)
        chats.write_bytes(text)
        await pilot.press("1", "2")
        await until(lambda: "hello" in read(screen))
        await pilot.press("slash")
        await answer(pilot, "role:usr hi")
        await until(lambda: "there is no role 'usr': did you mean role:user?" in flat(screen))
        await pilot.press("escape", "slash")
        await answer(pilot, "nowhere")
        await until(lambda: "no rows match" in flat(screen))
        for key in ("d", "e", "v"):
            await refused(pilot, key, "no rows match: esc clears the filter")
        chats.unlink()
        await pilot.press("escape", "1", "2")
        await until(lambda: "no datasets yet" in flat(screen))
        for key in ("w", "v"):
            why = "no datasets yet: put .jsonl, .json, .csv or .parquet in data/"
            await refused(pilot, key, why)


@pytest.mark.slow
async def test_what_a_check_will_tell_told_and_told_before_an_edit_is_said_apart(
    project: Project,
) -> None:
    chats = project.root / "data" / "chats.jsonl"
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "write to mira@post.test"},
        {"role": "assistant", "content": " "},
    ]
    chats.write_text(json.dumps({"messages": turns}) + "\n")
    running = "the check is running: what it finds stands here when it ends"
    async with WorkbenchApp(project).run_test(size=(120, 36), notifications=True) as pilot:
        screen = await opened(pilot)
        assert facets(screen) == "no check yet: c runs one"
        await refused(pilot, "a", "no check yet: c runs one")
        folder = project.runs / "checks" / "chats-1"
        jobs.create(folder, "check", {"path": str(chats)})
        process.write(folder, process.identify(os.getpid()))
        add(folder, [State(state="running", phase="reading rows")])
        await until(lambda: facets(screen) == running)
        for key in ("a", "n", "f"):
            await refused(pilot, key, running)
        add(folder, [State(state="failed", message="no room")])
        await until(lambda: facets(screen) == "the check failed: c runs one again")
        await pilot.press("c")
        await until(lambda: "turn 3 (assistant) is blank" in flat(screen))
        assert "before the row was edited" not in flat(screen)
        assert "reverse" in looks(screen)
        turns[1]["content"] = "write to them, wherever it is that they are"
        assert screen._marks is not None
        screen._marks.edit(open_dataset(chats).row(0), {"messages": turns})
        screen.marks_changed()
        await until(lambda: "✎ found before the row was edited" in flat(screen))
        assert "mira@" in flat(screen), "what was found stays in sight"
        assert "reverse" not in looks(screen)
        await pilot.press("a")
        await until(lambda: title(screen) == "Audit of the whole file")
        pilot.app.clear_notifications()  # else escape takes away a toast that is still there
        await until(lambda: not pilot.app._notifications)
        await pilot.press("escape")
        await until(lambda: title(screen).startswith("Row 0"))
        screen._marks.undo()
        nothing = Summary(rows=1, seconds=0, findings=0, audit={}, facets=[], stamp=[])
        told = Checked(nothing, None, None, stale=False)
        screen.post_message(DataScreen.Checked(chats, folder, told))
        await until(lambda: facets(screen) == "no finding, no mark, no column to count")
