"""The gate's dialog on Compare, and the verdict beside the adapter on Serve."""

import re

import pytest
from textual.widgets import Static

from tests.app.compare.comparing import compared_run, opened, trained, voting
from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.widgets.gate_view import GateScreen, gate_lines
from tuiwb.app.widgets.serve_words import model_line, verdict_line
from tuiwb.compare.gate.verdict import Gate, GateLine, read_gate, verdict_words
from tuiwb.serve.spec import Served


def said(app: WorkbenchApp) -> str:
    return str(app.screen.query_one("#lines", Static).content)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_g_shows_the_verdict_with_what_is_missing_and_keeps_it(project, size):
    run = compared_run(project)
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)
        await pilot.press("G")
        await until(lambda: isinstance(app.screen, GateScreen) and "NO-SHIP" in said(app))
        text = said(app)
        assert "canary set" in text
        assert f"run: tuiwb eval {run.name} --tasks canary" in " ".join(text.split())
        # Wrapped by hand to the dialog's width: nothing is broken again.
        width = app.screen.query_one("#lines", Static).size.width
        assert max(map(len, text.splitlines())) <= width
        await until(lambda: (run / "gate.html").is_file())
        kept = read_gate(run)
        assert kept is not None
        assert kept.verdict == "NO-SHIP"
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, GateScreen))
    assert verdict_words(run) == "NO-SHIP"
    (run / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert verdict_words(run) == "NO-SHIP, out of date"


async def test_the_gate_of_a_run_that_was_not_compared_says_so(project):
    trained(project)
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("G")
        await until(lambda: isinstance(app.screen, GateScreen) and "NO-SHIP" in said(app))
        assert "have not been compared" in " ".join(said(app).split())


async def test_without_held_out_prompts_the_rest_that_is_missing_is_run_all_the_same(project):
    run = trained(project)
    job = run / "job.yaml"
    job.write_text(re.sub(r"heldout: .*", "heldout: null", job.read_text()))
    # Whoever looks at it begins the evaluation.
    (project.root / "data" / "canary.jsonl").write_text("no row\n")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("G")
        await until(lambda: isinstance(app.screen, GateScreen) and "NO-SHIP" in said(app))
        assert f"tuiwb compare {run.name} --prompts FILE" in " ".join(said(app).split())
        await pilot.press("r")
        await until(lambda: "has no held-out file" in said(app))
        assert "(n, New comparison)" in " ".join(said(app).split())
        assert "canary.jsonl" in said(app).partition("NO-SHIP")[0]


async def test_while_a_vote_hides_the_sides_the_gate_stays_shut(project):
    compared_run(project)
    app = WorkbenchApp(project)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot, app)
        await voting(pilot, app)
        await pilot.press("a")
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("G")
        await pilot.pause()
        assert not isinstance(app.screen, GateScreen)


def test_hostile_figures_are_inert_and_wrapped_lines_hang():
    line = GateLine(
        name="canary",
        label="canary set",
        ok=False,
        figure="\x1b[31m[red]lost[/red] " + "words " * 30,
        threshold="none",
        change="train less",
    )
    found = Gate(verdict="NO-SHIP", run="x", lines=[line])
    text = gate_lines(found, 60).plain
    assert "\x1b" not in text
    assert "[red]lost[/red]" in text
    rows = text.splitlines()
    assert max(map(len, rows)) <= 60
    hanging = [row for row in rows if row.startswith("  ") and "words" in row]
    assert hanging
    assert {len(re.match(" *", row).group()) for row in hanging} == {14}  # type: ignore[union-attr]


def test_serve_says_the_verdict_beside_the_adapter_where_there_is_room():
    adapter = Served(id="support-v1", root="/runs/support-v1/adapter", parent="tiny-chat")
    assert "support-v1  NO-SHIP" in model_line(adapter, None, 80, "NO-SHIP").plain
    assert "NO-SHIP" not in model_line(adapter, None, 50, "NO-SHIP").plain
    assert verdict_line("support-v1", {"support-v1": "SHIP"}) == "gate of support-v1: SHIP"
    assert verdict_line("other", {"support-v1": "SHIP"}) == ""
