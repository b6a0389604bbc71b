"""The Compare screen: side by side, blind votes by key, the judge asked and confirmed."""

import json
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from tests.app.conftest import until
from tests.compare.builders import HELD_OUT, make_adapter, make_base, make_run, write_rows
from tests.compare.judge_server import JudgeServer
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare import CompareScreen
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import COMPLETIONS, Completion, summarise
from tuiwb.compare.votes import Ballot
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project

NASTY = "[bold red]not markup[/] \x1b[31mred \u202eback"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    write_rows(tmp_path / "data" / "heldout.jsonl", HELD_OUT)
    (tmp_path / "tuiwb.yaml").write_text("name: small\n")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Project(tmp_path)


def trained(project: Project, name: str = "support-v1") -> Path:
    """A run whose adapter files exist, so that it can be compared."""
    run = make_run(project, name, "some/base", project.root / "data" / "heldout.jsonl")
    (run / "adapter").mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        (run / "adapter" / file).write_text("{}")
    return run


def finished(run: Path, kind: str = "compare") -> None:
    writer = EventWriter(run / kind / "events.jsonl")
    writer.emit(State(state="finished", exit_code=0))
    writer.close()


def answer(n: int, **more: str) -> Completion:
    texts = {"base": f"base says {n}", "adapter": f'{{"n": {n}}}', **more}
    return Completion(
        id=f"id{n:02d}",
        index=n,
        line=n + 1,
        prompt=[{"role": "user", "content": f"question {n}"}],
        reference=f'{{"n": {n}}}',
        **texts,
    )


@pytest.fixture
def compared(project: Project) -> Path:
    """A run whose comparison is finished: six pairs, one of them identical, one hostile."""
    run = trained(project)
    spec = {"base": "some/base", "prompts": str(project.root / "data" / "heldout.jsonl")}
    jobs.create(run / "compare", "compare", {**spec, "limit": 6}, name="support-v1-compare")
    rows = [answer(n) for n in range(6)]
    rows[3] = answer(3, base="same", adapter="same")
    rows[4] = answer(4, base=NASTY)
    append_lines(run / "compare" / COMPLETIONS, rows)
    finished(run)
    return run


async def opened(pilot: Pilot, app: WorkbenchApp) -> CompareScreen:
    await pilot.press("5")
    await until(lambda: isinstance(app.screen, CompareScreen))
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    return screen


def shown(screen: CompareScreen) -> str:
    """Everything a reader can see of the pair: titles and texts of the visible parts."""
    view = screen.query_one(PairView)
    parts = [str(view.border_title), str(view.border_subtitle)]
    for part in view.query(Static):
        if part.display:
            parts += [str(part.border_title or ""), str(part.content)]
    return "\n".join(parts)


def head(screen: CompareScreen) -> str:
    return str(screen.query_one("#head", Static).content)


async def test_without_a_run_it_says_what_to_do(project):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "train one" in shown(screen))
        await pilot.press("enter", "v", "J", "i", "x", "l", "space")


async def test_a_run_not_yet_compared_says_what_enter_will_do(project):
    trained(project)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "Press enter" in shown(screen))
        assert "at most 50 prompts of data/heldout.jsonl" in shown(screen)


async def test_both_answers_stand_with_their_figures(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        assert "JSON valid 0 → 5/6" in head(screen)
        assert "JSON ✓  1/1 fields" in shown(screen)
        prompts = screen.query_one("#prompts", OptionList)
        assert prompts.option_count == 6
        assert "✗→✓" in str(prompts.get_option_at_index(0).prompt)
        await pilot.press("j", "j", "k")
        assert "question 1" in shown(screen)
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, FiguresScreen))
        figures = str(app.screen.query_one(Static).content)
        assert "all fields right" in figures
        await pilot.press("escape")
        await pilot.click("#prompts", offset=(4, 6))
        await until(lambda: "question 5" in shown(screen))


async def test_an_adapter_that_changes_nothing_is_an_alarm_that_fits_80_columns(project, compared):
    folder = compared / "compare"
    rows = [answer(n, base="same", adapter="same") for n in range(6)]
    (folder / COMPLETIONS).unlink()
    append_lines(folder / COMPLETIONS, rows)
    summary = summarise(rows, 6)
    summary.adapter_applied, summary.max_logit_difference = False, 0.000123
    (folder / "summary.json").write_bytes(msgspec.json.encode(summary))
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "adapter not applied: 6 of 6 answers identical" in head(screen))
        assert all(len(line) <= 78 for line in head(screen).splitlines())
        await pilot.press("v")
        await until(
            lambda: any("all answers are identical" in n.message for n in app._notifications)
        )


