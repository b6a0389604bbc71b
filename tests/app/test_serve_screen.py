"""The Serve screen: lists servers from their files, starts, talks, loads, stops."""

import os
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from tests.app.conftest import is_laid_out_without_end, until
from tests.serve.tiny import TINY_CHAT, random_adapter
from tuiwb import jobs
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.screens.serve import ServeScreen
from tuiwb.app.widgets.serve_dialog import StartServer
from tuiwb.app.widgets.serve_words import model_line, talk
from tuiwb.jobs import process
from tuiwb.jobs.events import Artifact, EventWriter, State
from tuiwb.jobs.folder import EVENTS, LOG
from tuiwb.project import Project
from tuiwb.serve import servers
from tuiwb.serve.spec import Served, ServeSpec
from tuiwb.serve.traffic import ModelTraffic, Traffic

SIZES = [(80, 24), (120, 36)]
HOSTILE = "\x1b[31mred\x1b[0m [bold]not bold[/bold] \x00"


def ended_server(project: Project, name: str, state: str, message: str) -> Path:
    folder = project.runs / name
    spec = ServeSpec(engine="builtin", base="/models/[x]", base_name="[red]base[/red]", port=8123)
    jobs.create(folder, "serve", msgspec.to_builtins(spec))
    writer = EventWriter(folder / EVENTS)
    writer.emit(State(state="running", phase="ready", t=1000.0))
    writer.emit(State(state=state, message=message, t=1075.0))
    writer.close()
    (folder / LOG).write_text(f"first line\n{HOSTILE}\n")
    return folder


def shown(app: WorkbenchApp, where: str) -> str:
    return str(app.screen.query_one(where, Static).content)


def listed(app: WorkbenchApp, where: str) -> list[str]:
    return [str(o.prompt) for o in app.screen.query_one(where, OptionList).options]


async def go(app: WorkbenchApp, pilot: Pilot[None]) -> None:
    await pilot.press("6")
    await until(lambda: isinstance(app.screen, ServeScreen))
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_without_a_server_the_screen_says_how_to_start_one(
    project: Project, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await go(app, pilot)
        assert "n starts one" in shown(app, "#head")
        assert not app.screen.query_one("#chat").display


@pytest.mark.parametrize("size", SIZES)
async def test_an_ended_server_shows_why_it_ended_and_its_log_with_hostile_text_inert(
    project: Project, size: tuple[int, int]
) -> None:
    ended_server(project, "serve-1", "failed", f"vLLM crashed (exit code 1): {HOSTILE}")
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await go(app, pilot)
        await until(lambda: "crashed" in shown(app, "#head"))
        assert "ran 1m15s" in shown(app, "#head")
        assert "first line" in shown(app, "#talk")
        assert "[bold]not bold[/bold]" in shown(app, "#talk")
        for where in ("#head", "#talk"):
            assert "\x1b" not in shown(app, where)
        await until(lambda: "[red]base[/red]" in listed(app, "#models")[0])
        assert "serve-1  failed" in listed(app, "#servers")[0]
        assert not app.screen.query_one("#say").display


async def test_enter_on_a_server_that_starts_or_has_ended_says_so(project: Project) -> None:
    folder = ended_server(project, "serve-1", "finished", "")
    identity = process.identify(os.getpid())
    (folder / "process.json").write_bytes(msgspec.json.encode(identity))
    writer = EventWriter(folder / EVENTS)
    writer.emit(State(state="starting", phase="loading model"))
    app = WorkbenchApp(project)

    def said() -> list[str]:
        return [str(n.message) for n in app._notifications]

    async with app.run_test(size=(80, 24)) as pilot:
        await go(app, pilot)
        await until(lambda: "loading model" in shown(app, "#head"))
        await pilot.press("enter")
        assert said() == ["serve-1 is still starting (loading model): it answers once it is ready"]
        writer.emit(State(state="finished"))
        writer.close()
        await until(lambda: "finished" in shown(app, "#head"))
        await pilot.press("enter")
        assert said()[1:] == ["serve-1 is not up (finished): n starts a new one"]


async def test_a_server_that_was_started_is_shown_in_the_place_of_another(
    project: Project,
) -> None:
    faults = {
        ended_server(project, name, "failed", f"{name} crashed"): f"{name} crashed"
        for name in ("serve-1", "serve-2")
    }
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(app, pilot)
        await until(lambda: "crashed" in shown(app, "#head"))
        other = next(f for f, fault in faults.items() if fault not in shown(app, "#head"))
        app.screen.post_message(ServeScreen.Told("it is starting", "information", other))
        await until(lambda: faults[other] in shown(app, "#head"))
        assert "it is starting" in [n.message for n in app._notifications]


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (12, 4), (40, 10)])
async def test_tiny_terminals_do_not_crash_it_and_it_comes_to_rest(
    project: Project, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended_server(project, "serve-1", "finished", "")
    app = WorkbenchApp(project)
    async with app.run_test(size=size) as pilot:
        await app.action_go("serve")
        await until(lambda: "finished" in shown(app, "#head"))
        assert not await is_laid_out_without_end(monkeypatch)
        await pilot.resize_terminal(120, 36)
        await pilot.pause()


async def test_a_start_that_can_not_work_is_refused_with_its_sentence(project: Project) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        await go(app, pilot)
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, StartServer))
        app.screen.query_one("#base", Input).value = "models/none"
        await pilot.press("enter")
        await until(lambda: "models/none" in shown(app, "#problem"))
        assert app.screen.query_one("#base", Input).value == "models/none"
        assert app.focused is app.screen.query_one("#base", Input)
        app.screen.query_one("#port", Input).value = "80800"
        await pilot.press("enter")
        await until(lambda: "80800 is no port" in shown(app, "#problem"))
    assert project.job_folders("serve") == []


