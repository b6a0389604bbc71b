"""What a person does on the Data screen: facets, order, marks, edits, review, new versions."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static, TextArea

from tests.app.conftest import until
from tests.data.row_writer import new_rows
from tests.llm.endpoint_server import Answer, Asked, EndpointServer, completion
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.data import DataScreen
from tuiwb.app.screens.data_curation import DRAWING
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.screens.edit_dialog import EditRecord
from tuiwb.app.screens.review import ReviewScreen
from tuiwb.app.widgets.checklist import Checklist
from tuiwb.app.widgets.facet_menu import FacetMenu
from tuiwb.app.widgets.row_pane import RowPane
from tuiwb.app.widgets.virtual_table import VirtualTable
from tuiwb.data.manifest import Version
from tuiwb.data.marks import Marks
from tuiwb.data.read import open_dataset
from tuiwb.data.reports import report_of
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput
from tuiwb.project import Project

SAMPLE_MODEL = Path(__file__).parents[2] / "sample_data" / "models" / "tiny-chat"
TOPICS = ("billing", "delivery", "returns")


@pytest.fixture
def rows(project: Project) -> Path:
    """30 chats on three topics; row 4 repeats row 2, rows 5 and 9 hold a mail address."""
    records = [
        {
            "messages": [
                {"role": "user", "content": f"item{n} of order{n} about word{n} " + "why " * n},
                {"role": "assistant", "content": f"answer{n} is fact{n}"},
            ],
            "topic": TOPICS[n % 3],
        }
        for n in range(30)
    ]
    records[4] = records[2]
    for n in (5, 9):
        records[n]["messages"][0]["content"] = f"item{n}: write to mira{n}@post.test"  # type: ignore[index]
    path = project.root / "data" / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


async def opened(pilot: Pilot[None]) -> DataScreen:
    await pilot.press("2")
    await until(lambda: _ready(pilot))
    screen = pilot.app.screen
    assert isinstance(screen, DataScreen)
    return screen


def _ready(pilot: Pilot[None]) -> bool:
    screen = pilot.app.screen
    return isinstance(screen, DataScreen) and "Row " in str(screen.query_one(RowPane).border_title)


async def checked(pilot: Pilot[None]) -> DataScreen:
    screen = await opened(pilot)
    await pilot.press("c")
    table = screen.query_one(VirtualTable)
    await until(lambda: "findings in" in str(table.border_subtitle))
    return screen


def read(screen: DataScreen) -> str:
    return str(screen.query_one("#row", Static).render())


def title(screen: DataScreen) -> str:
    return str(screen.query_one(RowPane).border_title)


def states(path: Path) -> dict[int, str | None]:
    dataset = open_dataset(path)
    marks = Marks(path, dataset)
    return {row.index: state.mark for row in dataset if (state := marks.state(row)).mark}


async def answer(pilot: Pilot[None], text: str) -> None:
    await until(lambda: pilot.app.screen.query(Input))
    field = pilot.app.screen.query_one(Input)
    field.value = text
    await pilot.press("enter")


async def test_facets_count_what_there_is_and_filter_by_it(project: Project, rows: Path) -> None:
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await checked(pilot)
        menu, table = screen.query_one(FacetMenu), screen.query_one(VirtualTable)
        await until(lambda: menu.option_count > 6)
        lines = [
            str(menu.get_option_at_index(i).prompt).strip("└• ").split()
            for i in range(menu.option_count)
        ]
        assert ["pii", "2"] in lines
        assert ["email", "2"] in lines
        assert ["billing", "10"] in lines
        await pilot.press("F")
        menu.highlighted = lines.index(["billing", "10"])
        await pilot.press("enter")
        await until(lambda: table.count == 10)
        assert "/topic=billing" in str(table.border_title)
        menu.highlighted = lines.index(["email", "2"])
        menu.focus()
        await pilot.press("enter")
        await until(lambda: table.count == 1)
        await until(lambda: "Row 9" in title(screen))


async def test_rows_are_ordered_by_size_once_they_were_checked(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await checked(pilot)
        await pilot.press("s")
        await until(lambda: pilot.app.screen.query("Pick OptionList"))
        pilot.app.screen.query_one(OptionList).highlighted = 2
        await pilot.press("enter")
        await until(lambda: "Row 29" in title(screen))
        assert "longest first" in str(screen.query_one(VirtualTable).border_title)


async def test_marks_are_kept_beside_the_file_and_undone(project: Project, rows: Path) -> None:
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        await pilot.press("d", "h", "y")
        await until(lambda: states(rows) == {0: "drop", 1: "hard", 2: "keep"})
        table = screen.query_one(VirtualTable)
        assert table.cursor == 3
        assert table.render_line(1).text.split()[:2] == ["0", "drop"]
        await pilot.press("u")
        await until(lambda: states(rows) == {0: "drop", 1: "hard"})
        await pilot.press("U")
        await until(lambda: states(rows)[2] == "keep")
        await pilot.press("home", "d")
        await until(lambda: states(rows) == {1: "hard", 2: "keep"})
        await pilot.press("slash")
        await answer(pilot, "mark:hard")
        await until(lambda: table.count == 1)
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        assert screen.query_one(VirtualTable).render_line(2).text.split()[:2] == ["1", "hard"]


async def test_an_edit_that_is_no_row_is_refused_and_a_good_one_shows(
    project: Project, rows: Path
) -> None:
    before = rows.read_bytes()
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("e")
        await until(lambda: isinstance(pilot.app.screen, EditRecord))
        area = pilot.app.screen.query_one(TextArea)
        good = area.text.replace("answer0", "better0")
        area.text = '{"messages": []}'
        await pilot.press("ctrl+s")
        problem = pilot.app.screen.query_one("#problem", Static)
        await until(lambda: "messages is an empty list" in str(problem.render()))
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("n")
        await until(lambda: isinstance(pilot.app.screen, EditRecord))
        assert area.text == '{"messages": []}', "what was typed is still there"
        area.text = good
        await pilot.press("ctrl+s")
        await until(lambda: pilot.app.screen is screen)
        await until(lambda: "better0 is fact0" in read(screen))
        assert screen.query_one(VirtualTable).render_line(1).text.split()[1] == "✎"
        await pilot.press("e")
        await until(lambda: isinstance(pilot.app.screen, EditRecord))
        await pilot.press("escape")
        await until(lambda: pilot.app.screen is screen)
        await pilot.press("e")
        await until(lambda: isinstance(pilot.app.screen, EditRecord))
        await pilot.press("x", "escape")
        await until(lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: pilot.app.screen is screen)
        assert "better0 is fact0" in read(screen)
    assert rows.read_bytes() == before


async def test_an_edit_that_no_disk_takes_stays_where_it_was_typed(
    project: Project, rows: Path, read_only: Callable[[], None]
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        read_only()
        for keys in (["e"], ["r", "enter", "e"]):
            for key in keys:
                await pilot.press(key)
                await until(lambda: pilot.app.screen is not screen)
            await until(lambda: isinstance(pilot.app.screen, EditRecord))
            area = pilot.app.screen.query_one(TextArea)
            area.text = typed = area.text.replace("answer", "better")
            await pilot.press("ctrl+s")
            problem = pilot.app.screen.query_one("#problem", Static)
            await until(lambda said=problem: "Read-only file system" in str(said.render()))
            assert area.text == typed
            await pilot.press("escape")
            await until(lambda: isinstance(pilot.app.screen, Confirm))
            await pilot.press("y")
            await until(lambda: not isinstance(pilot.app.screen, Confirm | EditRecord))


async def test_an_edit_that_changes_nothing_is_not_saved(
    project: Project, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pilot's terminal can be left for an editor as a real one can.
    monkeypatch.setattr(HeadlessDriver, "can_suspend", True)
    monkeypatch.delenv("VISUAL", raising=False)
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)

        async def editing(*keys: str) -> TextArea:
            for key in keys:
                await pilot.press(key)
                await until(lambda: pilot.app.screen is not screen)
            await until(lambda: isinstance(pilot.app.screen, EditRecord))
            return pilot.app.screen.query_one(TextArea)

        def edited() -> int:
            return Marks(rows).counts()["edited"]

        for keys in (["e"], ["r", "enter", "e"]):
            area = await editing(*keys)
            area.text = area.text.replace("{", "{ ", 1)
            await pilot.press("ctrl+s")
            await until(lambda: not isinstance(pilot.app.screen, EditRecord))
        assert isinstance(pilot.app.screen, ReviewScreen)
        assert str(pilot.app.screen.query_one("#progress", Static).render()).startswith("0 of")
        await pilot.press("escape")
        assert Marks(rows).counts() == {"edited": 0}
        # An editor left as one leaves it to give up saves nothing of what stands in the dialog.
        monkeypatch.setenv("EDITOR", "true")
        area = await editing("e")
        area.text = typed = area.text.replace("answer0", "better0")
        await pilot.press("ctrl+o")
        assert isinstance(pilot.app.screen, EditRecord)
        assert area.text == typed
        assert edited() == 0
        monkeypatch.setenv("EDITOR", "sed -i s/better0/best0/")
        await pilot.press("ctrl+o")
        await until(lambda: pilot.app.screen is screen)
        await until(lambda: "best0 is fact0" in read(screen))
        assert edited() == 1
        monkeypatch.setenv("EDITOR", "sed -i s/^{/{\\ /")
        await pilot.press("j", "E")
        await until(lambda: "Row 1" in title(screen))
        assert pilot.app.screen is screen
        assert edited() == 1


async def test_a_review_goes_on_where_it_was_left(project: Project, rows: Path) -> None:
    async def start(pilot: Pilot[None]) -> ReviewScreen:
        await opened(pilot)
        await pilot.press("r")
        await answer(pilot, "5")
        await until(lambda: isinstance(pilot.app.screen, ReviewScreen))
        screen = pilot.app.screen
        assert isinstance(screen, ReviewScreen)
        await until(lambda: not pilot.app._notifications)
        return screen

    def progress(screen: ReviewScreen) -> str:
        return str(screen.query_one("#progress", Static).render())

    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await start(pilot)
        await pilot.press("x", "a", "r", "s", "a")
        await until(lambda: progress(screen).startswith("3 of 5 reviewed, 2 accepted, 1 rejected"))
        await pilot.press("u")
        await until(lambda: progress(screen).startswith("2 of 5 reviewed"))
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, DataScreen))
    assert sorted(states(rows).values()) == ["accept", "reject"]  # type: ignore[type-var]
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await start(pilot)
        assert progress(screen).startswith("2 of 5 reviewed")
        other = next(row for row in screen._dataset if row.index not in screen._rows)
        screen._marks.mark(other, "hard")
        await pilot.press("u")
        said = f"undo: row {other.index}, which is not of this sample"
        await until(lambda: [toast.message for toast in pilot.app._notifications] == [said])
        assert progress(screen).startswith("2 of 5 reviewed")
        await pilot.press("a", "a", "a")
        await until(lambda: progress(screen).startswith("5 of 5 reviewed, 4 accepted"))
        assert "The sample is through" in str(screen.query_one("#row", Static).render())


async def test_a_sample_is_being_drawn_only_as_long_as_it_is(
    project: Project, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def said(pilot: Pilot[None]) -> list[str]:
        return [toast.message for toast in pilot.app._notifications]

    def fails(error: Exception) -> Callable[[int], Row]:
        def row(_n: int) -> Row:
            raise error

        return row

    def waits(_n: int) -> Row:
        go_on.wait()
        raise BadInput("the file is gone")

    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        monkeypatch.setattr(screen._dataset, "row", fails(BadInput("the file is gone")))
        await pilot.press("r", "enter")
        await until(lambda: said(pilot) == ["no sample could be drawn: the file is gone"])
        await pilot.press("escape")
        monkeypatch.setattr(screen._dataset, "row", fails(KeyError("unforeseen")))
        await pilot.press("r", "enter")
        await until(lambda: [words[:22] for words in said(pilot)] == ["draw failed (KeyError:"])
        await pilot.press("escape")
        (project.root / "data" / "more.jsonl").write_bytes(rows.read_bytes())
        await until(lambda: len(screen._files.paths) == 2)
        monkeypatch.setattr(screen._dataset, "row", waits)
        try:
            await pilot.press("r", "enter")
            await until(lambda: said(pilot) == [DRAWING])
            await pilot.press("right_square_bracket")
            await until(lambda: "more.jsonl" in str(screen._path) and not said(pilot))
        finally:
            go_on.set()


async def test_a_cleaned_version_is_made_by_a_job_and_listed(project: Project, rows: Path) -> None:
    before = rows.read_bytes()
    async with WorkbenchApp(project).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        await pilot.press("d", "w")
        await until(lambda: pilot.app.screen.query("Pick OptionList"))
        await pilot.press("enter")
        await until(lambda: pilot.app.screen.query(Checklist))
        await pilot.press("j", "j", "j", "j", "space", "enter")
        await until(lambda: len(screen._files.paths) == 2)
        said = [(n.title, n.message) for n in pilot.app._notifications]
        counts = (
            "28 rows in data.jsonl; 2 rows left out: 1 drop, 1 exact_duplicate; "
            "changed: 27 by fix_trailing_space, 2 by redact"
        )
        assert said[-1] == ("New version: chats-v1", counts)
    folder = project.root / "data" / "versions" / "chats-v1"
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Version)
    assert manifest.outputs[0].rows == 28
    text = (folder / "data.jsonl").read_text("utf-8")
    assert "post.test" not in text
    assert "[EMAIL_1]" in text
    dropped = [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]
    assert sorted(entry["row"] for entry in dropped) == [0, 4]
    assert rows.read_bytes() == before
    (folder,) = project.job_folders("version")
    assert jobs.status(folder).state == "finished"


def _writes(asked: Asked) -> Answer:
    """Fresh rows where a request wants some; a list of topics where it asks what to vary by."""
    if "rows" in asked.data:
        return completion({"rows": new_rows(asked)})
    return completion({"topic": ["parcels", "refunds"]})


async def test_rows_are_generated_after_the_cost_was_confirmed(
    project: Project, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    server = EndpointServer(_writes)
    try:
        async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
            screen = await opened(pilot)
            await pilot.press("w")
            await until(lambda: pilot.app.screen.query("Pick OptionList"))
            await pilot.press("end", "enter")
            await until(lambda: pilot.app.screen.query("#task"))
            dialog = pilot.app.screen
            said = {"task": "answer customers", "rows": "ten", "max_usd": "",
                    "endpoint": server.url, "model": "m"}  # fmt: skip
            for name, value in said.items():
                dialog.query_one(f"#{name}", Input).value = value
            await pilot.press("enter")
            await until(lambda: "are numbers" in str(dialog.query_one("#problem", Static).render()))
            dialog.query_one("#rows", Input).value = "10"
            await pilot.press("enter")
            await until(lambda: isinstance(pilot.app.screen, Confirm))
            await pilot.press("y")
            await until(lambda: len(screen._files.paths) == 2)
    finally:
        server.close()
    (made,) = (p for p in project.datasets() if p != rows)
    dataset = open_dataset(made)
    assert len(dataset) == 10
    assert all(row.tags["provenance"]["kind"] == "synthetic" for row in dataset)


@pytest.mark.slow
async def test_two_templates_stand_side_by_side(
    project: Project, rows: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in SAMPLE_MODEL.iterdir():
        if path.suffix in (".json", ".jinja"):
            (other / path.name).write_bytes(path.read_bytes())
    template = other / "chat_template.jinja"
    config = other / "tokenizer_config.json"
    holder = template if template.is_file() else config
    holder.write_text(holder.read_text().replace("<|im_start|>", "<|im_start|>to "))
    (project.root / "tuiwb.yaml").write_text(f"base_model: {SAMPLE_MODEL}\n")
    async with WorkbenchApp(Project(project.root)).run_test(size=(120, 36)) as pilot:
        screen = await opened(pilot)
        await pilot.press("t")
        await answer(pilot, str(other))
        await until(lambda: "≠ tokens" in read(screen))
        one, two = (str(screen.query_one(f"#{n}", Static).render()) for n in ("one", "other"))
        assert "‹to ›user" in two
        assert "to ›user" not in one
        await pilot.press("t")
        await until(lambda: "≠ tokens" not in read(screen))
        assert not screen.query_one("#beside").display


async def test_a_check_of_another_file_of_that_name_is_stale(project: Project, rows: Path) -> None:
    folder = project.runs / "checks" / "chats-1"
    jobs.create(folder, "check", {"path": str(rows)})
    jobs.launch(folder)
    await until(lambda: jobs.status(folder).state == "finished")
    assert report_of(folder, rows).stale is False
    seen = rows.stat()
    other = rows.with_name("other")
    other.write_bytes(rows.read_bytes())
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns - 10**12))
    other.rename(rows)
    assert report_of(folder, rows).stale is True


async def test_keys_typed_in_one_piece_with_a_prompt_run_as_no_commands(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        for key in ("slash", "h", "y", "d"):
            pilot.app.post_message(Key(key, "/" if key == "slash" else key))
        await until(lambda: pilot.app.screen.query(Input))
        await pilot.pause()
        assert states(rows) == {}
        await pilot.press(*"hyd")
        assert pilot.app.screen.query_one(Input).value.endswith("hyd")
        await pilot.press("escape")
        await until(lambda: pilot.app.screen is screen)


async def test_a_filter_on_findings_says_that_nothing_was_checked(
    project: Project, rows: Path
) -> None:
    async with WorkbenchApp(project).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash")
        await answer(pilot, "check:pii")
        await until(lambda: "no check yet: c runs one" in read(screen))
