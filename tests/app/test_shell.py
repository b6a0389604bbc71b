"""The shell: moving between screens, help, themes, Home's suggestions, hostile text."""

import asyncio
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static, TextArea

from tests.app.conftest import is_laid_out_without_end, until
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.keys import actions_of, is_own
from tuiwb.app.next_steps import next_steps
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.screens.help import HelpScreen
from tuiwb.app.screens.train import TrainScreen
from tuiwb.app.themes import themes
from tuiwb.app.widgets.nowhere import Nowhere
from tuiwb.app.yaml_cursor import key_path, row_of
from tuiwb.compare.gate.verdict import Gate, write_gate
from tuiwb.jobs.events import Alert, Artifact, EventWriter, Metrics, State
from tuiwb.jobs.folder import EVENTS
from tuiwb.project import Project

SIZES = [(80, 24), (120, 36)]


def a_run(project: Project, name: str, state: str = "finished", message: str = "") -> Path:
    folder = project.runs / name
    jobs.create(folder, "train", {})
    writer = EventWriter(folder / EVENTS)
    writer.emit(State(state="running", phase="training", t=1000.0))
    for step in range(1, 21):
        writer.emit(
            Metrics(step=step, total_steps=20, t=1000.0 + step, values={"loss": 2.0 / step})
        )
    writer.emit(State(state=state, message=message, t=1030.0))
    writer.close()
    return folder


@pytest.mark.parametrize("size", SIZES)
async def test_each_digit_shows_its_screen_and_none_crashes_at_common_sizes(
    project: Project, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        for key, mode in zip(
            "234561", ("data", "config", "train", "compare", "serve", "home"), strict=True
        ):
            await pilot.press(key)
            await until(lambda mode=mode: app.current_mode == mode)
            await pilot.pause()


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (20, 8), (200, 60)])
async def test_odd_terminal_sizes_do_not_crash_and_are_laid_out_once(
    project: Project, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        for mode in ("home", "train", "config"):
            await app.action_go(mode)
            assert not await is_laid_out_without_end(monkeypatch)
        await pilot.resize_terminal(80, 24)
        await pilot.resize_terminal(5, 5)
        await pilot.pause()


async def test_home_suggests_data_first_and_enter_goes_there(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test() as pilot:
        steps = app.screen.query_one("#steps", OptionList)
        await until(lambda: steps.option_count == 5)
        assert "Look at the data" in str(steps.get_option_at_index(0).prompt)
        await pilot.press("enter")
        await until(lambda: app.current_mode == "data")


async def test_home_says_that_a_folder_is_no_project_until_it_is_one(tmp_path: Path) -> None:
    app = WorkbenchApp(Project(tmp_path))
    async with app.run_test(size=(80, 24)):
        nowhere = app.screen.query_one(Nowhere)
        await until(lambda: nowhere.display and "`tuiwb init`" in str(nowhere.render()))
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "rows.jsonl").write_text("{}\n")
        app.read_jobs()
        await until(lambda: not nowhere.display)


async def test_home_lists_runs_with_state_and_loss(project: Project) -> None:
    a_run(project, "one")
    a_run(project, "two", "failed", "out of memory")
    app = WorkbenchApp(project)
    async with app.run_test() as pilot:
        runs = app.screen.query_one("#runs", OptionList)
        await until(lambda: runs.option_count == 2)
        lines = [str(option.prompt) for option in runs.options]
        assert any("one" in line and "finished" in line and "loss 0.1" in line for line in lines)
        assert any("two" in line and "failed" in line for line in lines)
        await pilot.pause()


async def test_help_lists_the_keys_of_the_screen_that_is_shown(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test() as pilot:
        await pilot.press("4")
        await until(lambda: app.current_mode == "train")
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        text = "\n".join(str(s.render()) for s in app.screen.query(Static))
        for words in (
            "Filter",
            "Sort by column",
            "Turn order",
            "Show archived",
            "quit; jobs go on",
        ):
            assert words in text
        (line,) = (line for line in text.splitlines() if "quit; jobs go on" in line)
        assert sorted(line.partition("quit;")[0].split()) == ["^q", "q"]
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, HelpScreen))


def is_own_key(app: WorkbenchApp, key: str) -> bool:
    """Whether the key does now what this program says, not what Textual's widget does."""
    active = app.screen.active_bindings.get(key)
    return active is not None and is_own(active.node, active.binding)