async def test_what_will_be_served_has_a_marked_box_and_no_broken_adapter_has_it_to_begin_with(
    project: Project,
) -> None:
    for name in ("one", "two", "three"):
        jobs.create(project.runs / name, "train", {})
        (project.runs / name / "adapter").mkdir()
        (project.runs / name / "adapter" / "adapter_config.json").write_text("{}")
    writer = EventWriter(project.runs / "three" / EVENTS)
    writer.emit(Artifact(kind="adapter", path="adapter", finite=False))
    writer.close()
    app = WorkbenchApp(project)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(app, pilot)
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, StartServer) and app.screen.query("#runs"))
        broken = "three  holds NaN or infinity: can't be served"
        assert listed(app, "#runs") == [f"[ ] {broken}", "[x] two", "[ ] one"]
        await pilot.press("space", "j", "space")
        await until(lambda: listed(app, "#runs") == [f"[x] {broken}", "[ ] two", "[ ] one"])


def test_a_long_model_name_is_cut_and_the_columns_stay_aligned() -> None:
    traffic = Traffic(models={"x" * 90: ModelTraffic(requests=12345, first_token_p50=0.0123)})
    lines = [
        model_line(Served(id="x" * 90, parent="b"), traffic, 60).plain,
        model_line(Served(id="b"), traffic, 60).plain,
        model_line(Served(id="b"), None, 60).plain,
    ]
    assert {len(line) for line in lines} == {60}
    assert "12.3k" in lines[0]
    assert lines[0].endswith("12 ms")


def test_talk_shows_markup_and_escapes_as_text() -> None:
    content = talk([("you", HOSTILE), ("model", "[link]x[/link]")])
    assert "[bold]not bold[/bold]" in content.plain
    assert "\x1b" not in content.plain


@pytest.mark.slow
async def test_a_server_is_started_talked_to_given_an_adapter_and_stopped_by_keys(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUIWB_VLLM_PYTHON", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for seed, name in enumerate(("one", "two")):
        jobs.create(project.runs / name, "train", {"model": {"base": str(TINY_CHAT)}, "data": {}})
        random_adapter(TINY_CHAT, project.runs / name / "adapter", seed)
    app = WorkbenchApp(project)
    try:
        async with app.run_test(size=(120, 36)) as pilot:
            await go(app, pilot)
            await pilot.press("n")
            await until(lambda: isinstance(app.screen, StartServer))
            await pilot.press("ctrl+e", "ctrl+e", "ctrl+j")
            await until(lambda: "waiting" in shown(app, "#head"))
            assert any(line.startswith("▸ two@") for line in listed(app, "#models"))

            await pilot.press("c", *"Hi", "enter")
            await until(lambda: "greedy" in shown(app, "#talk"))
            assert shown(app, "#talk").startswith("you  Hi\ntwo  ")
            await until(lambda: not listed(app, "#models")[1].split()[2].startswith("0"))

            await pilot.press("escape", "a")
            await until(lambda: len(app.screen_stack) == 2)
            await pilot.press("enter")
            await until(lambda: len(listed(app, "#models")) == 3)

            await pilot.press("s")
            await until(lambda: len(app.screen_stack) == 2)
            await pilot.press("y")
            await until(lambda: "finished" in shown(app, "#head"))
            assert int(listed(app, "#models")[1].split()[2]) > 0
    finally:
        for server in servers.servers(project):
            if server.state.running and server.state.pid:
                os.kill(server.state.pid, 15)
