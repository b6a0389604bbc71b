"""The places at the top are there during a vote too, and the vote when one comes back."""

import json

import pytest
from textual.widgets import OptionList

from tests.app.compare.comparing import compared_run, head, opened, voting
from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare import CompareScreen
from tuiwb.app.screens.compare_voting import VoteScreen
from tuiwb.app.widgets.compare_ballot import vote_head
from tuiwb.compare.completions import read_completions
from tuiwb.compare.vote.ballot import Ballot


async def test_another_screen_is_a_key_away_from_a_vote_which_then_goes_on(project):
    run = compared_run(project)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        vote = await voting(pilot, app)
        await pilot.press("a")
        await until(lambda: vote.ballot.voted == 1)
        await pilot.press("2")
        await until(lambda: app.current_mode == "data")
        # The time away is not spent on the pair.
        await until(lambda: vote._since is None)
        await pilot.press("5")
        await until(lambda: app.screen is vote and vote._since is not None)
        await pilot.press("l")
        await until(lambda: vote.ballot.voted == 2)
        # A question over it is answered first.
        await pilot.press("r", "2")
        assert not isinstance(app.screen, VoteScreen)
        assert app.current_mode == "compare"
        await pilot.press("n", "v")
        await until(lambda: app.screen is not vote)
    kept = [json.loads(line) for line in (run / "compare" / "votes.jsonl").open()]
    assert [record["type"] for record in kept].count("vote") == 2


async def test_home_opens_the_run_one_chose_there_and_not_anothers_vote(project):
    first, second = compared_run(project, "first-v1"), compared_run(project, "second-v1")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:

        async def open_from_home(run: str) -> None:
            await pilot.press("1")
            menu = app.screen.query_one("#runs", OptionList)
            wanted = f"{run}/compare"

            def places() -> list[int]:
                return [n for n, o in enumerate(menu.options) if wanted in str(o.prompt)]

            await until(places)
            menu.highlighted = places()[0]
            menu.focus()
            await pilot.press("enter")

        await open_from_home("second-v1")
        await until(lambda: isinstance(app.screen, CompareScreen) and app.screen.run == second)
        compare = app.screen
        vote = await voting(pilot, app)
        assert "on second-v1" in head(vote)
        await pilot.press("a")
        await until(lambda: vote.ballot.voted == 1)
        await open_from_home("second-v1")
        await until(lambda: app.screen is vote)
        await open_from_home("first-v1")
        await until(lambda: app.screen is compare and compare.run == first)
        await until(lambda: "first-v1" in head(compare))
        again = await voting(pilot, app)
        assert "Blind vote 0 of 7 on first-v1" in head(again)
    votes = (second / "compare" / "votes.jsonl").read_text()
    assert votes.count('"type":"vote"') == 1


@pytest.mark.parametrize("run", ["v1", "a-run-of-a-very-long-name-" * 3, "日本語" * 9])
@pytest.mark.parametrize("width", [78, 118])
def test_the_run_is_named_and_the_bar_gives_way_to_the_words(project, run, width):
    folder = compared_run(project) / "compare"
    ballot = Ballot(folder, read_completions(folder), rater="mia")
    line = vote_head(ballot, run, None, width)
    assert line.plain.startswith(f"Blind vote 0 of 7 on {run[:2]}")
    assert "which answer is better?" in line.plain
    assert line.cell_length <= width
