"""Blind votes by key: saved one by one, and nothing on the screen that tells the sides apart."""

import json
import re
from pathlib import Path

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widgets import Static

from tests.app.compare.comparing import (
    answer,
    head,
    opened,
    shown,
    trained,
    voting,
)
from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare import CompareScreen
from tuiwb.app.screens.compare_judge import AskJudge
from tuiwb.app.screens.compare_voting import VoteScreen
from tuiwb.app.screens.dialogs import Ask, Confirm
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import COMPLETIONS, read_completions
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


async def begun(pilot: Pilot, app: WorkbenchApp) -> VoteScreen:
    screen = await opened(pilot, app)
    await until(lambda: ", line 1" in shown(screen) or "blind vote is open" in shown(screen))
    return await voting(pilot, app)


def records(run: Path, name: str = "votes.jsonl") -> list[dict]:
    return [json.loads(line) for line in (run / "compare" / name).read_text().splitlines()]


def said(app: WorkbenchApp) -> list[str]:
    """What was notified so far, each up to its first colon."""
    return [str(n.message).split(":")[0] for n in app._notifications]


def kinds(run: Path) -> list[str]:
    return [record["type"] for record in records(run) if record["type"] != "seen"]


async def hidden(pilot, app: WorkbenchApp, *keys: str) -> None:
    """Press keys of what is covered: each says so, a second time in the place of the first."""
    for key in keys:
        app.clear_notifications()
        await pilot.press(key)
        await until(lambda: said(app) == ["hidden until you reveal"])


async def test_a_blind_vote_needs_only_the_home_row_and_survives_the_terminal(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await begun(pilot, app)
        assert "Blind vote 0 of 7" in head(screen)
        assert "mia" in head(screen)
        await hidden(pilot, app, "i", "G")
        assert "pair 1 of 7, 2 of them repeats that check the rater" in shown(screen)
        await pilot.press("a", "l", "space")
        assert "Blind vote 3 of 7" in head(screen)
        assert "pair 3: tie" in head(screen)
        assert "pair 4 of 7" in shown(screen)
        await pilot.press("u")
        assert "pair 3 of 7" in shown(screen)
        assert "no vote yet" in shown(screen)
        await pilot.press("b", "s")
        await pilot.press("k")
        assert "your vote: skipped" in shown(screen)
        await pilot.press("j", "k", "n")
        assert "pair 5 of 7" in shown(screen)
    # Nothing was closed or saved on leaving: the votes were on disk one by one.
    again = WorkbenchApp(Project(project.root))
    async with again.run_test(size=(80, 24)) as pilot:
        screen = await begun(pilot, again)
        assert "Blind vote 4 of 7" in head(screen)
        assert "pair 5 of 7" in shown(screen)
        await pilot.press("a", "a", "a")
        assert "all voted: r reveals" in head(screen)
        await pilot.press("r")
        await until(lambda: isinstance(again.screen, Confirm))
        await pilot.press("y")
        await until(lambda: isinstance(again.screen, FiguresScreen))
        told = str(again.screen.query_one(Static).content)
        assert "Votes of mia" in told
        assert re.search(r"of \d repeated pairs got the same answer", told)
        await pilot.press("escape")
        await until(lambda: isinstance(again.screen, CompareScreen))
        assert "votes of mia won" in head(again.screen)
        await pilot.press("v")
        assert isinstance(again.screen, CompareScreen)
    assert kinds(compared) == ["session", *["vote"] * 3, "undo", *["vote"] * 5, "reveal"]


async def test_a_vote_is_on_disk_before_the_next_pair_is_painted(project, compared, monkeypatch):
    on_disk: list[tuple[str, int]] = []
    show = PairView.show

    def watched(view: PairView, pair) -> None:
        if pair.title.startswith("pair "):
            votes = kinds(compared).count("vote")
            on_disk.append((pair.title.split(" of")[0], votes))
        show(view, pair)

    monkeypatch.setattr(PairView, "show", watched)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app)
        await pilot.press("a", "l", "space", "b", "s")
    assert dict(on_disk) == {f"pair {n}": n - 1 for n in range(1, 7)}


