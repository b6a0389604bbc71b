"""The Compare screen: side by side, with figures; the judge asked and confirmed."""

import msgspec
import pytest
from textual.widgets import Input, OptionList, Static

from tests.app.compare.comparing import (
    answer,
    finished,
    head,
    opened,
    shown,
    trained,
    voting,
)
from tests.app.conftest import until
from tests.compare.builders import make_adapter, make_base, make_run
from tests.compare.judge_server import JudgeServer
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare_judge import AskJudge
from tuiwb.app.screens.compare_new import NewComparison
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.compare.completions import COMPLETIONS, summarise
from tuiwb.compare.plan import plan, prepare
from tuiwb.compare.vote.records import VOTES, Vote
from tuiwb.jobs.lines import append_lines

NAMES = ("against", "file", "limit")  # the fields of a new comparison


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
        said = " ".join(shown(screen).split())
        assert "at most 50 prompts of data/heldout.jsonl" in said


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


@pytest.mark.parametrize("size", [(120, 24), (80, 24)])
async def test_both_answers_scroll_together_and_a_long_one_never_hides_the_other(
    project, compared, size
):
    folder = compared / "compare"
    (folder / COMPLETIONS).unlink()
    long = "\n".join(f"row {n}" for n in range(90))
    short = "\n".join(f"tuned {n}" for n in range(40))
    append_lines(folder / COMPLETIONS, [answer(0, base=long, adapter=short), answer(1)])
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "row 0" in shown(screen))
        left, right = (screen.query_one(f"#{side}", Static) for side in ("left", "right"))
        assert left.region.size == right.region.size
        assert "tuned 0" in shown(screen)
        places = (left.region, right.region, screen.query_one("#prompt").region)
        await pilot.press("f")
        first = str(left.content).split("\n")[0]
        assert first.startswith("row ")
        assert first != "row 0"
        assert str(right.content).split("\n")[0] == first.replace("row", "tuned")
        assert places == (left.region, right.region, screen.query_one("#prompt").region)
        await pilot.press("end")
        assert str(left.content).endswith("row 89")
        assert str(right.content) == ""
        assert "of 90 (f/d)" in shown(screen)
        await pilot.press("d", "home", "j")
        await until(lambda: "question 1" in shown(screen))
        assert "lines" not in shown(screen)


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
        await until(lambda: isinstance(app.screen, AskJudge))
        offer = app.screen.query_one("#offer", Static)
        await until(lambda: "14 calls" in str(offer.content))
        assert f"claude-sonnet-5-5 at {server.url}" in str(offer.content)
        assert "both orders" in str(offer.content)
        await pilot.press("r", "b")
        await until(lambda: "as a batch" in str(offer.content) and "calls" in str(offer.content))
        assert "rubric helpfulness" not in str(offer.content)
        await pilot.press("b", "k", "j")
        await until(lambda: "14 calls" in str(offer.content))
        assert server.asked == []
        await pilot.press("y")
        await until(lambda: "y shows them" in head(screen))
        assert "clearly" not in shown(screen)
        await pilot.press("y")
        assert "judge won 5  lost 0  tied 1" in head(screen)
        await until(lambda: "fine-tune, clearly" in shown(screen))
        rated = await voting(pilot, app)
        assert "judge" not in head(rated) + shown(rated)
    server.close()
    assert len(server.asked) == 14


async def test_enter_takes_back_the_comparison_that_asked_the_same_and_says_so(project):
    run = trained(project)
    for adapter, base in ((b"1", "first"), (b"2", "second")):
        (run / "adapter" / "adapter_model.safetensors").write_bytes(adapter)
        folder = prepare(plan(project, "support-v1", limit=3))
        append_lines(folder / COMPLETIONS, [answer(0, base=base)])
        append_lines(folder / VOTES, [Vote(pair="id00", choice="left", rater="ann")])
        finished(run)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "second" in shown(screen))
        await pilot.press("enter")
        await until(lambda: any("already compared" in n.message for n in app._notifications))
        (run / "adapter" / "adapter_model.safetensors").write_bytes(b"1")
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        asked = " ".join(str(s.content) for s in app.screen.query(Static))
        assert "The answers shown, with 1 vote, are kept" in asked
        await pilot.press("n")
        await until(lambda: app.screen is screen)
        assert "second" in shown(screen)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: "first" in shown(screen))
        told = " ".join(n.message for n in app._notifications)
        assert "with 1 vote, is set aside as support-v1/compare-2" in told
        assert "support-v1/compare-1 asked the same: it is taken back, with 1 vote" in told


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_n_asks_other_sides_or_prompts_and_says_in_the_form_what_can_not_be(
    project, compared, size
):
    app = WorkbenchApp(project)

    def problem() -> str:
        return str(app.screen.query_one("#problem", Static).content)

    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "base says 0" in shown(screen))
        trained(project, "support-v2")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, NewComparison))
        fields = {name: app.screen.query_one(f"#{name}", Input) for name in NAMES}
        assert [field.value for field in fields.values()] == ["base", "", "6"]
        for name, said, sentence in (
            ("against", "base suport-v2", "did you mean 'support-v2'?"),
            ("against", "base support-v1", "are the same model"),
            ("file", "data/none.jsonl", "there is no prompts file"),
            ("limit", "0", "0 is no number of prompts: give 1 to 1,000,000"),
        ):
            before, fields[name].value = fields[name].value, said
            await pilot.press("enter")
            await until(lambda sentence=sentence: sentence in problem())
            assert "--" not in problem()
            assert isinstance(app.screen, NewComparison)
            fields[name].value = before
        fields["against"].value = "base support-v2"
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        asked = " ".join(str(s.content) for s in app.screen.query(Static))
        assert "The answers shown are kept" in asked
        await pilot.press("n")
        await until(lambda: app.screen is screen)
        assert "base says 0" in shown(screen)
    assert not (compared / "compare-1").exists()


async def test_what_was_asked_before_comes_back_from_the_form(project):
    run = trained(project)
    for limit, base in ((3, "first"), (4, "second")):
        folder = prepare(plan(project, "support-v1", limit=limit))
        append_lines(folder / COMPLETIONS, [answer(0, base=base)])
        finished(run)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await until(lambda: "second" in shown(screen))
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, NewComparison))
        app.screen.query_one("#limit", Input).value = "3"
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        asked = " ".join(str(s.content) for s in app.screen.query(Static))
        assert "compare-1 asked this before: it takes their place" in asked
        await pilot.press("y")
        await until(lambda: "first" in shown(screen))


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
        await until(lambda: "compare" in head(screen))
        await until(lambda: "1 of 5" in shown(screen))
        await until(lambda: "exact match 0 → 0/5" in head(screen))
        await until(lambda: jobs.status(run / "compare").state == "finished")
        await until(lambda: screen.at_work() is None)
        await pilot.press("g")
        await until(lambda: any("already compared" in n.message for n in app._notifications))
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, NewComparison))
        app.screen.query_one("#limit", Input).value = "2"
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: "1 of 2" in shown(screen))
        assert (run / "compare-1" / "summary.json").is_file()
        await until(lambda: jobs.status(run / "compare").state == "finished")