async def test_help_and_palette_tell_our_keys_from_those_of_textual_s_widgets(
    project: Project,
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 60)) as pilot:
        await until(lambda: isinstance(app.focused, OptionList))
        names = {binding.description for _, binding, _ in actions_of(app.screen)}
        assert "Open" in names
        assert not names & {"First", "Last", "Page Up", "Page Down"}
        await app.action_go("config")
        editor = app.screen.query_one(TextArea)
        await until(lambda: editor.text)
        await pilot.press("e")
        await until(lambda: not editor.read_only)
        # The editor has a ctrl+e of its own; ours is there once the file was checked.
        await until(lambda: is_own_key(app, "ctrl+e"))
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, HelpScreen))
        told = [line.strip() for line in str(app.screen.query_one(Static).content).split("\n")]
        assert "^e  to the next problem" in told
        assert told.index("^p  what can be done here, found by its name") < told.index("^x  Cut")
        assert told.count("arrows  move; pgup, pgdn, home and end too") == 1
        assert not [line for line in told if line.endswith(("Cursor up", "Cursor word left"))]
        await pilot.press("escape", "ctrl+p")
        found = app.screen.query(OptionList).last()
        await until(lambda: found.option_count > 8)
        assert "Save" in said(found)
        assert "Cut" not in said(found)


def test_every_shipped_theme_loads_and_a_broken_one_is_a_sentence(tmp_path: Path) -> None:
    found = list(themes())
    assert len(found) >= 3
    assert not [theme for theme in found if isinstance(theme, str)]
    own = Path("~/.config/tuiwb/themes").expanduser()
    own.mkdir(parents=True)
    (own / "broken.yaml").write_text("primary: [")
    complaints = [theme for theme in themes() if isinstance(theme, str)]
    assert len(complaints) == 1
    assert "broken.yaml" in complaints[0]