async def test_a_key_that_comes_before_its_pair_is_painted_is_no_vote_on_it(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await begun(pilot, app)
        # Held down: keys that were already there when the first one moved the ballot on.
        for _ in range(5):
            screen.action_cast("left")
        assert kinds(compared) == ["session", "vote"]
        await until(lambda: "pair 2 of 7" in shown(screen))
        await pilot.press("l", "u")
        assert "Blind vote 1 of 7" in head(screen)
        assert "pair 2: vote taken back" in head(screen)
    assert kinds(compared) == ["session", "vote", "vote", "undo"]


async def test_votes_of_a_run_that_vanished_are_not_taken_for_those_of_another(project, compared):
    other = trained(project, "other")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        screen._select(compared)
        await until(lambda: "question 0" in shown(screen))
        rated = await voting(pilot, app)
        await pilot.press("a")
        compared.rename(project.root / "gone")
        screen.jobs_changed({})
        await until(lambda: screen.run == other and screen.looked is not None)
        await pilot.press("l")
        assert "Blind vote 1 of 7" in head(rated)
        await pilot.press("v")
        await until(lambda: app.screen is screen)
        assert screen.run == other
        assert screen.ballot is None
        assert not screen.covered


async def test_what_was_read_before_the_vote_does_not_uncover_it_when_it_comes_late(
    project, compared
):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        before, asked = screen.looked, screen.asked
        await voting(pilot, app)
        await pilot.press("a", "v")
        await until(lambda: app.screen is screen and screen.covered)
        screen.post_message(CompareScreen.Read(before, asked))
        await pilot.pause()
        assert screen.covered
        assert "A blind vote is open: 1 of 7" in shown(screen)


async def test_what_raters_agree_on_is_there_with_the_reveal(project, compared):
    folder = compared / "compare"
    kim = Ballot(folder, read_completions(folder), rater="kim")
    for pair in kim.pairs:
        kim.vote(pair, "tie")
    kim.reveal()
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await begun(pilot, app)
        await pilot.press("space", "space", "space", "r")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: isinstance(app.screen, FiguresScreen))
        told = str(app.screen.query_one(Static).content)
        assert "kim and mia agree on 100% of 3 shared pairs" in told


