"""What the Train screen does with runs: again, fix, rows, delete, export, report."""

from pathlib import Path

import pytest
import yaml
from textual.widgets import Input, OptionList, Static, TextArea

from tests.app.conftest import until
from tests.app.runs import a_run, an_alert
from tests.app.test_train_screen import keys, on_train
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.screens.run_dialogs import TypeToConfirm
from tuiwb.app.widgets.alerts_view import AlertsView
from tuiwb.app.widgets.recovery_view import RecoveryView
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.errors import BadInput
from tuiwb.jobs.labels import read_labels
from tuiwb.project import Project
from tuiwb.train.config import load_config
from tuiwb.train.rerun import config_again

CONFIG = """\
# mine, with a comment
model: {base: models/none}
method: sft
data: {train: data/chats.jsonl}
training:
  learning_rate: 1.0e-4  # as the paper says
"""


def asked(project: Project, config_text: str = CONFIG) -> dict[str, object]:
    """The spec of a run that was started from a config file."""
    path = project.root / "configs" / "mine.yaml"
    path.write_text(config_text)
    config, problems = load_config(path)
    assert config is not None, problems
    spec = config.model_dump(exclude={"name"})
    spec["data"]["train"] = [str(project.root / "data" / "chats.jsonl")]
    return {**spec, "config_file": str(path)}


def toasts(app: WorkbenchApp) -> list[str]:
    return [toast.message for toast in app._notifications]


async def test_a_fix_is_written_into_a_new_config_and_opened(project: Project) -> None:
    a_run(project, "one", "running", steps=15, spec=asked(project), more=[an_alert()])
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("a")
        await until(lambda: screen.query_one(AlertsView).items)
        await until(lambda: keys(screen).get("f") == "Fix")
        await pilot.press("f")
        await until(lambda: app.current_mode == "config")
        editor = app.screen.query_one("#editor", TextArea)
        await until(lambda: "max_grad_norm: 0.3" in editor.text)
        row = editor.text.splitlines().index("  max_grad_norm: 0.3")
        await until(lambda: editor.cursor_location == (row, 0))
        said = "wrote configs/mine-fix-1.yaml, with training.max_grad_norm 0.3: ctrl+t trains it"
        await until(lambda: said in toasts(app))
    written = project.root / "configs" / "mine-fix-1.yaml"
    assert yaml.safe_load(written.read_text())["training"]["max_grad_norm"] == 0.3
    assert "# as the paper says" in written.read_text()
    assert (project.root / "configs" / "mine.yaml").read_text() == CONFIG


async def test_run_again_opens_what_the_run_was_asked_though_its_config_was_edited_since(
    project: Project,
) -> None:
    a_run(project, "one", spec=asked(project))
    (project.root / "configs" / "mine.yaml").write_text(CONFIG.replace("1.0e-4", "9.0e-1"))
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        await on_train(app, pilot)
        await pilot.press("R")
        await until(lambda: app.current_mode == "config")
        editor = app.screen.query_one("#editor", TextArea)
        await until(lambda: "the run one was asked" in editor.text)
        said = "wrote configs/one-again-1.yaml, what the run was asked: ctrl+t trains it"
        await until(lambda: said in toasts(app))
        assert yaml.safe_load(editor.text)["training"]["learning_rate"] == 1e-4
        assert yaml.safe_load(editor.text)["data"]["train"] == "data/chats.jsonl"


async def test_the_rows_of_a_spike_open_in_the_data_screen_at_that_row(project: Project) -> None:
    a_run(project, "one", "running", steps=15, more=[an_alert()])
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("a")
        await until(lambda: keys(screen).get("v") == "Rows")
        await pilot.press("v")
        await until(lambda: app.current_mode == "data")
        table = app.screen.query_one("#rows", VirtualTable)
        await until(lambda: table.count == 3 and table.cursor == 1)


def problem(app: WorkbenchApp) -> str:
    return str(app.screen.query_one("#problem", Static).render())


async def test_a_tag_that_can_be_none_is_said_where_it_was_typed(project: Project) -> None:
    folder = a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("t")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press(*"no?", "enter")
        await until(lambda: "'no?' can't be a tag" in problem(app))
        await pilot.press("backspace", *"d", "enter")
        await until(lambda: read_labels(folder).tags == ("nod",))


async def test_delete_wants_the_name_typed_and_moves_to_the_trash(project: Project) -> None:
    folder = a_run(project, "one")
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("D")
        await until(lambda: isinstance(app.screen, TypeToConfirm))
        await pilot.press("y", "enter")
        assert isinstance(app.screen, TypeToConfirm)
        assert "that is not one: nothing was done" in problem(app)
        assert folder.is_dir()
        app.screen.query_one(Input).value = ""
        await pilot.press(*"one", "enter")
        await until(lambda: not folder.exists())
        await until(lambda: not screen.is_open and not screen.table.runs)
        assert (project.runs / ".trash" / "one" / "job.yaml").is_file()