async def test_the_chosen_theme_is_remembered(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test() as pilot:
        app.theme = "workbench-light"
        await pilot.pause()
        await until(lambda: (project.cache / "theme").exists())
    assert WorkbenchApp(project).theme == "workbench-light"


def test_next_steps_follow_the_work(project: Project) -> None:
    data, configs = project.datasets(), project.configs()
    assert [step.mode for step in next_steps(data, configs, {})][:2] == ["data", "config"]
    folder = a_run(project, "one")
    (folder / "adapter").mkdir()
    states = {folder: jobs.status(folder)}
    assert next_steps(data, configs, states)[0].mode == "compare"
    compared = jobs.status(folder)
    compared.kind, compared.state = "compare", "finished"
    both = {**states, folder / "compare": compared}
    first = next_steps(data, configs, both)[0]
    assert (first.mode, "one: vote, judge, and ask the gate" in first.why) == ("compare", True)
    (folder / "gate.json").write_text("{}")
    assert next_steps(data, configs, both)[0].mode == "serve"
    write_gate(folder, Gate(run="one", verdict="NO-SHIP", lines=[]))
    first = next_steps(data, configs, both)[0]
    assert (first.mode, first.why) == ("compare", "one may not ship (NO-SHIP): G there says why")
    write_gate(folder, Gate(run="one", verdict="SHIP", lines=[]))
    assert next_steps(data, configs, both)[0].mode == "serve"
    states[folder].state = "running"
    assert next_steps(data, configs, states)[0].mode == "train"
    assert len(next_steps(data, configs, states)) == 5


def test_an_adapter_that_is_not_finite_is_sent_to_its_alerts_and_to_no_comparison(
    project: Project,
) -> None:
    data, configs = project.datasets(), project.configs()
    folders = [a_run(project, name) for name in ("sound", "diverged")]
    for folder in folders:
        (folder / "adapter").mkdir()
    states = {folder: jobs.status(folder) for folder in folders}
    states[folders[1]].created += 60

    def said(**adapter: object) -> tuple[str, str]:
        made = Artifact(kind="adapter", path="adapter", t=1029.0, **adapter)  # type: ignore[arg-type]
        states[folders[1]].artifacts = [made]
        first = next_steps(data, configs, states)[0]
        return first.mode, first.why

    assert said(finite=True)[0] == "compare"
    mode, why = said(finite=False)
    assert (mode, "the adapter of diverged holds numbers that are not finite" in why) == (
        "train",
        True,
    )
    # Older workers said it in an alert.
    assert said()[0] == "compare"
    alert = Alert(rule="not_finite", severity="critical", evidence="NaN", t=1029.0)
    states[folders[1]].alerts = [alert]
    assert said()[0] == "train"
    # Once something was trained after it, it is of no interest; it is never to be compared.
    states[folders[0]].created += 120
    first = next_steps(data, configs, states)[0]
    assert (first.mode, "sound" in first.why, "diverged" in first.why) == ("compare", True, False)


@pytest.mark.parametrize(
    ("row", "path"),
    [
        (0, "model"),
        (1, "model.base"),
        (2, "model.base"),
        (3, "training"),
        (5, "training.lr"),
        (99, "training.lr"),
    ],
)
def test_the_key_under_the_cursor_is_told_from_indentation(row: int, path: str) -> None:
    lines = ["model:", "  base: x", "  # note", "training:", "", "  lr: 1", "    - item"]
    assert key_path(lines, row) == path


@pytest.mark.parametrize(
    ("path", "row"),
    [("model.base", 1), ("training", 3), ("training.lr", 5), ("training.gone", 3), ("no.key", 0)],
)
def test_a_key_is_found_on_its_line_or_its_section_s(path: str, row: int) -> None:
    lines = ["model:", "  base: x", "  # note", "training:", "", "  lr: 1", "    - item"]
    assert row_of(lines, path) == row


async def test_quitting_leaves_no_thread_behind(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test() as pilot:
        await pilot.press("q")
        await asyncio.wait_for(asyncio.shield(until(lambda: app._exit)), 10)


async def test_an_unexpected_error_ends_with_a_sentence_and_a_file(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    app = WorkbenchApp(project)
    secret = "not-for-the-screen"

    async def break_it() -> None:
        async with app.run_test() as pilot:
            app.call_later(lambda: len(secret) // 0)
            await pilot.pause()

    with pytest.raises(ZeroDivisionError):
        await break_it()
    shown = capfd.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "Traceback" not in shown
    assert secret not in shown
    assert "Traceback" in (project.cache / "crash.log").read_text()


async def test_a_toast_is_inert_and_never_markup(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test():
        app.notify("[red]x[/red] \x1b]0;title\x07")
        await until(lambda: len(app._notifications))
        toast = next(iter(app._notifications))
        assert toast.message == "[red]x[/red] ␛]0;title␇"
        assert toast.markup is False


def said(found: OptionList) -> list[str]:
    """The names that the palette lists."""
    prompts = [str(found.get_option_at_index(n).prompt) for n in range(found.option_count)]
    return [prompt.split("\n")[0] for prompt in prompts]


async def test_what_a_screens_keys_do_is_found_by_name_and_done(project: Project) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.action_go("train")
        screen = app.screen
        assert isinstance(screen, TrainScreen)
        await until(lambda: screen.runs)
        await pilot.press("escape", "ctrl+p", *"archi")
        found = app.screen.query(OptionList).last()
        await until(lambda: found.option_count and "Go to" not in said(found)[0])
        assert said(found)[0] == "Archive"
        await pilot.press("enter")
        await until(lambda: screen.runs and screen.runs[0].archived)


async def test_the_palette_names_the_screens_keys_before_the_programs_own(
    project: Project,
) -> None:
    a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.action_go("train")
        await until(lambda: isinstance(app.screen, TrainScreen) and app.screen.runs)
        await pilot.press("escape", "ctrl+p")
        found = app.screen.query(OptionList).last()
        await until(lambda: found.option_count > 12)
        names = said(found)
        assert names.index("Archive") < names.index("Up") < names.index("Go to Home")
        assert "Help" not in names


async def test_the_palette_opens_where_a_key_s_name_or_words_look_like_markup(
    project: Project,
) -> None:
    (project.root / "data" / "more.jsonl").write_bytes(
        (project.root / "data" / "chats.jsonl").read_bytes()
    )
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.action_go("data")
        await until(lambda: "right_square_bracket" in app.screen.active_bindings)
        await pilot.press("ctrl+p")
        found = app.screen.query(OptionList).last()
        await until(lambda: found.option_count > 12)
        words = [str(found.get_option_at_index(n).prompt) for n in range(found.option_count)]
        assert "File\nthe file before, the next ([/])" in words


async def test_enter_answers_no_question_of_yes_or_no(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        for key, answer in (("y", True), ("n", False), ("escape", False)):
            answers: list[bool | None] = []
            await app.push_screen(Confirm("Delete everything?"), answers.append)
            await pilot.press("enter")
            assert isinstance(app.screen, Confirm)
            await pilot.press(key)
            await until(lambda: not isinstance(app.screen, Confirm))
            assert answers == [answer]
