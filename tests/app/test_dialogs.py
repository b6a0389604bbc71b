"""Every dialog that asks for a value: what can't be is said in it, and what was typed stays."""

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from tests.app.conftest import until
from tests.app.test_data_curation import opened
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.data_versions import general_share, held_out
from tuiwb.app.screens.dialogs import Ask, Form
from tuiwb.app.screens.version_dialogs import CleanDialog, GenerateDialog, marks_left_out
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.errors import BadInput
from tuiwb.project import Project

TINY_CHAT = Path(__file__).parents[2] / "sample_data" / "models" / "tiny-chat"


@pytest.fixture
def rows(project: Project) -> Path:
    """40 prompts and answers, and general ones beside them."""
    path = project.root / "data" / "chats.jsonl"
    for name in ("chats", "general"):
        lines = (json.dumps({"prompt": f"{name} {n}", "completion": "yes"}) for n in range(40))
        path.with_stem(name).write_text("\n".join(lines) + "\n")
    return path


def problem(pilot: Pilot[None]) -> str:
    """What the dialog says against what was typed."""
    line = pilot.app.screen.query_one("#problem", Static)
    return str(line.render()) if line.display else ""


def said(line: Static) -> str:
    """A line's words, whatever its width."""
    return " ".join(str(line.render()).split())


async def refused(pilot: Pilot[None], typed: str, sentence: str) -> None:
    """Type into the dialog that is open: it says why not, and keeps text and focus."""
    await until(lambda: isinstance(pilot.app.screen, Form) and pilot.app.screen.query(Input))
    dialog, field = pilot.app.screen, pilot.app.screen.query(Input).first()
    field.value = typed
    await pilot.press("enter")
    await until(lambda: sentence in " ".join(problem(pilot).split()))
    assert pilot.app.screen is dialog
    assert field.value == typed
    assert pilot.app.focused is field
    assert not pilot.app._notifications


def number(said: str) -> int:
    """Reads digits."""
    if not said.isdecimal():
        raise BadInput(f"{said!r} is no number: give 7")
    return int(said)


async def test_what_can_not_be_is_said_in_the_dialog_until_something_else_is_typed(
    project: Project,
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        told: list[int | None] = []
        pilot.app.push_screen(Ask("How many?", number), told.append)
        await refused(pilot, "[bold]ten", "'[bold]ten' is no number: give 7")
        await pilot.press("left", "8")
        await until(lambda: problem(pilot) == "")
        pilot.app.screen.query_one(Input).value = "8"
        await pilot.press("enter")
        await until(lambda: told == [8])
        pilot.app.push_screen(Ask("How many?", number), told.append)
        await refused(pilot, "", "'' is no number")
        await pilot.press("escape")
        await until(lambda: told == [8, None])


async def test_the_questions_of_the_data_screen_keep_what_was_typed(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        table = screen.query_one(VirtualTable)
        asked = {
            "g": ("5000", "there is no row 5000: give one from 0 to 39"),
            "slash": ("turns>many", "turns"),
            "t": ("models/no/such", "there is no model folder"),
            "r": ("abc", "'abc' is no number of rows"),
        }
        for key, (typed, sentence) in asked.items():
            await pilot.press(key)
            await refused(pilot, typed, sentence)
            await pilot.press(*"abc")  # no commands: a audits, c checks
            await pilot.press("escape")
            await until(lambda: pilot.app.screen is screen)
        assert project.job_folders("check") == []
        await pilot.press("g")
        await refused(pilot, "9" * 5000, "there is no row")
        pilot.app.screen.query_one(Input).value = "39"
        await pilot.press("enter")
        await until(lambda: table.cursor == 39)


async def test_shares_of_a_new_version_are_looked_at_before_the_job(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        # j moves in the menu: to Split, and to Mix.
        await pilot.press("w")
        await until(lambda: pilot.app.screen.query("Pick OptionList"))
        await pilot.press("j", "enter")
        await refused(pilot, "1.5", "'1.5' is no share: give 0.05")
        await refused(pilot, "40", "has 40 rows: hold out fewer")
        await pilot.press("escape")
        await until(lambda: pilot.app.screen is screen)
        await pilot.press("w")
        await until(lambda: pilot.app.screen.query("Pick OptionList"))
        await pilot.press("j", "j", "enter")
        await until(lambda: pilot.app.screen.query_one(".dialog").border_title != "")
        await until(lambda: "Mix" in str(pilot.app.screen.query_one(".dialog").border_title))
        await pilot.press("enter")
        await refused(pilot, "nan", "'nan' is no share between 0 and 1")
        await pilot.press("escape")
        await until(lambda: pilot.app.screen is screen)
        await pilot.press("d", "w")
        await until(lambda: pilot.app.screen.query("Pick OptionList"))
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, CleanDialog))
        line = pilot.app.screen.query_one("#will", Static)
        await until(lambda: "enter will apply your marks, fix the form, drop" in said(line))
        await pilot.press("space")
        await until(lambda: "! your marks stay out: 1 drop" in said(line))
        assert "enter will fix the form, drop exact duplicates" in said(line)
        await pilot.press("j", "space", "j", "space", "j", "space")
        await until(lambda: said(line).startswith("Nothing is chosen."))
        await pilot.press("enter")
        await until(lambda: said(line) == "✗ nothing is chosen: space chooses")
        assert isinstance(pilot.app.screen, CleanDialog)
    assert project.job_folders("version") == []


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"marks"}, ["2 hard"]),
        ({"hard", "exact"}, ["1 drop", "1,000 reject", "5 edited"]),
        ({"exact"}, ["1 drop", "1,000 reject", "5 edited", "4 keep", "2 hard"]),
        ({"marks", "hard"}, []),
    ],
)
def test_marks_stay_out_of_a_version_where_nothing_chosen_goes_by_them(
    chosen: set[str], said: list[str]
) -> None:
    marks = {"keep": 4, "drop": 1, "hard": 2, "accept": 3, "reject": 1000, "edited": 5}
    assert marks_left_out(chosen, marks) == said
    assert marks_left_out(chosen, {"accept": 3}) == []


