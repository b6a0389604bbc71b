"""After the reveal: the judge's word, disagreements walked by key, other sides, diff and tokens."""

from pathlib import Path

import pytest
import yaml
from textual.widgets import OptionList, Static

from tests.app.compare.comparing import (
    head,
    judged_by,
    judged_for_the_adapter,
    opened,
    shown,
    voting,
)
from tests.app.conftest import until
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare_review import DisagreementScreen
from tuiwb.app.screens.compare_voting import VoteScreen
from tuiwb.app.screens.dialogs import Pick
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.compare.completions import (
    COMPLETIONS,
    TOKEN_PROBABILITIES,
    Answer,
    TokenProbabilities,
    read_completions,
)
from tuiwb.compare.judge.review import read_rulings
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


def revealed(run: Path, side: str = "base") -> Ballot:
    """A ballot on which one side always won."""
    ballot = Ballot(run / "compare", read_completions(run / "compare"), rater="mia")
    for pair in ballot.pairs:
        ballot.vote(pair, "left" if pair.left == side else "right")
    ballot.write_note("id00", "the base reads better")
    ballot.reveal()
    return ballot


@pytest.fixture
def judged(project: Project, compared: Path) -> None:
    judged_for_the_adapter(project, compared / "compare")


async def test_disagreements_are_walked_by_key_and_rulings_are_kept(project, compared, judged):
    revealed(compared)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "votes of mia won 0  lost 5" in head(screen))
        assert "you voted: base" in shown(screen)
        assert "“the base reads better”" in shown(screen)
        assert "fine-tune, clearly" in shown(screen)
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, DisagreementScreen))
        walk = app.screen
        assert "on 5 of 5 pairs" in head(walk)
        first = shown(walk)
        assert "you: base   judge: fine-tune" in first
        assert "it is JSON [bold]n[/]" in first
        await pilot.press("w")
        assert "{+" in shown(walk)
        await pilot.press("w", "a", "l", "space")
        assert "you 1   judge 1   unclear 1   open 2" in head(walk)
        assert "disagreement 4 of 5" in shown(walk)
        await pilot.press("k")
        assert "unclear" in shown(walk)
        await pilot.press("u", "v")
        await until(lambda: app.screen is screen)
    said = {r.pair: r.ruling for r in read_rulings(compared / "compare")}
    assert sorted(map(str, said.values())) == ["None", "human", "judge"]


async def test_on_a_small_terminal_the_key_that_brings_the_reference_is_named(
    project, compared, judged
):
    revealed(compared)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "votes of mia won 0  lost 5" in head(screen))
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, DisagreementScreen))
        walk = app.screen
        await until(lambda: "h shows the reference" in shown(walk))
        before = shown(walk).count('{"n": ')
        await pilot.press("h")
        await until(lambda: "h shows the reference" not in shown(walk))
        assert shown(walk).count('{"n": ') == before + 1


async def test_each_judge_has_a_queue_and_rulings_of_its_own(project, compared, judged):
    judged_by(project, compared / "compare", "odd-judge", "judge-odd", "base", tie="id04")
    judged_by(project, compared / "compare", "like-me", "judge-like-me", "base")
    revealed(compared)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "votes of mia won 0  lost 5" in head(screen))
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, FiguresScreen))
        told = str(app.screen.query_one(Static).content)
        assert "Your votes and some-judge agree on 0% of 5 shared pairs" in told
        assert "Your votes and odd-judge agree on 80% of 5 shared pairs" in told
        assert "Your votes and like-me agree on 100% of 5 shared pairs" in told
        await pilot.press("escape", "e")
        await until(lambda: isinstance(app.screen, DisagreementScreen))
        walk = app.screen
        assert "You and some-judge (1/2, J) disagree on 5 of 5 pairs" in head(walk)
        await pilot.press("a", "J")
        # The judge that agrees everywhere has no queue.
        assert "You and odd-judge (2/2, J) disagree on 1 of 5 pairs" in head(walk)
        assert "you: base   judge: tie" in shown(walk)
        assert "open 1" in head(walk)
        await pilot.press("l", "J")
        assert "some-judge (1/2, J)" in head(walk)
        assert "you 1   judge 0   unclear 0   open 4" in head(walk)
    said = [(r.judge, r.ruling) for r in read_rulings(compared / "compare")]
    assert said == [("some-judge", "human"), ("odd-judge", "judge")]


async def test_verdicts_stay_out_of_the_list_until_asked_for(project, compared, judged):
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        prompts = screen.query_one("#prompts", OptionList)
        assert " > " not in str(prompts.get_option_at_index(0).prompt)
        assert "clearly" not in shown(screen)
        await pilot.press("e")
        assert app.screen is screen
        await pilot.press("y")
        assert "✗→✓ > " in str(prompts.get_option_at_index(0).prompt)
        assert "fine-tune, clearly" in shown(screen)
        # A vote that begins hides them again.
        await voting(pilot, app)
        await pilot.press("v")
        await until(lambda: app.screen is screen)
        assert "clearly" not in shown(screen)


async def test_diff_and_tokens_take_the_answers_place_and_give_it_back(project, compared):
    tokens = TokenProbabilities(id="id00", tokens=["{", "}"], base=[-5.0, -0.1], adapter=[-0.1, 0])
    append_lines(compared / "compare" / TOKEN_PROBABILITIES, [tokens])
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        await pilot.press("w")
        assert '[-base says-]{+{"n":+} 0{+}+}' in shown(screen)
        assert not screen.query_one("#left").display
        await pilot.press("t")
        assert "least likely: '{' 0.7%, fine-tune 90%" in shown(screen)
        await pilot.press("j")
        assert "Nothing is known of the tokens" in shown(screen)
        await pilot.press("t")
        assert "base says 1" in shown(screen)
        # A blind vote never shows either.
        await pilot.press("w")
        rated = await voting(pilot, app)
        await pilot.press("w", "t")
        assert "[-" not in shown(rated)
        assert "least likely" not in shown(rated)


async def test_of_three_sides_two_are_chosen_to_read_and_vote_on(project, compared):
    folder = compared / "compare"
    rows = read_completions(folder)
    for row in rows:
        row.others = {"older": Answer(text=f"older says {row.index}")}
    (folder / COMPLETIONS).unlink()
    append_lines(folder / COMPLETIONS, rows)
    spec = jobs.folder.load(folder).spec
    names = [{"name": "base"}, {"name": "adapter"}, {"name": "older", "label": "support-v0"}]
    job = yaml.safe_load((folder / "job.yaml").read_text())
    job["spec"] = {**spec, "sides": names}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        await pilot.press("o")
        await until(lambda: isinstance(app.screen, Pick))
        await pilot.press("down", "down", "enter")
        await until(lambda: "older says 0" in shown(screen))
        assert "support-v0" in shown(screen)
        assert "base says" not in shown(screen)
        assert "fine-tune against support-v0" in head(screen)
        await pilot.press("v")
        await until(lambda: isinstance(app.screen, VoteScreen))
        await pilot.press("a")
        assert "Blind vote 1 of 9" in head(app.screen)
    assert (folder / "votes-adapter-older.jsonl").is_file()
    assert not (folder / "votes.jsonl").exists()
