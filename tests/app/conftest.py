"""What the screens' tests share: a project to open, and waiting for a condition."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import textual.app
import textual.pilot
from textual._context import active_app
from textual.css.query import NoMatches
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import UPDATE_PERIOD, Screen

from tuiwb.project import Project

PATIENCE = 180.0  # seconds: a busy machine may take its time
# A screen that is laid out again and again (its scroll bars, in a few cells) comes to no rest.
MOST_FRAMES = 12


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project: one dataset, one config, settings."""
    (tmp_path / "data").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "tuiwb.yaml").write_text("name: small\n")
    row = '{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}\n'
    (tmp_path / "data" / "chats.jsonl").write_text(row * 3)
    (tmp_path / "configs" / "first.yaml").write_text(
        "model: {base: models/none}\nmethod: sft\ndata: {train: data/chats.jsonl}\n"
        "training:\n  learning_rat: 1.0e-4\n"
    )
    return Project(tmp_path)


@pytest.fixture
def read_only(project: Project) -> Iterator[Callable[[], None]]:
    """Make the project's file system read-only from now on, for root as well."""
    root = str(project.root)

    def close() -> None:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)

    bound = subprocess.run(
        ["mount", "--bind", root, root], capture_output=True, text=True, check=False
    )
    if bound.returncode:
        pytest.skip(f"a mount is not permitted here: {bound.stderr.strip()}")
    yield close
    subprocess.run(["umount", root], check=True)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, so that a developer's themes never change a test."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True)
def pilots_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is pressed, and the next step done, once all that it set off is done and painted.
    Textual's own pilot takes a process that gets little time on a busy machine for one at rest."""
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", at_rest)
    monkeypatch.setattr(Pilot._wait_for_screen, "__defaults__", (PATIENCE,))


async def at_rest(*_: float) -> None:
    """Until the loop has nothing left to run and the screen nothing to lay out or to paint. What a
    thread or a timer will do later is not waited for."""
    loop = asyncio.get_running_loop()
    deadline = time.monotonic() + PATIENCE
    frames = MOST_FRAMES
    while time.monotonic() < deadline:
        await asyncio.sleep(0)
        if loop._ready:  # type: ignore[attr-defined]
            continue
        if not frames or not _to_paint():
            return
        frames -= 1
        await asyncio.sleep(UPDATE_PERIOD)


async def is_laid_out_without_end(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the screen comes to no rest although nothing happens."""
    layouts = 0
    lay_out = Screen._refresh_layout

    def counted(screen: Screen[None], size: Size | None = None, scroll: bool = False) -> None:
        nonlocal layouts
        layouts += 1
        lay_out(screen, size, scroll)

    await at_rest()
    with monkeypatch.context() as patch:
        patch.setattr(Screen, "_refresh_layout", counted)
        await at_rest()
    return layouts >= MOST_FRAMES // 2


def _to_paint() -> bool:
    app = active_app.get(None)
    if app is None or not app._running or not app._screen_stack:
        return False
    screen = app.screen
    return screen.is_running and bool(
        not screen.is_mounted
        or screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._recompose_required
        or screen._dirty_widgets
        or screen._callbacks
    )


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a condition, and then for what is on the screen; AssertionError when it does not
    come true in time. What is asked of a screen that is not there yet does not hold yet."""
    deadline = time.monotonic() + seconds
    while not _holds(condition):
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.02)
    await at_rest()


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except NoMatches:
        return False