def test_a_share_or_a_number_of_rows_is_held_out() -> None:
    assert held_out(" 0.1 ", 50) == {"share": 0.1}
    assert held_out("49", 50) == {"rows": 49}
    assert general_share("0.25") == 0.25
    for said in ("", "0", "-1", "1e999", "inf", "50", "2.5", "half"):
        with pytest.raises(BadInput):
            held_out(said, 50)
    for said in ("", "0", "1", "20", "nan"):
        with pytest.raises(BadInput):
            general_share(said)


async def test_a_runs_name_is_looked_at_before_anything_starts(
    project: Project, rows: Path
) -> None:
    (project.root / "configs" / "first.yaml").write_text(
        f"model: {{base: {TINY_CHAT}}}\nmethod: sft\ndata: {{train: data/chats.jsonl}}\n"
    )
    (project.runs / "taken").mkdir(parents=True)
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(lambda: pilot.app.screen.query(TextArea) and pilot.app.screen.query(".panel"))
        await until(lambda: "chats.jsonl" in pilot.app.screen.query_one(TextArea).text)
        await pilot.press("ctrl+t")
        await refused(pilot, "../mine", "'../mine' can't be a run's name")
        await refused(pilot, "taken", "a run named 'taken' exists already")
        await pilot.press("escape")
    assert project.job_folders("train") == []


async def test_a_look_that_ends_in_an_unforeseen_error_can_be_taken_again(
    project: Project,
) -> None:
    asked: list[dict[str, Any]] = []

    def plan(said: dict[str, Any]) -> int:
        asked.append(said)
        if len(asked) == 1:
            raise ZeroDivisionError("no rows")
        return len(asked)

    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        told: list[int | None] = []
        pilot.app.push_screen(GenerateDialog("chats", plan), told.append)
        await until(lambda: pilot.app.screen.query("#task"))
        await pilot.press("enter")
        await until(lambda: "(ZeroDivisionError: no rows)" in problem(pilot))
        await pilot.press("enter")
        await until(lambda: told == [2])
    assert asked[1]["rows"] == 100
