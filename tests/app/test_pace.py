"""What is painted when: dialogs paint themselves alone, news gives way to keys, help is ready."""

import random
import time

import pytest
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Static

from tests.app.conftest import until
from tests.app.test_frame import Painted
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.pace import LATEST, PromptScreen, calm_in
from tuiwb.app.screens.help import HelpScreen
from tuiwb.app.widgets.modal import Modal
from tuiwb.project import Project


class Ours(PromptScreen[None]):
    """A screen of two texts."""

    def compose(self) -> ComposeResult:
        yield Static("left", id="one", markup=False)
        yield Static("right", id="two", markup=False)


class Dialog(Modal[None]):
    """A dialog over a part of the screen."""

    CSS = "Dialog { align: center middle; } Dialog > Static { width: 30; height: auto; }"

    def compose(self) -> ComposeResult:
        yield Static("a dialog\nover it", id="said", markup=False)


class Dialogs(Painted):
    """An emulated terminal below screens and dialogs of ours."""

    CSS = (
        "Ours { layout: horizontal; } Ours > Static { width: 1fr; height: 1fr; border: round red; }"
    )

    def get_default_screen(self) -> Screen[None]:
        return Ours()

    def compose(self) -> ComposeResult:
        yield from ()


@pytest.mark.parametrize("seed", range(3))
async def test_the_terminal_shows_what_the_screens_hold_whatever_dialogs_do(seed: int) -> None:
    draw = random.Random(seed)
    app = Dialogs()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        for _ in range(40):
            what = draw.choice(
                ("open", "close", "close", "one", "two", "said", "again", "resize", "toast")
            )
            words = "\n".join("▲ word " * draw.randrange(1, 6) for _ in range(draw.randrange(1, 9)))
            if what == "open" and len(app.screen_stack) < 4:
                await app.push_screen(Dialog())
            elif what == "close" and len(app.screen_stack) > 1:
                await app.pop_screen()
            elif what == "said" and len(app.screen_stack) > 1:
                app.screen.query_one("#said", Static).update(words)
            elif what in ("one", "two"):
                app.screen_stack[0].query_one(f"#{what}", Static).update(words)
            elif what == "toast":
                app.notify("something happened", timeout=0.2)
            elif what == "again":
                app.terminal.reset()
                app.action_repaint()
            elif what == "resize" and len(app.screen_stack) > 1:
                app.screen.query_one("#said").styles.width = draw.randrange(10, 50)
            await pilot.pause()
            await until(lambda: app.shown() == app.expected())


async def test_a_dialog_that_opens_and_closes_paints_nothing_around_it() -> None:
    app = Dialogs()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        around = [app.terminal.display[row][:10] for row in range(16)]
        app.terminal.reset()
        await app.push_screen(Dialog())
        await until(lambda: "a dialog" in "\n".join(app.terminal.display))
        app.pop_screen()
        await until(lambda: "a dialog" not in "\n".join(app.terminal.display))
        await pilot.pause()
        assert any(line.strip() for line in around)
        assert not any(app.terminal.display[row][:10].strip() for row in range(16))


async def test_what_was_to_be_painted_again_is_so_though_a_part_of_it_comes_first() -> None:
    app = Dialogs()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        app.terminal.reset()
        app.action_repaint()
        one = app.screen.query_one("#one", Static)
        one.update("new", layout=False)
        app.screen._compositor.update_widgets({one})
        app.screen._compositor_refresh()
        await until(lambda: app.shown() == app.expected())


async def test_what_changes_below_just_when_a_dialog_comes_back_is_painted() -> None:
    app = Dialogs()
    async with app.run_test(size=(60, 16)) as pilot:
        app.install_screen(Dialog(), "kept")
        for words in ("one", "two", "three"):
            app.push_screen("kept")
            app.screen_stack[0].query_one("#one", Static).update(words)
            await pilot.pause()
            await until(lambda: app.shown() == app.expected())
            app.pop_screen()
            await pilot.pause()


async def test_a_dialog_comes_back_on_a_terminal_that_became_smaller() -> None:
    app = Dialogs()
    async with app.run_test(size=(60, 16)) as pilot:
        app.install_screen(Dialog(), "kept")
        for size in ((60, 16), (40, 9), (50, 12)):
            await pilot.resize_terminal(*size)
            await until(lambda size=size: app.screen.size == size)
            await pilot.pause()
            app.push_screen("kept")
            await pilot.pause()
            await until(lambda size=size: app.screen.size == size)
            await until(lambda: "a dialog" in "\n".join(app.terminal.display))
            app.pop_screen()
            await pilot.pause()


async def test_news_waits_for_a_key_but_not_for_ever() -> None:
    app = Painted()
    async with app.run_test() as pilot:
        assert calm_in(app) == 0
        await pilot.press("x")
        app.last_input = time.monotonic() + 60  # keys that never end
        assert calm_in(app) > 0
        assert calm_in(app, due=time.monotonic() - LATEST) == 0
        assert 0 < calm_in(app, due=time.monotonic()) <= LATEST


async def test_a_key_is_noticed_by_the_app_before_anything_does_what_it_asks_for() -> None:
    app = Painted()
    async with app.run_test() as pilot:
        before = app.last_input
        await pilot.press("x")
        assert app.last_input > before


async def test_help_is_made_before_it_is_asked_for_and_shown_again_as_it_is(
    project: Project,
) -> None:
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(lambda: app.is_screen_installed("help"))
        await until(lambda: app.get_screen("help").is_running)
        made = app.get_screen("help")
        for mode, title in (("home", "Home"), ("train", "Train")):
            await pilot.press("1" if mode == "home" else "4")
            await until(lambda mode=mode: app.current_mode == mode)
            await pilot.press("f1")
            await until(lambda: isinstance(app.screen, HelpScreen))
            dialog = app.screen.query_one(VerticalScroll)
            await until(lambda dialog=dialog: 0 < dialog.region.width < 120)
            assert app.screen is made
            assert str(dialog.border_title).startswith(title)
            await pilot.press("escape")
            await until(lambda: not isinstance(app.screen, HelpScreen))


async def test_a_screen_is_styled_anew_when_it_comes_back_only_after_the_theme_changed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = WorkbenchApp(project)
    styled: list[object] = []
    update = app.update_styles

    def note(node: DOMNode, animate: bool = True) -> None:
        styled.append(node)
        update(node, animate=animate)

    async with app.run_test(size=(120, 36)) as pilot:
        monkeypatch.setattr(app, "update_styles", note)
        looks = []
        for theme in ("nord", "nord", "gruvbox"):
            app.theme = theme
            await pilot.pause()
            styled.clear()
            await pilot.press("f1")
            await until(lambda: isinstance(app.screen, HelpScreen))
            await until(lambda: app.screen.query_one(VerticalScroll).region.width > 0)
            await pilot.pause()
            looks.append(app.screen.query_one(VerticalScroll).styles.background)
            assert (app.screen in styled) == (len(looks) != 2)
            await pilot.press("escape")
            await until(lambda: not isinstance(app.screen, HelpScreen))
        assert looks[0] == looks[1] != looks[2]
