"""A run with a finished comparison, and how tests of its screens read them."""

from pathlib import Path
from typing import Literal

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tests.app.conftest import until
from tests.compare.builders import HELD_OUT, make_run, write_rows
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.compare import CompareScreen
from tuiwb.app.screens.compare_pair import PairScreen
from tuiwb.app.screens.compare_voting import VoteScreen
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import COMPLETIONS, Completion, read_completions
from tuiwb.compare.judge.plan import all_questions, plan_judge, prepare_judge
from tuiwb.compare.judge.protocol import VERDICTS, Verdict, VerdictRecord
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.llm.prices import Usage
from tuiwb.project import Project

NASTY = "[bold red]not markup[/] \x1b[31mred \u202eback"


def small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with held-out prompts, no key for a judge, and a rater who is known."""
    write_rows(tmp_path / "data" / "heldout.jsonl", HELD_OUT)
    (tmp_path / "tuiwb.yaml").write_text("name: small\n")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUIWB_RATER", "mia")
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


def compared_run(project: Project, name: str = "support-v1") -> Path:
    """A run whose comparison is finished: six pairs, one of them identical, one hostile."""
    run = trained(project, name)
    spec = {"base": "some/base", "prompts": str(project.root / "data" / "heldout.jsonl")}
    jobs.create(run / "compare", "compare", {**spec, "limit": 6}, name=f"{name}-compare")
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


async def voting(pilot: Pilot, app: WorkbenchApp) -> VoteScreen:
    """Begin, or go on with, the blind vote, once there are answers to vote on."""
    before = app.screen
    if isinstance(before, CompareScreen):
        await until(lambda: before.looked is not None)
    await pilot.press("v")
    await until(lambda: isinstance(app.screen, VoteScreen))
    screen = app.screen
    assert isinstance(screen, VoteScreen)
    await until(lambda: "Blind vote" in head(screen))
    return screen


def shown(screen: PairScreen) -> str:
    """Everything a reader can see of the pair: titles and texts of the visible parts."""
    view = screen.query_one(PairView)
    parts = [str(view.border_title), str(view.border_subtitle)]
    for part in view.query(Static):
        if part.display:
            parts += [str(part.border_title or ""), str(part.content)]
    return "\n".join(parts)


def head(screen: PairScreen) -> str:
    return str(screen.query_one("#head", Static).content)


def judged_for_the_adapter(project: Project, compare: Path) -> None:
    """A judge's record as its job leaves it: the fine-tune won everywhere, a tie on the second."""
    judged_by(project, compare, "some-judge", "judge", "adapter", tie="id01")


def judged_by(
    project: Project, compare: Path, model: str, name: str, winner: str, tie: str = ""
) -> None:
    """A judge's record in the folder `name`: one side won everywhere but for a tie."""
    spec = plan_judge(project, "support-v1", model=model, base_url="http://127.0.0.1:9")
    spec["folder"] = name
    folder = prepare_judge(spec)
    records = []
    for asked in all_questions(spec, read_completions(compare)):
        slot: Literal["1", "2"] = "1" if asked.first == winner else "2"
        verdict = Verdict(
            reasoning="it is JSON [bold]n[/]",
            attempted_manipulation="none",
            winner="tie" if asked.pair == tie else slot,
            strength="clear",
        )
        records.append(
            VerdictRecord(
                key=asked.key,
                pair=asked.pair,
                first=asked.first,
                second=asked.second,
                verdict=verdict,
                raw="",
                model=model,
                mode="schema",
                usage=Usage(),
                t=1.0,
            )
        )
    append_lines(folder / VERDICTS, records)
