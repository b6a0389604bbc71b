"""The dialog before a judge is asked: the offer it holds is the one that stands there."""

from pathlib import Path

import pytest
from textual.app import App

from tuiwb.app.screens.compare_judge import AskJudge
from tuiwb.compare.judge.choices import JudgeChoices, JudgeOffer
from tuiwb.compare.judge.plan import Estimate
from tuiwb.compare.judge.rubric import RubricFile
from tuiwb.project import Project

OFFER = JudgeOffer(
    spec={"batch": False},
    cost=Estimate(
        model="m",
        pairs=1,
        identical=0,
        calls=1,
        cached=0,
        input_tokens=1,
        output_tokens=1,
        usd=1.0,
    ),
    pairs="1 pair",
    calls="1 call",
    price="about $1.00",
    endpoint="m at u",
    batch="",
)


@pytest.mark.parametrize("key", ["b", "r"])
async def test_an_offer_that_comes_after_another_choice_is_not_confirmed(tmp_path: Path, key: str):
    choices = JudgeChoices(
        judges=[("m", "")],
        rubrics=[RubricFile(choice="helpfulness"), RubricFile(choice="tone")],
        judge="m",
        rubric="helpfulness",
        max_usd=5.0,
    )
    app: App[None] = App()
    async with app.run_test() as pilot:
        dialog = AskJudge(Project(tmp_path), "nowhere", choices, ("base", "adapter"))
        await app.push_screen(dialog)
        await pilot.press(key)
        await app.workers.wait_for_complete()
        late = {"model": "m", "rubric": "helpfulness", "batch": False, "sides": ("base", "adapter")}
        dialog._take_offer(late, OFFER, "")
        assert "about $1.00" not in str(dialog.query_one("#offer").render())
        await pilot.press("y")
        assert app.screen is dialog
        await pilot.press(key)
        await app.workers.wait_for_complete()
        dialog._take_offer(late, OFFER, "")
        assert "about $1.00" in str(dialog.query_one("#offer").render())