async def test_curves_and_report_are_written_where_asked(project: Project) -> None:
    a_run(project, "one", spec=asked(project))
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("E")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press("enter")
        curves = project.root / "one-curves.csv"
        await until(curves.is_file)
        assert len(curves.read_text().splitlines()) >= 21
        await pilot.press("W")
        await until(lambda: isinstance(app.screen, Ask))
        await pilot.press("enter")
        report = project.root / "one-report.html"
        await until(report.is_file)
        assert "one" in report.read_text()


async def test_of_several_marked_runs_a_file_each_is_written(project: Project) -> None:
    for name in ("one", "two", "three"):
        a_run(project, name, spec=asked(project))
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: len(screen.table.runs) == 3)
        marked = [run.name for run in screen.table.runs[:2]]
        await pilot.press("space", "space")
        for key, ending in (("E", "curves.csv"), ("W", "report.md")):
            await pilot.press(key)
            await until(lambda: isinstance(app.screen, Ask))
            assert app.screen.query_one(Input).value.startswith("{name}-")
            app.screen.query_one(Input).value = "all.md"
            await pilot.press("enter")
            await until(lambda: "a file each" in problem(app))
            app.screen.query_one(Input).value = f"out{key}/{{name}}-{ending}"
            await pilot.press("enter")
            await until(lambda: "there is no folder" in problem(app))
            (project.root / "out").mkdir(exist_ok=True)
            app.screen.query_one(Input).value = f"out/{{name}}-{ending}"
            await pilot.press("enter")
            files = [project.root / "out" / f"{name}-{ending}" for name in marked]
            await until(lambda files=files: all(path.is_file() for path in files))
            await until(lambda: any("wrote" in n.message for n in app._notifications))
        assert not list((project.root / "out").glob(f"{screen.table.runs[2].name}-*"))
        assert not (project.root / "all.md").exists()


async def test_ticks_of_the_recovery_stay(project: Project) -> None:
    folder = a_run(project, "one", "failed", message="no", spec=asked(project))
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open)
        await pilot.press("g")
        recovery = screen.query_one(RecoveryView)
        await until(lambda: len(recovery.items) == 6)
        purpose = recovery.query_one("#purpose")
        assert purpose.region.y == recovery.region.y
        assert "a run came out badly" in "".join(s.text for s in purpose.render_line(0))
        found = recovery.items[0]
        assert found.line.plain == "1 ? Look at the data  left to you"
        assert "not ticked by you" in found.detail.plain
        await pilot.press("space")
        await until(lambda: recovery.items[0].line.plain.startswith("1 ☑ "))
        assert "left to you, ticked by you" in recovery.items[0].detail.plain
        await pilot.resize_terminal(80, 24)
        menu = recovery.query_one(OptionList)
        titles = [item.line.plain.partition("  ")[0] for item in recovery.items]
        await until(
            lambda: (
                all(t in menu.render_line(y).text for y, t in enumerate(titles))
                and menu.size.width < 40
            )
        )
    assert (folder / "recovery.json").is_file()


async def test_help_lists_every_key_of_the_run(project: Project) -> None:
    a_run(project, "one", "running", steps=10)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await on_train(app, pilot)
        await until(lambda: screen.is_open and "s" in keys(screen))
        await pilot.press("f1")
        await until(lambda: app.screen is not screen)
        text = "\n".join(str(s.render()) for s in app.screen.query(Static))
        for words in ("Stop now", "Checkpoint", "Evaluate", "Pause", "Change", "Run again"):
            assert words in text
        for words in ("Export curves", "Write a report", "Delete", "Archive", "Tags", "Note"):
            assert words in text


def test_a_job_that_was_asked_no_config_gets_one_sentence(project: Project) -> None:
    folder = a_run(project, "one", spec={"method": "sft"})
    with pytest.raises(BadInput, match=r"^what the run was asked is no config: model: field req"):
        config_again(project, folder)
    assert not list((project.root / "configs").glob("one-*"))


def test_a_config_written_anew_is_what_the_run_was_asked(project: Project) -> None:
    spec = asked(project, CONFIG + "  seed: 7\n")
    folder = a_run(project, "one", spec=spec)
    (project.root / "configs" / "mine.yaml").unlink()
    path = config_again(project, folder)
    config, problems = load_config(path)
    assert config is not None, problems
    assert config.training.seed == 7
    assert config.training.learning_rate == 1e-4
    again = config_again(project, folder)
    assert again != path
    assert Path(again).is_file()
