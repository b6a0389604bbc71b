"""What the frame sends, put on an emulated terminal, is what the screen should show."""

import random
from typing import Any

import pyte
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate, LayoutUpdate
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.geometry import Region
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widgets import Static

from tuiwb.app.frame import Frame, FramedApp

WORDS = ("loss 0.52", "⣀⡠⠤⠒⠉", "[b]no markup[/b]", "日本語 wide", "e\u0301 combined", "▲ ◆ ×", "")


class Dialog(ModalScreen[None]):
    CSS = "Dialog { align: center middle; } Dialog > Static { width: 30; height: 5; }"

    def compose(self) -> ComposeResult:
        yield Static("a dialog\nover it all", markup=False)


class Painted(FramedApp):
    """Keeps an emulated terminal up to date with what a frame sends."""

    CSS = "Static { border: round red; width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.terminal = pyte.Screen(60, 16)
        self.stream = pyte.Stream(self.terminal)
        self.sent = 0

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(id="one", markup=False)
            yield Static(id="two", markup=False)

    def _display(self, screen: Screen[object], renderable: Any) -> None:
        if isinstance(renderable, CompositorUpdate):
            out = self._frame.difference(renderable).render_segments(self.console)
            self.sent += len(out)
            self.stream.feed(out)
        super()._display(screen, renderable)

    def expected(self) -> list[str]:
        """The screen as a terminal would show it that got everything."""
        whole = pyte.Screen(60, 16)
        self.screen._compositor._dirty_regions.clear()
        update = self.screen._compositor.render_update(
            full=True, screen_stack=self._background_screens
        )
        pyte.Stream(whole).feed(update.render_segments(self.console).replace("\n", ""))
        return [str(line) for line in looks(whole)]

    def shown(self) -> list[str]:
        return [str(line) for line in looks(self.terminal)]


def looks(screen: pyte.Screen) -> list[list[tuple[str, ...]]]:
    """Characters and colours of each row."""
    return [
        [
            (c.data, c.fg, c.bg, str(c.bold))
            for c in (screen.buffer[y][x] for x in range(screen.columns))
        ]
        for y in range(screen.lines)
    ]


async def test_the_terminal_shows_what_the_screen_holds_after_any_changes() -> None:
    draw = random.Random(7)
    app = Painted()
    async with app.run_test(size=(60, 16)) as pilot:
        for step in range(60):
            what = draw.choice(("one", "two", "two", "dialog", "hide"))
            if what == "dialog":
                if len(app.screen_stack) == 1:
                    await app.push_screen(Dialog())
                else:
                    app.pop_screen()
            elif what == "hide":
                two = app.screen_stack[0].query_one("#two")
                two.display = not two.display
            else:
                lines = [draw.choice(WORDS) * draw.randrange(1, 4) for _ in range(12)]
                text = Content("\n".join(lines)).stylize(draw.choice(("bold", "red", "on blue")))
                app.screen_stack[0].query_one(f"#{what}", Static).update(text)
            await pilot.pause()
            assert app.shown() == app.expected(), f"after step {step}: {what}"


async def test_what_stands_there_already_is_not_sent_again() -> None:
    app = Painted()
    async with app.run_test(size=(60, 16)) as pilot:
        app.query_one("#one", Static).update("step 1")
        await pilot.pause()
        app.sent = 0
        app.screen.refresh()
        await pilot.pause()
        assert app.sent == 0
        app.query_one("#one", Static).update("step 2")
        await pilot.pause()
        assert 0 < app.sent < 60


async def test_after_something_else_painted_there_all_is_sent() -> None:
    app = Painted()
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        app.terminal.reset()
        app.action_repaint()
        await pilot.pause()
        assert app.shown() == app.expected()


def test_what_was_painted_for_another_size_is_sent_again() -> None:
    # A terminal that is smaller by then shows it anywhere.
    frame, console = Frame(), Console(force_terminal=True)
    strip = Strip([Segment("a curve")])
    large = LayoutUpdate([[strip], [strip], [strip]], Region(0, 0, 7, 3))
    small = LayoutUpdate([[strip], [strip]], Region(0, 0, 7, 2))
    assert frame.difference(large).render_segments(console).count("a curve") == 3
    assert frame.difference(small).render_segments(console).count("a curve") == 2
    assert frame.difference(small).render_segments(console) == ""


def test_a_row_that_is_not_laid_out_to_its_end_is_painted_as_far_as_it_is() -> None:
    # As when the terminal grows while a dialog is open.
    rows: Any = [[Strip([Segment("left")]), None], [None]]
    update = Frame().difference(LayoutUpdate(rows, Region(0, 0, 8, 2)))
    assert "left" in update.render_segments(Console(force_terminal=True))


def test_of_a_changed_row_no_more_is_sent_than_its_cells_and_their_look_once() -> None:
    frame, console = Frame(), Console(force_terminal=True, color_system="truecolor")
    red = Style(color="#ff0000")

    def sent(*segments: Segment) -> str:
        update = LayoutUpdate([[Strip(segments)]], Region(0, 0, 30, 1))
        return frame.difference(update).render_segments(console)

    sent(Segment("a long word", red), Segment(" and its end: loss", None), Segment("!", red))
    again = sent(Segment("a lo", red), Segment("NG word", red), Segment(" and its end: loss?"))
    assert again == "\x1b[1;5H\x1b[38;2;255;0;0mNG\x1b[0m\x1b[1;30H?"
    assert sent(Segment("A ", red), Segment("LONG", red), Segment(" word and its end: loss?")) == (
        "\x1b[1;1H\x1b[38;2;255;0;0mA LONG\x1b[0m word"
    )
