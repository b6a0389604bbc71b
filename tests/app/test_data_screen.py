"""The data screen: rows of any file, tokens as the trainer sees them, a check that is a job."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.app.conftest import until
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.data import DataScreen
from tuiwb.app.screens.help import HelpScreen
from tuiwb.app.widgets.dataset_menu import DatasetMenu
from tuiwb.app.widgets.key_line import KeyLine
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.app.widgets.virtual_table import Column, VirtualTable
from tuiwb.data.facets import Facet
from tuiwb.project import Project

HOSTILE = "a[red]b\x1b[31mc\x00\u202ed\ud800"
SAMPLE_MODEL = Path(__file__).parents[2] / "sample_data" / "models" / "tiny-chat"


def chat(user: str, assistant: str = "yes it is") -> str:
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return json.dumps({"messages": turns}) + "\n"


@pytest.fixture
def rows(project: Project) -> Path:
    """40 rows, of which 7 holds a mail address, 21 is broken, 30 is hostile; 35 repeats row 2."""
    lines = [chat(f"question {n} about thing{n} and matter{n}", f"answer{n}") for n in range(40)]
    lines[7] = chat("write to mira@post.test about the seventh thing")
    lines[21] = '{"messages": [{"ro\n'
    lines[30] = chat(HOSTILE, "inert")
    lines[35] = lines[2]
    path = project.root / "data" / "chats.jsonl"
    path.write_text("".join(lines), "utf-8")
    return path


async def opened(pilot: Pilot[None]) -> DataScreen:
    await pilot.press("2")
    await until(lambda: pilot.app.screen.id != "_default" and _ready(pilot))
    screen = pilot.app.screen
    assert isinstance(screen, DataScreen)
    return screen


def _ready(pilot: Pilot[None]) -> bool:
    screen = pilot.app.screen
    return isinstance(screen, DataScreen) and "Row " in str(screen.query_one(RowPane).border_title)


def read(screen: DataScreen) -> str:
    return str(screen.query_one("#row", Static).render())


def title(screen: DataScreen) -> str:
    return str(screen.query_one(RowPane).border_title)


def lines_of(screen: DataScreen) -> list[str]:
    table = screen.query_one(VirtualTable)
    return [table.render_line(y).text for y in range(table.size.height)]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_rows_are_listed_and_the_cursor_opens_them(
    project: Project, rows: Path, size: tuple[int, int]
) -> None:
    for name, text in (("canary", "a canary"), ("all", "in no config")):
        (project.root / "data" / f"{name}.jsonl").write_text(chat(text))
    async with WorkbenchApp(project).run_test(size=size) as pilot:
        screen = await opened(pilot)
        await until(lambda: "question 0" in lines_of(screen)[1])
        assert lines_of(screen)[0].split() == ["row", "mark", "found", "turns", "chars", "text"]
        await pilot.press("down", "down", "down")
        await until(lambda: "question 3 about thing3" in read(screen))
        assert title(screen) == "Row 3  line 4  messages"
        await pilot.press("end")
        await until(lambda: "Row 39" in title(screen))
        assert "question 39" in lines_of(screen)[-1]
        menu = screen.query_one(DatasetMenu)
        await until(lambda: "40 rows  messages" in str(menu.get_option_at_index(2).prompt))
        await until(lambda: "1 row  messages" in str(menu.get_option_at_index(0).prompt))
        assert "[/] File" in screen.query_one(KeyLine).render_line(0).text
        await pilot.press("F", "F")
        assert pilot.app.focused is menu
        await pilot.press("k")
        await until(lambda: "a canary" in read(screen))
        await pilot.press("question_mark")
        await until(lambda: isinstance(pilot.app.screen, HelpScreen))
        told = str(pilot.app.screen.query_one(Static).render())
        assert "N  to the row before in which something was found" in told


async def test_hostile_text_is_shown_inert(project: Project, rows: Path) -> None:
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        screen._go(30)
        await until(lambda: "a[red]b␛[31mc␀\\u202ed\\ud800" in read(screen))
        assert any("a[red]b␛[31mc␀\\u202ed\\ud800" in line for line in lines_of(screen))


async def test_a_broken_row_says_why(project: Project, rows: Path) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        screen._go(21)
        await until(lambda: "half a JSON row" in " ".join(read(screen).split()))
        assert any("! broken" in line for line in lines_of(screen))


async def test_go_to_and_filter_find_rows_and_escape_shows_all_again(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        table = screen.query_one(VirtualTable)
        await pilot.press("g")
        await until(lambda: pilot.app.screen.query(Input))
        await pilot.press("2", "5", "enter")
        await until(lambda: "Row 25" in title(screen))
        await pilot.press("slash")
        await until(lambda: pilot.app.screen.query(Input))
        await pilot.press(*"THING3", "enter")
        await until(lambda: table.count == 9)
        assert "9 of 40 rows" in str(table.border_title)
        await pilot.press("escape")
        await until(lambda: table.count == 40)


async def test_the_check_runs_as_a_job_and_its_findings_are_walked_through(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        table = screen.query_one(VirtualTable)
        await pilot.press("c")
        await until(lambda: "findings in" in str(table.border_subtitle))
        for number, words in ((7, "e-mail address: mira@post.test"), (21, "malformed"),
                              (30, "lone surrogate"), (35, "exactly what row 2 says"),
                              (7, "e-mail")):  # fmt: skip
            await pilot.press("n")
            await until(lambda number=number: f"Row {number} " in title(screen))
            await until(lambda words=words: words in read(screen))
        await pilot.press("N")
        await until(lambda: "Row 35 " in title(screen))
        await pilot.press("f")
        await until(lambda: table.count == 4)
        found = [line.split("!")[1].split("  ")[0].strip() for line in lines_of(screen)[1:5]]
        assert found == ["email", "malformed", "control +2", "same as 2"]
    folders = project.job_folders("check")
    assert [jobs.status(folder).state for folder in folders] == ["finished"]


async def test_findings_are_there_again_after_a_restart_and_say_when_the_file_changed(
    project: Project, rows: Path
) -> None:
    (project.root / "data" / "nothing.jsonl").write_text("")
    folder = project.runs / "checks" / "chats-1"
    jobs.create(folder, "check", {"path": str(rows)})
    jobs.launch(folder)
    await until(lambda: jobs.status(folder).state == "finished")
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        table = screen.query_one(VirtualTable)
        await until(lambda: str(table.border_subtitle).startswith("6 findings in "))
        # It is no word on the next file, which can't be opened.
        await pilot.press("right_square_bracket")
        await until(lambda: "nothing.jsonl is empty" in _flat(screen))
        assert str(table.border_subtitle) == ""
        screen.refresh_jobs(screen.workbench.jobs)
        assert str(table.border_subtitle) == ""
        await pilot.press("left_square_bracket")
        await until(lambda: str(table.border_subtitle).startswith("6 findings in "))
    later = time.time() + 10
    os.utime(rows, (later, later))
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        table = screen.query_one(VirtualTable)
        await until(lambda: str(table.border_subtitle).startswith("changed since its check"))


@pytest.mark.slow
async def test_tokens_come_from_the_tokenizer_process_and_it_comes_back_when_killed(
    project: Project, rows: Path
) -> None:
    # It begins when the test says so.
    python, begin = project.root / "python", project.root / "begin"
    python.write_text(
        f'#!/bin/sh\nwhile ! [ -e {begin} ]; do sleep 0.02; done\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    config = project.root / "configs" / "first.yaml"
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        screen.query_one(RowPane)._sidecar._python = str(python)
        await pilot.press("v")
        await until(lambda: "no base model is here: make a config" in _flat(screen))
        config.write_text(config.read_text().replace("models/none", str(SAMPLE_MODEL)))
        await pilot.press("v", "v")
        await until(lambda: "loading the tokenizer" in read(screen))
        begin.touch()
        await until(lambda: "trained (" in title(screen))
        assert read(screen).split("\n")[0] == "<|im_start|>user⏎"
        assert "answer0<|im_end|>⏎" in read(screen)
        pid = screen.query_one(RowPane)._sidecar.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await pilot.press("down")
        await until(lambda: "answer1<|im_end|>" in read(screen))
        await pilot.press("v")
        await until(lambda: "<|im_end|>" not in read(screen))


def _flat(screen: DataScreen) -> str:
    return " ".join(read(screen).split())


async def test_a_file_that_changed_on_disk_is_opened_again(project: Project, rows: Path) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        rows.write_text(chat("a new beginning"))
        await pilot.press("1", "2")
        await until(lambda: "a new beginning" in read(screen))
        assert "  1 row  " in str(screen.query_one(VirtualTable).border_title)


async def test_a_filter_that_finds_nothing_says_so(project: Project, rows: Path) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash")
        await until(lambda: pilot.app.screen.query(Input))
        await pilot.press(*"nowhere", "enter")
        await until(lambda: "no rows match: esc clears the filter" in _flat(screen))


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (30, 8), (200, 60)])
async def test_odd_sizes_do_not_crash(project: Project, rows: Path, size: tuple[int, int]) -> None:
    async with WorkbenchApp(project).run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("end", "z", "escape", "home")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()


async def test_ten_million_rows_paint_only_what_is_seen() -> None:
    asked: list[int] = []

    class Million(App[None]):
        def compose(self) -> ComposeResult:
            yield VirtualTable((Column("row", 9, right=True), Column("text")))

    def cells(position: int) -> tuple[str, str]:
        asked.append(position)
        return str(position), f"text {position}"

    app = Million()
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.query_one(VirtualTable)
        table.show(10_000_000, cells, lambda _position: False)
        await pilot.press("end")
        await until(lambda: 9_999_999 in asked)
        assert table.render_line(table.size.height - 1).text.split() == [
            "9999999", "text", "9999999"
        ]  # fmt: skip
        await pilot.press("up", "pageup")
        assert table.cursor < 9_999_998
        assert len(asked) < 500
        await pilot.click(VirtualTable, offset=(5, 1))
        assert table.cursor == table.scroll_offset.y


@pytest.mark.parametrize("height", [30, 31, 33, 36])
async def test_the_list_of_datasets_begins_with_a_name_however_far_down_the_open_one_is(
    project: Project, height: int
) -> None:
    for n in range(20):
        (project.root / "data" / f"set{n:02}.jsonl").write_text(chat("hello"))
    config = project.root / "configs" / "first.yaml"
    config.write_text(config.read_text().replace("chats.jsonl", "set19.jsonl"))
    async with WorkbenchApp(project).run_test(size=(120, height)) as pilot:
        screen = await opened(pilot)
        menu = screen.query_one(DatasetMenu)
        await until(lambda: menu.scroll_offset.y > 0)
        await until(lambda: "1 row" in menu.render_line(menu.size.height - 1).text)
        assert ".jsonl" in menu.render_line(0).text


async def test_datasets_take_the_lines_that_no_facet_needs_each_with_its_name_on_one(
    project: Project,
) -> None:
    version = project.root / "data" / "versions" / "a-version-of-a-long-name" / "train.jsonl"
    version.parent.mkdir(parents=True)
    for path in (version, *(version.parents[2] / f"set{n:02}.jsonl" for n in range(11))):
        path.write_text(chat("hello"))
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        menu = screen.query_one(DatasetMenu)
        lines = [f"set{n:02}.jsonl" for n in range(11)] + ["chats.jsonl", "name/train.jsonl"]

        def shown() -> str:
            return "\n".join(menu.render_line(y).text for y in range(menu.size.height))

        await until(lambda: all(line in shown() for line in lines))
        assert menu.max_scroll_y == 0
        screen._facets.show([Facet("topic", f"t{n}", 1, f"topic=t{n}") for n in range(40)], "", "")
        screen._fit_files()
        await until(lambda: 12 < menu.size.height < 18)
        await pilot.resize_terminal(80, 24)
        await pilot.press("F", "F")
        await until(lambda: menu.has_focus)
        await pilot.press("end")
        await until(lambda: "versions/a-version-of-a-long-name/train.jsonl" in shown())