async def test_saying_no_to_the_reveal_keeps_the_sides_hidden(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await begun(pilot, app)
        await pilot.press("a", "r")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("n")
        await until(lambda: app.screen is screen)
        assert "Blind vote 1 of 7" in head(screen)
        assert "reveal" not in kinds(compared)


async def test_an_open_vote_covers_names_figures_and_list_until_one_asks_for_them(
    project, compared
):
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await begun(pilot, app)
        await pilot.press("a", "v")
        await until(lambda: isinstance(app.screen, CompareScreen))
        screen = app.screen
        assert "A blind vote is open: 1 of 7" in shown(screen)
        assert "question" not in shown(screen)
        assert "JSON" not in head(screen)
        assert not screen.query_one("#prompts").display
        await hidden(pilot, app, "i", "w", "t", "G")
        await pilot.press("j")
        assert app.screen is screen
        await pilot.press("y")
        assert "question" in shown(screen)
        assert "JSON" in head(screen)
        # What was read with names is kept, and is no blind vote any more.
        ballot = Ballot(compared / "compare", read_completions(compared / "compare"), rater="mia")
        for pair in ballot.pairs:
            ballot.vote(pair, "left")
        assert 0 < ballot.reveal().not_blind < 7


async def test_pairs_read_before_the_vote_began_are_kept_as_read(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        await pilot.press("j")
        await voting(pilot, app)
        assert [r["ids"] for r in records(compared) if r["type"] == "seen"] == [["id00", "id01"]]


async def test_who_votes_is_asked_once_and_another_rater_has_another_ballot(
    project, compared, monkeypatch
):
    monkeypatch.delenv("TUIWB_RATER")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        await pilot.press("v")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press("ctrl+u", *"kim", "enter")
        await until(lambda: isinstance(app.screen, VoteScreen))
        await pilot.press("a", "l", "v", "v")
        await until(lambda: isinstance(app.screen, VoteScreen))
        assert "Blind vote 2 of 7" in head(app.screen)
        await pilot.press("v", "R")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press("ctrl+u", *"joe", "enter")
        await until(lambda: app.screen is screen)
        rated = await voting(pilot, app)
        assert "Blind vote 0 of 7" in head(rated)
    sessions = [r for r in records(compared) if r["type"] == "session"]
    assert [s["rater"] for s in sessions] == ["kim", "joe"]
    assert {r["rater"] for r in records(compared) if r["type"] == "vote"} == {"kim"}


async def test_a_note_is_kept_with_the_pair_and_q_leaves_the_vote_not_the_program(
    project, compared
):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await begun(pilot, app)
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press(*"too long", "enter")
        await until(lambda: app.screen is screen)
        assert "“too long”" in shown(screen)
        await pilot.press("q")
        await until(lambda: isinstance(app.screen, CompareScreen))
    assert [r["text"] for r in records(compared) if r["type"] == "note"] == ["too long"]


def swap_sides(votes: Path) -> None:
    """Every pair of the stored session with its answers the other way round."""
    other = {"base": "adapter", "adapter": "base"}
    lines = [json.loads(line) for line in votes.read_text().splitlines()]
    for line in lines:
        for pair in line.get("pairs", ()):
            pair["left"] = other[pair["left"]]
    votes.write_text("".join(json.dumps(line) + "\n" for line in lines))


Cell = tuple[str, str]


def cells(screen: VoteScreen) -> list[list[Cell]]:
    """Every cell of the terminal: its character and its style."""
    rows = []
    for strip in screen._compositor.render_strips(screen.size):
        row: list[Cell] = []
        for segment in strip:
            look = str(
                segment.style and (segment.style, segment.style.color, segment.style.bgcolor)
            )
            row += [(letter, look) for letter in segment.text]
        rows.append(row)
    return rows


def cut_out(rows: list[list[Cell]], where: Region) -> tuple[list[list[Cell]], list[list[Cell]]]:
    """The cells of an answer's words, and the rest of the screen with a hole there."""
    hole = [("·", "")] * where.width
    inside = [row[where.x : where.right] for row in rows[where.y : where.bottom]]
    rest = [
        [*row[: where.x], *hole, *row[where.right :]] if where.y <= y < where.bottom else row
        for y, row in enumerate(rows)
    ]
    return inside, rest


async def pictures(project: Project, size: tuple[int, int], keys: list[str]) -> list:
    """What stands left, right and around after each key of a whole vote."""
    app = WorkbenchApp(Project(project.root))
    found = []
    async with app.run_test(size=size) as pilot:
        screen = await begun(pilot, app)
        for key in ["", *keys]:
            if key:
                await pilot.press(key)
            await until(lambda: not screen._layout_required and not screen._dirty_widgets)
            rows = cells(screen)
            # The first row of each pane is its title, which must not change with the sides.
            regions = [
                screen.query_one(f"#{side}").region.shrink((1, 0, 0, 0))
                for side in ("left", "right")
            ]
            assert regions[0].size == regions[1].size
            left, rows = cut_out(rows, regions[0])
            right, rows = cut_out(rows, regions[1])
            found.append((left, right, rows))
    return found


LONG = "\n".join(f"a **long** answer, line {n}" for n in range(60))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_nothing_but_the_sides_differs_when_the_sides_are_swapped(project, compared, size):
    """One vote, twice: the second time every pair has its sides swapped. Whole screens are
    compared cell by cell, with colours: both panes are exchanged, all else is the same."""
    folder = compared / "compare"
    (folder / COMPLETIONS).unlink()
    rows = [answer(n) for n in range(6)]
    rows[0] = answer(0, base=LONG, adapter="short")
    rows[1] = answer(1, base="", adapter=LONG * 3)
    rows[2].base_stop, rows[2].adapter_tokens = "length", 900
    append_lines(folder / COMPLETIONS, rows)
    keys = ["m", "f", "a", "f", "d", "p", "p", "l", "h", "b", "f", "h", "k", "m", "f", "n"]
    keys += ["space", "s", "u", "l", "a", "a", "a", "k"]
    Ballot(folder, rows, rater="mia", seed=1)
    votes = folder / "votes.jsonl"
    session = votes.read_text()
    one = await pictures(project, size, keys)
    votes.write_text(session)
    swap_sides(votes)
    other = await pictures(project, size, keys)
    different = 0
    for (left, right, rest), (left2, right2, rest2) in zip(one, other, strict=True):
        assert rest == rest2
        assert (left, right) == (right2, left2)
        different += left != left2
    assert different > len(keys) // 2
    told = "\n".join("".join(letter for letter, _ in row) for row in one[-1][2])
    for tell in ("base", "fine-tune", "adapter", "tok", "JSON", "exact", "cut", "judge", "won"):
        assert tell not in told


async def test_a_long_prompt_and_a_long_reference_can_be_read_whole(project, compared):
    folder = compared / "compare"
    (folder / COMPLETIONS).unlink()
    row = answer(0)
    row.prompt = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "\n".join(f"asked {n}" for n in range(50))},
    ]
    row.reference = "\n".join(f"known {n}" for n in range(50))
    append_lines(folder / COMPLETIONS, [row, answer(1)])
    ballot = Ballot(folder, read_completions(folder), rater="mia")
    at = next(i for i, pair in enumerate(ballot.pairs) if pair.id == "id00")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await begun(pilot, app)
        await pilot.press(*["j"] * at)
        assert "user  asked 0" in shown(screen)
        assert "asked 49" in shown(screen)
        assert "43 more lines (p)" in shown(screen)
        await pilot.press("p")
        assert "system  be brief" in shown(screen)
        await pilot.press("end")
        assert "asked 49" in shown(screen)
        await pilot.press("p", "end")
        assert "known 49" in shown(screen)
        await pilot.press("p")
        assert "base says 0" in shown(screen)
        await pilot.press("h")
        assert "known" not in shown(screen)
        # Where all is in view the answers keep their place.
        await pilot.press("k" if at else "j", "p")
        assert "base says 1" in shown(screen)


async def test_the_judge_without_a_key_is_a_sentence_and_votes_go_on(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "question 0" in shown(screen))
        await pilot.press("J")
        await until(lambda: isinstance(app.screen, AskJudge))
        offer = app.screen.query_one("#offer", Static)
        await until(lambda: "ANTHROPIC_API_KEY" in str(offer.content))
        # There is nothing to start: yes says why again and asks nobody.
        await pilot.press("y")
        assert isinstance(app.screen, AskJudge)
        await pilot.press("n")
        await until(lambda: app.screen is screen)
        await voting(pilot, app)
        assert not (compared / "judge").exists()