async def test_hostile_text_is_shown_inert(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        await pilot.press("j", "j", "j", "j")
        assert "[bold red]not markup[/] ␛[31mred \\u202eback" in shown(screen)
        assert "\x1b[31m" not in app.export_screenshot()


@pytest.mark.parametrize(("width", "stacked"), [(80, True), (120, False)])
async def test_answers_stand_above_each_other_below_100_columns(project, compared, width, stacked):
    app = WorkbenchApp(project)
    async with app.run_test(size=(width, 30)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        left, right = screen.query_one("#left").region, screen.query_one("#right").region
        assert (right.y > left.y) is stacked
        assert (right.x > left.x) is not stacked
        assert screen.query_one("#prompts").display is not stacked


async def test_a_blind_vote_needs_only_the_home_row_and_survives_the_terminal(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        await pilot.press("v")
        await until(lambda: "Blind vote 0 of 7" in head(screen))
        await pilot.press("a", "l", "space")
        assert "Blind vote 3 of 7" in head(screen)
        assert "pair 4 of 7" in shown(screen)
        await pilot.press("u")
        assert "pair 3 of 7" in shown(screen)
        assert "no vote yet" in shown(screen)
        await pilot.press("b", "s")
        await pilot.press("k")
        assert "your vote: skipped" in shown(screen)
    # Nothing was closed or saved on leaving: the votes were on disk one by one.
    again = WorkbenchApp(Project(project.root))
    async with again.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, again)
        await until(lambda: "base says 0" in shown(screen))
        await pilot.press("v")
        await until(lambda: "Blind vote 4 of 7" in head(screen))
        assert "pair 5 of 7" in shown(screen)
        await pilot.press("a", "a", "a")
        await pilot.press("r")
        await until(lambda: isinstance(again.screen, Confirm))
        await pilot.press("y")
        await until(lambda: "votes won" in head(screen))
        await pilot.press("v")
        assert "Blind vote" not in head(screen)
    lines = (compared / "compare" / "votes.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["type"] for line in lines]
    assert kinds == ["session", *["vote"] * 3, "undo", *["vote"] * 5, "reveal"]


async def test_a_long_answer_scrolls_with_its_prompt_and_the_other_answer(project, compared):
    folder = compared / "compare"
    (folder / COMPLETIONS).unlink()
    append_lines(folder / COMPLETIONS, [answer(0, base="word " * 900), answer(1)])
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "word word" in shown(screen))
        view = screen.query_one(PairView)
        before = [screen.query_one(f"#{part}").region.y for part in ("left", "right", "prompt")]
        await pilot.press("pagedown")
        await until(lambda: view.scroll_y > 5)
        after = [screen.query_one(f"#{part}").region.y for part in ("left", "right", "prompt")]
        moved = {old - new for old, new in zip(before, after, strict=True)}
        assert len(moved) == 1
        await pilot.press("j")
        await until(lambda: "question 1" in shown(screen) and view.scroll_y == 0)


async def test_saying_no_to_the_reveal_keeps_the_sides_hidden(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        await pilot.press("v", "a", "r")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("n")
        await until(lambda: app.screen is screen)
        assert "Blind vote 1 of 7" in head(screen)


def voting_screens(project: Project, run: Path, seed: int) -> None:
    (run / "compare" / "votes.jsonl").unlink(missing_ok=True)
    from tuiwb.compare.completions import read_completions

    Ballot(run / "compare", read_completions(run / "compare"), seed=seed)


async def test_nothing_but_the_sides_differs_when_the_sides_are_swapped(project, compared):
    """The stored session is rewritten with every side swapped; the picture is compared."""
    voting_screens(project, compared, seed=1)
    votes = compared / "compare" / "votes.jsonl"
    one = votes.read_text()
    other = (
        one.replace('"left":"base"', '"left":"?"')
        .replace('"left":"adapter"', '"left":"base"')
        .replace('"left":"?"', '"left":"adapter"')
    )
    assert one != other
    pictures = []
    for text in (one, other):
        votes.write_text(text)
        app = WorkbenchApp(Project(project.root))
        async with app.run_test(size=(120, 36)) as pilot:
            screen = await opened(pilot, app)
            await until(lambda screen=screen: "base says 0" in shown(screen))
            await pilot.press("v")
            await until(lambda screen=screen: "Blind vote" in head(screen))
            left, right = (
                str(screen.query_one(f"#{side}", Static).content) for side in ("left", "right")
            )
            everything = head(screen) + "\n" + shown(screen)
            for tell in ("fine-tune", "tokens", "JSON ✓", "exact"):
                assert tell not in everything
            assert not screen.query_one("#prompts").display
            pictures.append((left, right, everything.replace(left, "").replace(right, "")))
    (left, right, rest), (left2, right2, rest2) = pictures
    assert (left, right) == (right2, left2)
    assert rest == rest2


async def test_the_judge_without_a_key_is_a_sentence_and_votes_go_on(project, compared):
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        await pilot.press("J")
        await until(lambda: any("set ANTHROPIC_API_KEY" in n.message for n in app._notifications))
        await pilot.press("v")
        await until(lambda: "Blind vote" in head(screen))
        assert not (compared / "judge").exists()


@pytest.mark.slow
async def test_the_judge_is_confirmed_with_its_cost_and_its_verdicts_come_to_the_screen(
    project, compared, monkeypatch
):
    server = JudgeServer()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        await pilot.press("J")
        await until(lambda: isinstance(app.screen, Confirm))
        question = "\n".join(str(s.content) for s in app.screen.query(Static))
        assert "14 calls to claude-sonnet-5-5" in question
        assert server.url in question
        assert server.asked == []
        await pilot.press("y")
        await until(lambda: "judge won 5  lost 0  tied 1" in head(screen), 90)
        await until(lambda: "fine-tune, clearly" in shown(screen))
        await pilot.press("v")
        await until(lambda: "Blind vote" in head(screen))
        assert "judge" not in head(screen) + shown(screen)
    server.close()
    assert len(server.asked) == 14


@pytest.mark.slow
async def test_enter_compares_and_answers_come_to_the_screen_while_the_job_runs(
    project, tmp_path_factory
):
    base = make_base(tmp_path_factory.mktemp("model") / "tiny")
    run = make_run(project, "support-v1", str(base), project.root / "data" / "heldout.jsonl")
    make_adapter(base, run / "adapter")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "Press enter" in shown(screen))
        await pilot.press("enter")
        await until(lambda: (run / "compare" / "job.yaml").is_file())
        await until(lambda: "compare" in head(screen), 30)
        await until(lambda: "1 of 5" in shown(screen), 120)
        await until(lambda: "exact match 0 → 0/5" in head(screen), 60)
        await until(lambda: jobs.status(run / "compare").state == "finished", 60)
        await pilot.press("g")
        await until(lambda: any("already compared" in n.message for n in app._notifications))
