"""The help says of a screen what it is for, and of each of its keys what it does."""

import pytest
from textual.widgets import Static

from tests.app.conftest import until
from tuiwb.app import keys
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare import CompareScreen
from tuiwb.app.screens.compare_ballots import CompareVotes
from tuiwb.app.screens.help import HelpScreen
from tuiwb.app.screens.home import HomeScreen
from tuiwb.app.screens.serve import ServeScreen
from tuiwb.project import Project


@pytest.mark.parametrize("screen", [HomeScreen, CompareScreen, CompareVotes, ServeScreen])
def test_a_key_has_more_words_than_its_name(screen: type) -> None:
    bindings = [b for b in screen.__dict__.get("BINDINGS", ()) if b.description]
    bare = [b.key for b in bindings if len(b.tooltip.split()) < 2]
    assert not bare


@pytest.mark.parametrize(
    ("place", "sentence", "key"),
    [
        ("1", "What is in this project", "go where the line under the cursor leads"),
        ("5", "Is the fine-tune better, and may it ship?", "quit; jobs go on"),
        ("6", "Serve a base and its adapters", "start a server on a base and adapters"),
    ],
)
async def test_the_help_opens_with_what_the_screen_is_for(
    project: Project, place: str, sentence: str, key: str
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        await pilot.press(place)
        await until(lambda: pilot.app.current_mode != "home" or place == "1")
        await pilot.press("question_mark")
        await until(lambda: isinstance(pilot.app.screen, HelpScreen))
        said = str(pilot.app.screen.query_one(Static).render())
        assert said.startswith(sentence)
        assert key in said
        names = {b.description for b in WorkbenchApp.BINDINGS if b.action in keys.OF_THE_PROGRAM}
        alone = {line.split("  ", 1)[-1].strip() for line in said.splitlines()}
        assert not names & alone, "no key is told by its name alone"
