"""Config: letters are keys until one edits, problems with their lines, and no text is ever lost."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.command import CommandPalette
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static, TextArea

from tests.app.conftest import until
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.drafts import Drafts
from tuiwb.app.screens.config_new import NewConfig
from tuiwb.app.screens.dialogs import Ask, Confirm
from tuiwb.app.screens.help import HelpScreen
from tuiwb.project import Project

SMALL, LARGE = (80, 24), (120, 36)


@asynccontextmanager
async def config_of(
    project: Project, size: tuple[int, int] = LARGE
) -> AsyncIterator[tuple[WorkbenchApp, Pilot[None]]]:
    """The program on its Config screen."""
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        await until(lambda: app.current_mode == "config" and app.screen.query("#editor"))
        yield app, pilot


def text_of(app: WorkbenchApp) -> str:
    return app.screen.query_one("#editor", TextArea).text


def said(app: WorkbenchApp) -> str:
    return " ".join(n.message for n in app._notifications)


def shown(app: WorkbenchApp, where: str) -> str:
    return str(app.screen.query_one(where, Static).render())


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_keys_move_between_screens_and_lines_until_one_edits(
    project: Project, size: tuple[int, int]
) -> None:
    async with config_of(project, size) as (app, pilot):
        before = text_of(app)
        app.screen.query_one("#editor").focus()
        app.screen.query_one("#editor").post_message(Paste("pasted"))
        await pilot.press("x", "question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, HelpScreen))
        await pilot.press("5")
        await until(lambda: app.current_mode == "compare")
        await pilot.press("3")
        await until(lambda: app.current_mode == "config")
        assert text_of(app) == before
        await pilot.press("e", "5", "question_mark")
        await until(lambda: text_of(app) == "5?" + before)
        assert app.current_mode == "config"
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, HelpScreen))
        await pilot.press("6")
        await until(lambda: text_of(app) == "5?6" + before)  # a dialog ends no editing
        await app.action_go("data")
        await pilot.pause()
        await app.action_go("config")
        await pilot.press("5")
        await until(lambda: app.current_mode == "compare")  # another screen does
        await pilot.press("3", "e", "7")
        await until(lambda: text_of(app) == "5?67" + before)
        await pilot.press("escape", "5")
        await until(lambda: app.current_mode == "compare")
    assert (project.root / "configs" / "first.yaml").read_text() == before


async def test_the_error_is_shown_with_its_line_and_the_nearest_name(project: Project) -> None:
    async with config_of(project) as (app, pilot):
        await until(lambda: "learning_rate" in shown(app, "#problem-lines"))
        assert "line 5: " in shown(app, "#problem-lines")
        assert "not in the cache here" in shown(app, "#problem-lines"), "named things are looked at"
        await pilot.press("ctrl+e", "ctrl+e")
        editor = app.screen.query_one("#editor", TextArea)
        await until(lambda: editor.cursor_location[0] == 4)
        assert editor.read_only


async def test_the_key_under_the_cursor_is_explained_while_reading(project: Project) -> None:
    async with config_of(project, SMALL) as (app, pilot):
        await pilot.press("down")
        await until(lambda: "method" in shown(app, "#doc-lines"))


async def test_saving_writes_the_file_and_keeps_comments(project: Project) -> None:
    path = project.root / "configs" / "first.yaml"
    async with config_of(project) as (app, pilot):
        await pilot.press("enter", *"# mine", "enter", "ctrl+s")
        await until(lambda: path.read_text().startswith("# mine\nmodel:"))
        await until(lambda: said(app) == "saved configs/first.yaml")


async def test_unsaved_edits_come_back_and_can_be_taken_back(project: Project) -> None:
    path = project.root / "configs" / "first.yaml"
    saved = path.read_text()
    async with config_of(project) as (_app, pilot):
        # Left at once: what was typed last must not wait for a pause.
        await pilot.press("e", *"# lost")
    assert path.read_text() == saved
    async with config_of(project) as (app, pilot):
        await until(lambda: text_of(app).startswith("# lost"))
        await pilot.press("ctrl+r")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("n")
        assert text_of(app).startswith("# lost")
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"revert")
        await until(lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: app.screen.query("#editor") and text_of(app) == saved)
        assert Drafts(project.cache / "drafts").read(path) is None
        await pilot.press("e", "ctrl+z")
        await until(lambda: text_of(app).startswith("# lost"))


async def test_edits_older_than_the_file_come_back_only_when_asked_for(project: Project) -> None:
    path = project.root / "configs" / "first.yaml"
    drafts = Drafts(project.cache / "drafts")
    drafts.write(path, "# mine\n" + path.read_text())
    newer = path.stat().st_mtime + 100
    os.utime(path, (newer, newer))
    app = WorkbenchApp(project)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.press("3")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: app.current_mode == "config" and not isinstance(app.screen, Confirm))
        await until(lambda: text_of(app).startswith("# mine"))
    assert not path.read_text().startswith("# mine")


async def test_moving_through_the_list_opens_each_and_keeps_the_edits_of_the_others(
    project: Project,
) -> None:
    first = project.root / "configs" / "first.yaml"
    (project.root / "configs" / "second.yaml").write_text("method: sft\n")
    async with config_of(project) as (app, pilot):
        await pilot.press("e", "#", "escape", "down")
        assert text_of(app).startswith("#model"), "after an edit the arrows stay in the text"
        await pilot.press("escape", "down")
        await until(lambda: text_of(app) == "method: sft\n")
        files = app.screen.query_one("#files", OptionList)
        await pilot.press("e")
        await pilot.click(files, offset=(4, 1))
        await until(lambda: text_of(app).startswith("#model"))
        assert app.screen.query_one("#editor", TextArea).read_only, "a click edits nothing"
        await pilot.press("down")
        await until(lambda: text_of(app) == "method: sft\n")
        assert [str(option.prompt)[:1] for option in files.options] == ["●", " "]
        await pilot.press("right_square_bracket")
        await until(lambda: text_of(app).startswith("#model"))
    assert first.read_text().startswith("model")


async def test_a_text_without_a_file_is_kept_and_gets_a_name_when_saved(project: Project) -> None:
    (project.root / "configs" / "first.yaml").unlink()
    async with config_of(project, SMALL) as (_app, pilot):
        await pilot.press("e", *"method: sft", "ctrl+q")
    async with config_of(project, SMALL) as (app, pilot):
        await until(lambda: text_of(app) == "method: sft")
        await pilot.press("ctrl+s")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press(*"my run", "enter")
        await until(lambda: "can't be a config's name" in shown(app, "#problem"))
        assert app.screen.query_one(Input).value == "my run"
        await pilot.press(*["backspace"] * 4, "enter")
        path = project.root / "configs" / "my.yaml"
        await until(path.is_file)
        assert path.read_text() == "method: sft"
        await until(lambda: app.screen.query("#editor"))
        assert "my.yaml" in str(app.screen.query_one("#editor").border_title)


async def test_a_file_changed_by_others_is_shown_as_it_is_now(project: Project) -> None:
    path = project.root / "configs" / "first.yaml"
    async with config_of(project) as (app, _pilot):
        path.write_text("# by others\nmethod: sft\n")
        app.read_jobs()
        await until(lambda: text_of(app).startswith("# by others"))


async def test_a_new_config_asks_for_the_base_where_none_is_known(project: Project) -> None:
    (project.root / "configs" / "first.yaml").unlink()
    row = (project.root / "data" / "chats.jsonl").read_text().splitlines()[0]
    for name in ("canary", "heldout"):
        (project.root / "data" / f"{name}.jsonl").write_text(f"{row}\n" * 9)
    path = project.root / "configs" / "chats-lora.yaml"
    async with config_of(project, SMALL) as (app, pilot):
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(app.screen, NewConfig))
        names = [str(o.prompt) for o in app.screen.query_one("#data", OptionList).options]
        assert names == [f"data/{name}.jsonl" for name in ("chats", "canary", "heldout")]
        await pilot.press("enter")
        await until(lambda: "name the base model" in shown(app, "#problem"))
        await pilot.press(*"./models/none", "enter")
        await until(lambda: app.screen.query("#editor") and "chats" in text_of(app))
        await until(lambda: "there is no base model" in shown(app, "#problem-lines"))
    written = path.read_text()
    for line in ('base: "./models/none"', "train: data/chats.jsonl", "heldout: data/heldout.jsonl"):
        assert line in written


async def test_a_draft_on_a_read_only_disk_is_shown_and_can_be_reverted(
    project: Project, read_only: Callable[[], None]
) -> None:
    path = project.root / "configs" / "first.yaml"
    Drafts(project.cache / "drafts").write(path, "# mine\n" + path.read_text())
    read_only()
    async with config_of(project) as (app, pilot):
        await until(lambda: text_of(app).startswith("# mine"))
        await until(lambda: "learning_rate" in shown(app, "#problem-lines"))
        await pilot.press("ctrl+t")
        await pilot.press("ctrl+r")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: not text_of(app).startswith("# mine"))
        await until(lambda: "the draft can't be deleted" in said(app))


async def test_quitting_asks_while_an_edit_is_on_no_disk(
    project: Project, read_only: Callable[[], None]
) -> None:
    read_only()
    async with config_of(project, SMALL) as (app, pilot):
        await pilot.press("e", "#", "ctrl+s")
        await until(lambda: "nor a draft: the edit is in this window only" in said(app))
        assert "kept as a draft" not in said(app)
        await pilot.press("escape", "q")
        await until(lambda: isinstance(app.screen, Confirm))
        assert "configs/first.yaml" in str(app.screen.query_one(Static).render())
        await pilot.press("ctrl+q", "n")
        await until(lambda: not isinstance(app.screen, Confirm))
        assert text_of(app).startswith("#model")
        await pilot.press("ctrl+q")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: app._exit)
