"""The places at the top are there during a vote too, and the vote when one comes back."""

import json

from tests.app.compare.comparing import compared_run, opened, voting
from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare_voting import VoteScreen


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
